from __future__ import annotations

import pytest
from conftest import make_job

from ci_sessions.inventory.facts import BuildFacts, facts_of


def test_a_cpu_label_has_no_accelerator():
    assert facts_of(make_job(build="linux-jammy-py3.10-gcc11")) == BuildFacts(python=(3, 10))


def test_a_cuda_label_selects_as_a_machine_with_cuda_does():
    facts = facts_of(make_job(build="linux-jammy-cuda13.0-py3.12-gcc11"))
    assert (facts.cuda, facts.hip, facts.has_device, facts.devices) == ("13.0", None, True, 1)


def test_a_configuration_without_gpu_has_the_build_but_no_device():
    facts = facts_of(make_job("nogpu_AVX512", build="linux-jammy-cuda13.0-py3.10-gcc11"))
    assert (facts.cuda, facts.has_device, facts.devices) == ("13.0", False, 0)


@pytest.mark.parametrize(
    ("runner", "devices"),
    [("linux.rocm.gpu.gfx950.4", 4), ("linux.rocm.gpu.mi300.1", 1), ("linux.rocm.gpu.gfx1100", 1), ("", 1)],
)  # fmt: skip
def test_the_label_of_a_rocm_runner_counts_its_devices(runner, devices):
    facts = facts_of(make_job(build="linux-jammy-rocm-py3.10-mi300"), runner)
    assert (facts.cuda, facts.hip, facts.devices) == (None, "0", devices)


def test_the_version_of_python_and_the_architecture_are_those_of_the_label():
    facts = facts_of(make_job(build="linux-jammy-aarch64-py3.14t-clang21"))
    assert (facts.python, facts.machine) == ((3, 14), "aarch64")
    assert facts_of(make_job(build="linux-jammy-cuda13.0-py3-gcc11")).python is None
