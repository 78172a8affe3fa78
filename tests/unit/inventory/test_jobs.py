from __future__ import annotations

from conftest import ROOT

from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.inventory.jobs import (
    ScriptCommand,
    answered,
    binaries_in,
    plan_inventory,
    script_inventory,
)
from ci_sessions.inventory.selection import Selection

LINE = {
    "config": "default",
    "build_environment": "linux-jammy-py3.10-gcc11",
    "shard": 1,
    "num_shards": 5,
    "workflows": ["pull.yml"],
}
RUN_TEST = (ROOT / "examples" / "checkout" / "test" / "run_test.py").read_text()
ALL = "'--verbose' '--exclude-jit-executor' '--exclude-distributed-tests' '--shard'"


def steps(line=LINE, text=""):
    return plan_inventory(line, RECORDED, text).steps


def test_a_step_asks_with_its_own_options_and_the_variables_of_the_job():
    main = next(step for step in steps() if step.is_main)
    assert main.test == "test_python_shard"
    assert main.question.argv[0] == "test/run_test.py"
    assert main.question.shard == (1, 5)
    env = main.question.env
    assert (env["TEST_CONFIG"], env["SHARD_NUMBER"], env["BUILD_ENVIRONMENT"]) == (
        "default",
        "1",
        LINE["build_environment"],
    )


def test_steps_without_run_test_are_listed_as_what_they_are():
    others = [step for step in steps() if step.question is None]
    assert ("aten/tools/run_tests.sh", "build/bin") in {step.argv[:2] for step in others}


def test_the_number_of_a_step_is_that_of_the_plan():
    assert next(step.number for step in steps() if step.is_main) > 1


def test_variables_that_only_a_pull_request_has_are_not_asked_with():
    line = {
        **LINE,
        "env": {
            "CI": "1",
            "PR_NUMBER": "7",
            "GITHUB_ACTIONS": "true",
            "TESTS_TO_INCLUDE": "test_ops",
        },
    }
    env = next(step for step in steps(line) if step.is_main).question.env
    assert not {"CI", "PR_NUMBER", "GITHUB_ACTIONS"} & set(env)
    assert env["TESTS_TO_INCLUDE"] == "test_ops"


def test_options_that_run_test_does_not_know_are_named_with_their_step():
    (main,) = (step for step in steps(text=ALL) if step.is_main)
    assert main.unknown == ("--exclude-quantization-tests", "--upload-artifacts-while-running")


def test_a_job_that_cannot_be_planned_says_why():
    found = plan_inventory({**LINE, "config": "no_such_config"}, RECORDED, "")
    assert "not a known configuration" in found.problem
    assert found.steps == ()


def test_added_tests_are_not_what_ci_runs():
    line = {**LINE, "config": "distributed", "shard": 1, "num_shards": 1}
    assert "test_c10d_gloo" not in {step.test for step in steps(line)}


def test_cpp_tests_are_those_that_commands_name():
    assert "test_api" in binaries_in([plan_inventory(LINE, RECORDED, "")])


def test_answers_come_to_their_steps():
    job = plan_inventory(LINE, RECORDED, "")
    answers = {step.question.key: Selection(parts=()) for step in job.steps if step.question}
    assert all(step.selection for step in answered(job, answers).steps if step.question)


def test_the_steps_of_a_traced_script_have_its_lines():
    argv = ("python", "test/run_test.py", "--include", "test_ops", "--new")
    commands = [
        ScriptCommand(argv=argv, cwd=".", env={"VALGRIND": "ON"}, place="test.sh:7"),
        ScriptCommand(argv=("make", "test"), cwd=".", env={}, place="test.sh:9"),
    ]
    found = script_inventory({**LINE, "config": "any_name"}, commands, "'--include'")
    first, second = found.steps
    assert (first.test, first.number, first.unknown, first.env) == (
        "test.sh:7",
        1,
        ("--new",),
        {"VALGRIND": "ON"},
    )
    assert (first.question.env["VALGRIND"], first.question.env["TEST_CONFIG"]) == ("ON", "any_name")
    assert (second.test, second.question) == ("test.sh:9", None)


def test_a_job_of_a_script_that_is_no_job_says_why():
    assert script_inventory({**LINE, "shard": 9}, [], "").problem is not None
