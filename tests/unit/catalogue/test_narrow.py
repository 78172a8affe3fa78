from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import make_plan

from ci_sessions.catalogue.narrow import can_narrow, narrow, narrow_test
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.checkout.features import Feature
from ci_sessions.errors import InputError
from ci_sessions.plan.plan import TestKind
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


MODEL = "DistilBertForMaskedLM"
HUGGINGFACE = "cpu_inductor_huggingface"
RESULTS = "$ROOT/test/test-reports/inference_huggingface.csv"


def of_model(config, number=None, cases=(MODEL,)):
    """Return the steps that run a model of a configuration: number and the start of the command."""
    tests = [test for test in make_plan(config).tests if test.kind is not TestKind.ADDED]
    return narrow_test(tests, number, (), cases, RECORDED).steps


def test_a_model_is_benchmarked_and_its_results_are_compared():
    remove, folder, run, *comparisons = of_model(HUGGINGFACE)
    assert remove.argv == ("rm", "-f", RESULTS)
    assert folder.argv[0] == "mkdir"
    assert run.argv[-2:] == ("--only", MODEL)
    assert RESULTS in run.argv
    assert [step.argv[1].rpartition("/")[2] for step in comparisons] == [
        *("check_accuracy.py", "check_graph_breaks.py")
    ]
    assert all("--only" not in step.argv for step in comparisons)


def test_a_model_runs_in_every_mode_of_the_test():
    steps = of_model("huggingface")
    models = [step for step in steps if "--only" in step.argv]
    assert [("--training" in step.argv) for step in models] == [False, True]
    assert len([step for step in steps if "--actual" in step.argv]) == 4
    assert len(steps[0].argv) == 4  # removes the results of both


def test_the_number_of_a_benchmark_selects_it_alone():
    (number,) = (one.number for one in of_model(HUGGINGFACE) if "--only" in one.argv)
    assert [one.argv[0] for one in of_model(HUGGINGFACE, number)] == ["rm", "mkdir", "python"]


def test_the_number_of_a_comparison_also_selects_what_it_compares():
    graphs = of_model(HUGGINGFACE)[-1]
    *_, run, compare = of_model(HUGGINGFACE, graphs.number)
    assert run.argv[-2:] == ("--only", MODEL)
    assert compare == graphs


def test_the_steps_of_several_tests_are_named():
    plan = make_plan("docs_test")
    with pytest.raises(InputError, match="--test test_jit --step 1; --test test_jit_legacy --ste"):
        narrow_test(make_plan("jit_legacy").tests, None, (), ("a",), RECORDED)
    with pytest.raises(InputError, match="no selected step runs one"):
        narrow_test(plan.select(["test_docs"]).tests, None, (), ("a",), RECORDED)
