"""The comparison with the traces detects changes anywhere: each of these mutations makes it fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

CHECK = """
import sys
sys.path.insert(0, {tests!r})
from parity import test_parity
bad = {{kind: len(test_parity.differing(kind)) for kind in ("test", "helper", "preflight")}}
print(bad)
sys.exit(1 if any(bad.values()) else 0)
"""
TABLE, EXPORTS, SUITES = "catalogue/table.py", "catalogue/exports.py", "catalogue/suites/"
DEVICES, SETUP = "catalogue/devices.py", "catalogue/setup.py"
MUTATIONS = [
    ("a row removed", TABLE, '    row("einops", config_has("einops"), dynamo.einops),\n', ""),
    (
        "a substring for a whole name",
        TABLE,
        'config_is("distributed")',
        'config_has("distributed")',
    ),
    ("two rows swapped", TABLE, 'config_has("inductor_core")', 'config_has("inductor_")'),
    ("a part dropped from a shard", TABLE, "cpp.libtorch, cpp.xpu_bin", "cpp.xpu_bin"),
    ("a part on every shard", TABLE, "on_first_shard(python.aten)", "python.aten"),
    ("a flag dropped", EXPORTS, '        yield "PYTORCH_TEST_SKIP_FAST", "1"\n', ""),
    (
        "a flag's value",
        DEVICES,
        '"TORCHINDUCTOR_COMPILE_THREADS", "16"',
        '"TORCHINDUCTOR_COMPILE_THREADS", "32"',
    ),
    ("a flag for another device", DEVICES, "exports=_rocm_exports", "exports=_cuda_exports"),
    (
        "a crash that need not be",
        SETUP,
        '        yield python("torch._C._crash_if_vptr_ubsan()", Expect.FAILURE)\n',
        "",
    ),
    (
        "an option moved",
        "catalogue/model_benchmarks.py",
        "        *variant.options,\n        *shared,",
        "        *shared,\n        *variant.options,",
    ),
    ("a test dropped from a list", SUITES + "inductor.py", '    "cpp/test_shim",\n', ""),
    (
        "an export forgotten",
        SUITES + "distributed.py",
        "        export(CPP_TESTS_DIR=TORCH_BIN),\n",
        "",
    ),
    (
        "a helper forgotten",
        SUITES + "smoke.py",
        '            shell_function("install_nvmath"),\n',
        "",
    ),
]


def compare(folder):
    code = CHECK.format(tests=str(ROOT / "tests"))
    left_out = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    env["PYTHONPATH"] = str(folder)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def copy(tmp_path):
    package = tmp_path / "ci_sessions"
    shutil.copytree(ROOT / "ci_sessions", package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def test_the_unchanged_package_passes(tmp_path):
    copy(tmp_path)
    done = compare(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "old", "new"), [pytest.param(*rest, id=name) for name, *rest in MUTATIONS]
)
def test_a_mutation_is_detected(tmp_path, path, old, new):
    source = copy(tmp_path) / path
    text = source.read_text()
    assert text.count(old) == 1, "the mutation no longer matches the source: update it"
    source.write_text(text.replace(old, new))
    done = compare(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr or "is not a known configuration" in done.stderr, (
        done.stderr
    )
    assert Path(source).is_file()
