from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from conftest import make_plan
from unit.report.test_run import run, step

from ci_sessions.records.record import Case, Cases, Outcome
from ci_sessions.report.repeat import Invocation, repeat_commands

INVOCATION = Invocation(argv=("nox", "-s", "ci(config='x')", "--"), inputs={"X": "1 2"})
PLAIN = (
    "(cd '/py torch' && env -u B A='1 2' python test/run_test.py "
    "--include test_jit_legacy test_jit_fuser_legacy --verbose)"
)
START = "X='1 2' nox -s \"ci(config='x')\" --"


def again(failed, *, invocation=INVOCATION, env=MappingProxyType({})):
    return repeat_commands(
        make_plan("jit_legacy"), failed, invocation, root=Path("/py torch"), env=env
    )


def test_the_first_failed_step_is_repeated_alone_and_without_ci_sessions():
    failed = run(step(1, outcome=Outcome.FAILED), step(2, outcome=Outcome.FAILED))
    assert again(failed, env={"A": "1 2", "B": None}) == {
        "this step, without the job's set-up (--setup adds it)": [
            f"{START} --test test_jit_legacy --step 1"
        ],
        "this step, without ci_sessions": [PLAIN],
    }
    (plain,) = again(failed, invocation=None).values()
    assert plain[0].startswith("(cd '/py torch' && env python test/run_test.py")
    assert again(run()) == {}


def test_a_check_of_the_checkout_is_repeated_with_the_steps_that_it_checks():
    failed = run(step(2, outcome=Outcome.FAILED))
    assert again(failed) == {"this test": [f"{START} --test test_jit_legacy"]}


def test_a_setup_step_is_repeated_alone():
    setup = run(step(5, test="setup", outcome=Outcome.FAILED))
    found = again(setup)
    assert found["this step of the job's set-up"] == [f"{START} --test setup --step 5"]
    (plain,) = found["this step, without ci_sessions"]
    assert "bash -c" in plain
    assert "_crash_if_debug" in plain


def test_one_case_of_each_message_is_repeated_in_its_file():
    failed = tuple(
        Case(f"jit.T.test_{n}", "error", f"message {n % 2}", test_file="test_jit_legacy")
        for n in range(6)
    )
    cases = Cases(failed=(*failed, Case("a case with blanks", "error", "other")))
    found = again(run(step(1, outcome=Outcome.FAILED, cases=cases)))
    options = "--test test_jit_legacy --step 1 --file test_jit_legacy"
    assert found["one case of each message"] == [
        f"{START} {options} --case jit.T.test_0",
        f"{START} {options} --case jit.T.test_1",
    ]


HUGGINGFACE = make_plan("cpu_inductor_huggingface")


def of_model(number, *, narrowing=(), cases=None):
    """Return the commands after a failure of a step of the benchmark."""
    (test,) = HUGGINGFACE.tests
    failed = run(step(number, test=test.name, outcome=Outcome.FAILED, cases=cases))
    invocation = replace(INVOCATION, narrowing=narrowing)
    return repeat_commands(HUGGINGFACE, failed, invocation, root=Path("/py"), env={})


def numbers():
    """Return the numbers of the benchmark and of the comparison of its accuracy."""
    (test,) = HUGGINGFACE.tests
    run_models, compare = (
        next(one.number for one in test.steps if f"{name}.py" in " ".join(one.argv[:2]))
        for name in ("huggingface", "check_accuracy")
    )
    return run_models, compare


def test_a_step_is_repeated_with_the_folders_that_it_needs():
    plain = of_model(numbers()[0])["this step, without ci_sessions"][0]
    assert plain.startswith('(cd /py && mkdir -p "$ROOT"/test/test-reports && env python bench')


def test_a_step_is_repeated_with_the_same_selection():
    number = numbers()[0]
    found = of_model(number, narrowing=("--case", "A"))
    options = f"--test test_dynamo_benchmark --step {number} --case A"
    assert [f"{START} {options}"] in found.values()


def test_the_only_case_of_a_run_is_repeated_once():
    number = numbers()[1]
    cases = Cases(failed=(Case("Bert", "failure", "accuracy status regressed"),))
    found = of_model(number, cases=cases, narrowing=("--case", "Bert"))
    assert list(found) == ["one case of each message"]


def test_a_comparison_is_repeated_with_the_benchmark_of_the_models_that_differ():
    number = numbers()[1]
    cases = Cases(failed=(Case("Bert", "failure", "accuracy status regressed"),))
    assert of_model(number, cases=cases) == {
        "one case of each message": [
            f"{START} --test test_dynamo_benchmark --step {number} --case Bert"
        ],
        "this test": [f"{START} --test test_dynamo_benchmark"],
    }


def test_a_test_that_needs_changed_files_is_repeated_as_a_whole():
    plan = make_plan("default", "linux-jammy-py3.10-clang18-asan", "1/1")
    found = [
        (test.name, one.number)
        for test in plan.tests
        for at, one in enumerate(test.steps)
        if one.is_test and any(x.argv[0] in ("cp", "mv") for x in test.steps[:at])
    ]
    for name, number in found:
        failed = run(step(number, test=name, outcome=Outcome.FAILED))
        lines = repeat_commands(plan, failed, INVOCATION, root=Path("/py"), env={})
        assert list(lines) == ["this test"]
    assert found
