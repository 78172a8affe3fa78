from __future__ import annotations

import pytest
from packaging.version import Version

from ci_sessions.catalogue.devices import device_of
from ci_sessions.job.build_environment import BuildEnvironment, label_problem


def test_a_cuda_label_gives_all_its_facts():
    build = BuildEnvironment.parse("linux-jammy-cuda13.0-py3.10-gcc11-sm86")
    assert build.architecture == "x86_64"
    assert (build.python, build.compiler, build.sm) == ("3.10", "gcc", 86)
    assert (build.versions["cuda"], build.versions["gcc"]) == (Version("13.0"), Version("11"))
    assert build.describe("cuda") == "cuda 13.0, python 3.10, gcc 11, sm86"


@pytest.mark.parametrize(
    ("label", "facts"),
    [
        ("linux-noble-rocm-py3.12-mi355", {"device": "rocm"}),
        ("linux-noble-xpu-n-py3.10-client", {"device": "xpu"}),
        ("linux-jammy-py3.12-gcc11-pallas-tpu", {"device": "tpu"}),
        ("linux-jammy-aarch64-py3.11", {"architecture": "aarch64", "device": "cpu"}),
        ("linux-s390x-binary-manywheel", {"architecture": "s390x"}),
        ("linux-jammy-py3.14t-clang21", {"python": "3.14t", "compiler": "clang"}),
        ("linux-jammy-py3.11-clang21-asan", {"sanitizers": frozenset({"asan"})}),
        ("linux-jammy-py3.14-clang21-tsan", {"sanitizers": frozenset({"tsan"})}),
        ("linux-vulkan-jammy-py3.10-clang15", {"compiler": "clang"}),
        ("linux-jammy-cpu-libtorch-debug", {"is_debug": True}),
        (
            "linux-jammy-cuda13.0-py3-gcc11-slow-gradcheck",
            {"python": "3", "compiler": "gcc"},
        ),
        ("linux-jammy-py3.10-gcc11-mobile-lightweight-dispatch-build", {"compiler": "gcc"}),
        ("linux-jammy-py3-clang12-bazel-test", {"python": "3", "compiler": "clang"}),
        ("linux-jammy-cuda-py3", {"device": "cuda", "compiler": None}),
        ("linux-x-sm90a", {"sm": None}),
        ("something-new", {"device": "cpu", "python": None}),
    ],
)
def test_labels_of_all_kinds(label, facts):
    build = BuildEnvironment.parse(label)
    assert label_problem(label) is None
    found = {name: getattr(build, name) for name in facts if name != "device"}
    found |= {"device": device_of(build).name} if "device" in facts else {}
    assert found == facts


def test_has_is_a_substring_as_in_the_script():
    build = BuildEnvironment.parse("linux-jammy-cuda13.2-py3.11-gcc11")
    assert build.has("cuda13")
    assert not build.has("cuda12")
    assert [build.is_asan, build.is_debug] == [False, False]


def test_a_description_names_architecture_sanitizers_and_debug():
    build = BuildEnvironment.parse("linux-jammy-aarch64-py3.10-clang15-asan-debug")
    assert build.describe("cpu") == "cpu, python 3.10, clang 15, aarch64, asan, debug"
    assert BuildEnvironment.parse("linux").describe("cpu") == "cpu"


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("linux jammy", "contains ' ': use only letters"),
        ("linux;rm", "contains ';': use only letters"),
        ("linux-cuda1..2-py3", "'cuda1..2' has no valid version"),
        ("linux-gcc11x!", "contains '!'"),
        ("linux-rocm6.x.y-py3", "'rocm6.x.y' has no valid version"),
        ("linux-py3.x", "'py3.x' has no valid version after 'py': write it as py3.10 or py3.14t"),
        ("linux-gcc\u00b2", "contains '\u00b2'"),
        ("x" * 501, "has 501 characters"),
    ],
)
def test_an_invalid_label_is_reported_with_an_example(label, message):
    problem = label_problem(label)
    assert problem is not None
    assert message in problem
    assert problem.startswith("BUILD_ENVIRONMENT ")
