from __future__ import annotations

import pytest
from packaging.version import Version

from ci_sessions.job.build_environment import BuildEnvironment, Device, label_fault


def test_a_cuda_label_gives_all_its_facts():
    build = BuildEnvironment.parse("linux-jammy-cuda13.0-py3.10-gcc11-sm86")
    assert (build.system, build.distribution, build.architecture) == ("linux", "jammy", "x86_64")
    assert (build.device, build.device_version) == (Device.CUDA, Version("13.0"))
    assert (build.python, build.compiler, build.compiler_version) == ("3.10", "gcc", Version("11"))
    assert build.sm == 86
    assert build.describe() == "cuda 13.0, python 3.10, gcc 11, sm86"


@pytest.mark.parametrize(
    ("label", "facts"),
    [
        ("linux-noble-rocm-py3.12-mi355", {"device": Device.ROCM, "other": ("mi355",)}),
        ("linux-noble-xpu-n-py3.10-client", {"device": Device.XPU, "other": ("n", "client")}),
        ("linux-jammy-py3.12-gcc11-pallas-tpu", {"device": Device.TPU, "other": ("pallas",)}),
        ("linux-jammy-aarch64-py3.11", {"architecture": "aarch64", "device": Device.CPU}),
        ("linux-s390x-binary-manywheel", {"architecture": "s390x"}),
        ("linux-jammy-py3.14t-clang21", {"python": "3.14t", "compiler": "clang"}),
        ("linux-jammy-py3.11-clang21-asan", {"sanitizers": frozenset({"asan"})}),
        ("linux-jammy-py3.14-clang21-tsan", {"sanitizers": frozenset({"tsan"})}),
        ("linux-vulkan-jammy-py3.10-clang15", {"other": ("vulkan",)}),
        ("linux-jammy-cpu-libtorch-debug", {"is_debug": True, "other": ("libtorch",)}),
        (
            "linux-jammy-cuda13.0-py3-gcc11-slow-gradcheck",
            {"python": "3", "other": ("slow", "gradcheck")},
        ),
        ("linux-jammy-py3.10-gcc11-mobile-lightweight-dispatch-build", {"compiler": "gcc"}),
        ("linux-jammy-py3-clang12-bazel-test", {"other": ("bazel", "test")}),
        ("linux-jammy-cuda-py3", {"device": Device.CUDA, "device_version": None}),
        ("linux-x-sm90a", {"sm": None}),
        ("something-new", {"device": Device.CPU, "other": ("something", "new")}),
    ],
)
def test_labels_of_all_kinds(label, facts):
    build = BuildEnvironment.parse(label)
    assert label_fault(label) is None
    assert {name: getattr(build, name) for name in facts} == facts


def test_has_is_a_substring_as_in_the_script():
    build = BuildEnvironment.parse("linux-jammy-cuda13.2-py3.11-gcc11")
    assert build.has("cuda13")
    assert not build.has("cuda12")
    assert build.is_cuda
    assert build.is_gpu
    assert [build.is_rocm, build.is_xpu, build.is_asan, build.is_debug] == [False] * 4


def test_a_description_names_architecture_sanitizers_and_debug():
    build = BuildEnvironment.parse("linux-jammy-aarch64-py3.10-clang15-asan-debug")
    assert build.describe() == "cpu, python 3.10, clang 15, aarch64, asan, debug"
    assert BuildEnvironment.parse("linux").describe() == "cpu"


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("linux jammy", "has ' ' in it"),
        ("linux;rm", "has ';' in it"),
        ("linux-cuda1..2-py3", "'cuda1..2' has no version"),
        ("linux-gcc11x!", "has '!' in it"),
        ("linux-rocm6.x.y-py3", "'rocm6.x.y' has no version"),
    ],
)
def test_a_broken_label_is_named_with_a_remedy(label, said):
    fault = label_fault(label)
    assert fault is not None
    assert said in fault
    assert fault.startswith("BUILD_ENVIRONMENT is")
