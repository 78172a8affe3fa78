from __future__ import annotations

import argparse
import importlib
import os
import platform
import subprocess
import sys

import pytest

from ci_sessions.inventory.facts import BuildFacts
from ci_sessions.inventory.standin import UnanswerableError, install, pretend

COMMON_UTILS = """\
import argparse
parser = argparse.ArgumentParser(add_help=True)
parser.add_argument('--seed', type=int, default=unknown())
parser.add_argument('--save-xml', nargs='?', const=unknown())
parser.add_argument('--accept', action='store_true')
other.add_argument('--not-this')
"""


@pytest.fixture
def torch(monkeypatch, tmp_path):
    """Install the stand-in with some facts, and return its modules by name."""
    kept = dict(sys.modules)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])

    def with_facts(source="", **facts):
        path = tmp_path / "common_utils.py"
        path.write_text(source)
        install(BuildFacts(**facts).to_dict(), path)
        return importlib.import_module

    for name in [
        name
        for name in sys.modules
        if name.partition(".")[0] in ("torch", "distutils", "pkg_resources")
    ]:
        del sys.modules[name]
    yield with_facts
    for name in [name for name in sys.modules if name not in kept]:
        del sys.modules[name]
    sys.modules.update(kept)


def test_a_cpu_build_has_no_accelerator(torch):
    load = torch()
    found = load("torch")
    assert (found.version.cuda, found.version.hip) == (None, None)
    assert (found.cuda.is_available(), found.cuda.device_count(), found._C.has_lapack) == (
        False,
        0,
        True,
    )
    assert load("torch.distributed").is_available()
    assert not load("torch.distributed").is_nccl_available()


def test_a_cuda_build_has_what_its_label_says(torch):
    found = torch(cuda="13.0", has_device=True, devices=2)("torch")
    assert (found.version.cuda, found.cuda.is_available(), found.cuda.device_count()) == (
        "13.0",
        True,
        2,
    )


def test_to_torch_rocm_is_cuda_too(torch):
    load = torch(hip="6.4", has_device=True, devices=1)
    assert load("torch").cuda.is_available()
    assert load("torch.testing._internal.common_utils").TEST_CUDA


def test_flags_are_read_from_the_variables_of_the_job(torch, monkeypatch):
    monkeypatch.setenv("PYTORCH_TEST_WITH_ASAN", "1")
    found = torch()("torch.testing._internal.common_utils")
    assert (found.TEST_WITH_ASAN, found.TEST_WITH_ROCM, found.IS_CI) == (True, False, False)


@pytest.mark.parametrize("name", ["backends", "_inductor", "float32"])
def test_anything_else_is_not_answered(torch, name):
    found = torch()("torch")
    with pytest.raises(UnanswerableError, match=f"torch.{name}"):
        getattr(found, name)
    with pytest.raises(UnanswerableError, match=f"torch.{name}"):
        importlib.import_module(f"torch.{name}")


def test_what_a_dry_run_never_calls_can_be_imported_but_not_called(torch):
    found = torch()("torch.testing._internal.common_utils")
    with pytest.raises(UnanswerableError, match="shell"):
        found.shell(["true"])


def test_the_options_that_old_releases_share_are_those_of_the_checkout(torch):
    found = torch(COMMON_UTILS)("torch.testing._internal.common_utils")
    parser = argparse.ArgumentParser(parents=[found.parser])
    options, rest = parser.parse_known_args(["--seed", "3", "--save-xml", "--accept", "--not-this"])
    assert (options.seed, options.accept, rest) == ("3", True, ["--not-this"])


def test_old_releases_compare_versions_with_strings(torch):
    version = torch()("distutils.version").LooseVersion
    assert version("11.10") >= "11.6"
    assert not version("11.5") >= "11.6"
    assert str(version("11.6")) == "11.6" == version("11.6")
    assert len({version("11.6"), version("11.6")}) == 1
    strtobool = importlib.import_module("distutils.util").strtobool
    assert (strtobool("True"), strtobool("0")) == (1, 0)


def test_the_process_looks_like_the_machine_of_the_job(monkeypatch):
    for module, name in (
        (sys, "version_info"),
        (platform, "machine"),
        (os.path, "exists"),
        (subprocess, "check_output"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    pretend(
        BuildFacts(hip="0", has_device=True, devices=4, python=(3, 14), machine="s390x").to_dict()
    )
    assert sys.version_info >= (3, 12)
    assert (sys.version_info.major, sys.version_info.minor) == (3, 14)
    assert platform.machine() == "s390x"
    assert os.path.exists("/opt/rocm")  # noqa: PTH110 - as test_selections.py asks
    assert not os.path.exists("/no such folder")  # noqa: PTH110
    assert subprocess.check_output(["rocminfo"], encoding="ascii").count(" gfx") == 4
