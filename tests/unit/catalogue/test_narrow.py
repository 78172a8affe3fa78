from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import make_plan

from ci_sessions.catalogue.narrow import can_narrow, narrow
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.checkout.features import Feature
from ci_sessions.errors import InputError
from ci_sessions.plan.step import Kind, Program, Step

OLD = replace(RECORDED, features=RECORDED.features - {Feature.CASE_EXPRESSION})


def step(line):
    return Step(kind=Kind.TEST, command=Program(tuple(line.split())))


def narrowed(line, *, files=(), cases=(), checkout=RECORDED):
    return list(narrow(step(line), files, cases, checkout).argv)


def test_a_file_replaces_the_selection_and_the_shard():
    line = "python test/run_test.py -i a b --shard 1 2 --exclude c --verbose"
    found = narrowed(line, files=["test/test_ops.py", "distributed/test_store"])
    assert found == [
        "python",
        "test/run_test.py",
        "--include",
        "test_ops",
        "distributed/test_store",
        "--exclude",
        "c",
        "--verbose",
    ]


@pytest.mark.parametrize(
    ("cases", "expression"),
    [
        (["test_a"], "test_a"),
        (["m.T.test_a"], "T and test_a"),
        (["test/test_y.py::T::test_a[1-x]"], "T and test_a[1-x]"),
        (["test_y.py::test_a"], "test_a"),
        (["test_y.py::T::test_a[a b]"], "T and test_a"),
        (["m.T.setUpClass"], "T"),
        (["m.T.test_a", "m.U.test_b"], "(T and test_a) or (U and test_b)"),
    ],
)
def test_a_case_is_an_expression_for_run_test(cases, expression):
    assert narrowed("python test/run_test.py --verbose -k take", cases=cases) == [
        *("python", "test/run_test.py", "--verbose", "-k", expression)
    ]


def test_before_pytorch_2_a_case_is_a_pattern_for_unittest():
    found = narrowed("python test/run_test.py -v", cases=["m.T.a", "b"], checkout=OLD)
    assert found == ["python", "test/run_test.py", "-v", "--", "-k", "*.T.a", "-k", "*.b"]


def test_a_case_of_pytest_is_its_node_id():
    line = "python -m pytest -v test/test_a.py"
    assert narrowed(line, cases=["test/test_a.py::T::b"])[-1] == "test/test_a.py::T::b"
    assert "test/test_a.py" not in narrowed(line, cases=["test/test_a.py::T::b"])
    assert narrowed(line, cases=["T.b"]) == [*line.split(), "-k", "T and b"]


def test_other_commands():
    line = "python test/test_public_bindings.py"
    assert narrowed(line, cases=["m.T.a"]) == [*line.split(), "T.a"]
    line = "python benchmarks/dynamo/huggingface.py --only A --inference"
    assert narrowed(line, cases=["Bert"])[2:] == ["--inference", "--only", "Bert"]


@pytest.mark.parametrize(
    ("line", "files", "cases"),
    [
        ("pip install x", (), ("a",)),
        ("python benchmarks/dynamo/huggingface.py", (), ("a", "b")),
        ("python benchmarks/dynamo/huggingface.py", ("a",), ()),
        ("python test/test_x.py", ("a",), ()),
        ("python test/run_test.py", (), ("T.a; rm -rf /",)),
    ],
)
def test_what_cannot_be_selected_is_an_error(line, files, cases):
    with pytest.raises(InputError):
        narrow(step(line), files, cases, RECORDED)


def test_user_text_stays_data():
    found = narrowed("python test/run_test.py", files=["$HOME"])
    assert found[-1] == "$$HOME"


def test_the_steps_of_a_plan_that_run_tests_can_be_narrowed():
    (test,) = (test for test in make_plan("jit_legacy").tests if test.name == "test_jit")
    assert [can_narrow(one) for one in test.steps] == [True]
