from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
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


WORDS = st.sampled_from(
    ["linux", "jammy", "cuda13.0", "py3.10", "py3.14t", "py3", "gcc11", "clang21", "sm86", "sm90a",
     "asan", "debug", "aarch64", "rocm", "xpu", "2.0.dev1", "v1!2", "", "_", "gcc1.x"]
)  # fmt: skip
LABELS = st.lists(WORDS | st.text(max_size=8), max_size=8).map("-".join) | st.text(max_size=600)


@given(LABELS)
def test_any_label_is_parsed_and_invalid_ones_are_reported(label):
    build = BuildEnvironment.parse(label)
    assert build.label == label
    assert isinstance(build.describe("cpu"), str)
    problem = label_problem(label)
    assert problem is None or problem.startswith("BUILD_ENVIRONMENT ")


@given(LABELS)
def test_the_facts_of_a_valid_label_are_words_of_it(label):
    if label_problem(label) is None:
        build, words = BuildEnvironment.parse(label), label.split("-")
        assert build == BuildEnvironment.parse("-".join(words))
        assert build.python in (None, "3") or f"py{build.python}" in words
        assert build.sm is None or any(
            word.startswith("sm") and int(word[2:]) == build.sm
            for word in words
            if word[2:].isdigit()
        )
        for name, version in build.versions.items():
            texts = [word.removeprefix(name) for word in words if word.startswith(name)]
            assert str(version) in {str(Version(text.removesuffix("t"))) for text in texts if text}


def test_a_version_with_thousands_of_digits_is_none():
    build = BuildEnvironment.parse(f"linux-gcc{'1' * 5000}-cuda13.0")
    assert set(build.versions) == {"cuda"}
