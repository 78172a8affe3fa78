"""A plan says which functions and files it calls that the checkout does not have."""

from __future__ import annotations

import pytest
from conftest import make_plan

from ci_sessions.catalogue.missing import missing_from, other_device

COMMON = ".ci/pytorch/common_utils.sh"
BUILD = "linux-jammy-cuda13.0-py3.12-gcc11-sm100"
FUNCTION = "install_cutlass_api"


@pytest.fixture
def tree(tmp_path):
    """Write files of a checkout, by path."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def calls(plan):
    """Return the functions that a plan calls."""
    return {step.argv[0] for step in plan.steps() if step.kind == "helper"}


def helpers(names):
    return "".join(f"{name}() {{\n  :\n}}\n" for name in sorted(names))


PLAN = make_plan("smoke_b200", BUILD)


def test_a_function_that_the_trees_scripts_do_not_define(tree):
    root = tree({COMMON: helpers(calls(PLAN) - {FUNCTION}), "test/run_test.py": ""})
    (sentence,) = [text for text in missing_from(PLAN, root) if "function" in text]
    assert f" no function {FUNCTION} in " in sentence
    assert COMMON in sentence
    root = tree({COMMON: helpers(calls(PLAN))})
    assert not [text for text in missing_from(PLAN, root) if "function" in text]


@pytest.mark.parametrize("form", ["function NAME {\n", "  NAME ()\n{\n", "function NAME() {\n"])
def test_each_form_of_a_definition_counts(tree, form):
    names = calls(PLAN)
    text = "".join(form.replace("NAME", name) + "  :\n}\n" for name in names)
    assert not [one for one in missing_from(PLAN, tree({COMMON: text})) if "function" in one]


def test_a_function_may_be_in_a_file_that_is_sourced(tree):
    other = ".ci/pytorch/more.sh"
    files = {COMMON: 'source "$(dirname "$0")/more.sh"\n', other: helpers(calls(PLAN))}
    assert not [one for one in missing_from(PLAN, tree(files)) if "function" in one]


def test_a_file_that_a_step_runs(tree):
    plan = make_plan("jit_legacy")
    root = tree({COMMON: helpers(calls(plan)), "test/test_jit.py": ""})
    assert any("has no test/run_test.py, which step" in text for text in missing_from(plan, root))
    root = tree({"test/run_test.py": ""})
    assert not any("run_test.py" in text for text in missing_from(plan, root))


def test_a_shell_file_that_is_missing(tree):
    root = tree({"test/run_test.py": ""})
    (sentence,) = [text for text in missing_from(PLAN, root) if COMMON in text]
    assert f"has no {COMMON} and no .ci/pytorch/torch_trace.sh, which step" in sentence
    assert "function" not in sentence


def test_options_that_run_test_does_not_know(tree):
    root = tree({"test/run_test.py": "add_argument('--include', \"--verbose\", '--exclude-jit')"})
    plan = make_plan("distributed", "linux-jammy-cuda13.0-py3.10-gcc11", "1/3")
    found = [text for text in missing_from(plan, root) if "option" in text]
    assert any(
        "no option --distributed-tests in test/run_test.py" in text
        and text.endswith("which step 3 of test_distributed needs")
        for text in found
    )
    assert not any("--verbose" in text or "--include" in text for text in found)


def test_an_option_is_named_for_each_step_that_has_it(tree):
    tests = dict.fromkeys(
        ("test/test_jit.py", "test/test_jit_legacy.py", "test/test_jit_fuser_legacy.py"), ""
    )
    root = tree({"test/run_test.py": "'--include'", **tests})
    found = missing_from(make_plan("jit_legacy"), root)
    assert [text.rpartition("--verbose")[2] for text in found] == [
        " in test/run_test.py, which step 1 of test_jit needs",
        " in test/run_test.py, which step 1 of test_jit_legacy needs",
    ]


@pytest.mark.parametrize(
    ("config", "build", "sentence"),
    [
        ("huggingface", "linux-jammy-py3.10-gcc11", ": cpu_inductor_huggingface runs there"),
        ("inductor_timm", "linux-jammy-py3.10-gcc11", "and the build is for the CPU"),
        ("huggingface", "linux-jammy-cuda13.0-py3.10-gcc11", None),
        ("cpu_inductor_huggingface", "linux-jammy-py3.10-gcc11", None),
    ],
)
def test_a_benchmark_on_a_device_that_the_build_does_not_have(config, build, sentence):
    found = other_device(make_plan(config, build))
    assert (len(found) == 1 and found[0].endswith(sentence)) if sentence else found == ()


def test_test_files_that_the_checkout_does_not_have(tree):
    files = {"test/run_test.py": "'--include', '--verbose', '-i', 'doctests'"}
    root = tree({**files, "test/test_jit_fuser_legacy.py": ""})
    found = missing_from(make_plan("jit_legacy"), root)
    assert [text.removeprefix("this checkout has no test file ") for text in found] == [
        "test/test_jit.py, which step 1 of test_jit needs",
        "test/test_jit_legacy.py, which step 1 of test_jit_legacy needs",
    ]
    tree({".ci/pytorch/docs-test.sh": ""})
    assert missing_from(make_plan("docs_test"), root) == ()
    tree({".ci-sessions-sample": ""})
    assert missing_from(make_plan("jit_legacy"), root) == ()
