from __future__ import annotations

import dataclasses
import json

import pytest
from conftest import make_job, make_plan

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.scheduled import scheduled_matrices
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.errors import InputError
from ci_sessions.job.job_json import job_from_json
from ci_sessions.plan.facts import Condition
from ci_sessions.plan.placeholders import render
from ci_sessions.plan.plan import Draft, Export, Plan, TestKind, assemble
from ci_sessions.plan.plan_json import plan_from_json, plan_to_json
from ci_sessions.plan.step import Kind, Policy, Program, Step

CUDA = "linux-jammy-cuda13.0-py3.10-gcc11"


def step(*argv, **more):
    return Step(kind=more.pop("kind", Kind.TEST), command=Program(argv), is_test=True, **more)


def draft(name, *items, kind=TestKind.REPLACES, **more):
    return Draft(name=name, kind=kind, items=items, **more)


def assembled(*drafts, before=None, **env):
    plan = Plan(job=make_job(), row="r", suites=("s",), env=env, setup=(), tests=())
    return assemble(plan, drafts, before=before or {}, scripts=".ci/pytorch")


def test_argv_is_a_tuple_of_strings():
    for argv in ("ls -l", (), ("ls", 1)):
        with pytest.raises(TypeError, match="argv must be a non-empty tuple of strings, but was"):
            Program(argv)
    with pytest.raises(ValueError, match="starts no placeholder"):
        Program(("ls", "$HERE"))


def test_an_export_applies_to_later_steps_and_tests():
    plan = assembled(
        draft("a", step("1"), Export({"X": "1"}), step("2")),
        draft("b", step("3", env={"Y": "2"})),
    )
    assert [dict(s.env) for t in plan.tests for s in t.steps] == [
        {},
        {"X": "1"},
        {"X": "1", "Y": "2"},
    ]


def test_an_added_test_sees_exports_but_its_own_end_with_it():
    plan = assembled(
        draft("a", Export({"X": "1"}), step("1")),
        draft("mine", Export({"X": "2"}), step("2"), kind=TestKind.ADDED),
        draft("b", step("3")),
    )
    assert [s.env["X"] for t in plan.tests for s in t.steps] == ["1", "2", "1"]


def test_an_export_can_prepend_to_the_previous_value():
    item = Export({"LD_PRELOAD": "new:${before:LD_PRELOAD}"})

    def last(*items, **more):
        return assembled(draft("a", *items, step("1")), **more).tests[0].steps[0].env["LD_PRELOAD"]

    assert last(item) == "new:"
    assert last(item, item, LD_PRELOAD="old") == "new:new:old"
    assert last(item, before={"LD_PRELOAD": "$$mine"}) == "new:$$mine"


def test_file_steps_do_not_carry_exports():
    plan = assembled(draft("a", Export({"X": "1"}), step("ln", kind=Kind.FILE)))
    assert plan.tests[0].steps[0].env == {}


def test_the_script_folder_is_filled_in_when_a_plan_is_made():
    plan = assembled(draft("a", step("$SCRIPTS/x.sh", "$ROOT", cwd="$ROOT/$SCRIPTS")))
    assert plan.tests[0].steps[0].argv == (".ci/pytorch/x.sh", "$ROOT")
    assert plan.tests[0].steps[0].cwd == "$ROOT/.ci/pytorch"


def test_a_selected_step_keeps_its_number_and_id():
    plan = make_plan("distributed", CUDA, "1/3")
    test = plan.tests[0]
    assert [one.number for one in test.steps] == list(range(1, len(test.steps) + 1))
    *links, chosen = plan.select(["test_distributed"]).only_step(7).tests[0].steps
    assert chosen == test.steps[6]
    assert [link.argv[0] for link in links] == ["ln", "ln"]
    assert plan.step_id(test.name, chosen.number) == "distributed.test_distributed.7"


def test_a_selection_keeps_the_environment_of_the_whole_job():
    plan = make_plan("distributed", "linux-jammy-cuda13.0-py3.10-gcc11", "1/3")
    chosen = plan.select(["test_c10d_gloo"])
    assert [test.name for test in chosen.tests] == ["test_c10d_gloo"]
    assert chosen.tests[0].steps[0].env == {"CPP_TESTS_DIR": "$SITE/torch/bin"}
    assert chosen.setup == plan.setup


@pytest.mark.parametrize(
    ("names", "number", "message"),
    [
        (
            ["nope"],
            None,
            "--test is 'nope', but jit_legacy has no such test: choose from test_jit, test_jit_legacy.",
        ),
        (
            [],
            1,
            "--step is 1, but 2 tests are selected: add --test with one of test_jit, test_jit_legacy.",
        ),
        (["test_jit"], 2, "--step is 2, but test_jit has 1 step: list them with --dry-run."),
        (["test_jit"], 0, "--step is 0, but test_jit has 1 step: list them with --dry-run."),
    ],
)
def test_an_invalid_selection(names, number, message):
    def choose():
        plan = make_plan().select(names)
        return plan if number is None else plan.only_step(number)

    with pytest.raises(InputError) as caught:
        choose()
    assert caught.value.problems == (message,)


def test_added_tests_can_be_left_out():
    assert [t.name for t in make_plan().without_added().tests] == ["test_jit_legacy"]


def test_a_plan_as_json():
    data = json.loads(json.dumps(plan_to_json(make_plan("torchbench"))))
    assert data["job"]["id"] == "linux-jammy-py3-10-gcc11.torchbench.1of1"
    assert [test["name"] for test in data["tests"]] == ["test_benchmarks", "test_torchbench"]
    steps = data["tests"][1]["steps"]
    assert steps[0]["id"] == "torchbench.test_torchbench.1"
    assert steps[0]["when"]["line"].startswith("! ls dist/audio")
    assert [question["name"] for question in data["questions"]] == ["tbb", "workspace_owner"]
    assert data["tests"][0]["kind"] == "added"


def test_every_scheduled_plan_survives_json():
    for matrix in scheduled_matrices():
        job = job_from_json(matrix.jobs()[0], config_facts)
        plan = plan_job(job, RECORDED)
        again = plan_from_json(json.loads(json.dumps(plan_to_json(plan))))
        assert again == plan
        assert again.used_questions() == plan.used_questions()
    with pytest.raises(InputError, match="the plan's format is 1, but this version reads format 3"):
        plan_from_json({"format": 1})


def test_user_input_is_never_expanded():
    typed = "$HOME ${ask:cores} RANDOM PIN-vision $ROOT {} {LD_PRELOAD}"
    plan = make_plan("python", TESTS_TO_INCLUDE=typed, LD_PRELOAD="$HOME/x.so")
    words = [render(word, lambda piece: f"<{piece}>") for word in plan.tests[0].steps[0].argv]
    assert words[words.index("--include") + 1 : -1] == typed.split()


def test_a_plan_has_tests_only_if_one_would_run():
    assert make_plan().has_tests
    assert not make_plan("default", "linux-jammy-cpu-libtorch-debug").has_tests
    skipped = assembled(draft("a", step("1"), skipped="no"))
    assert not skipped.has_tests


def test_a_step_keeps_all_of_its_fields_in_a_plan():
    """It is copied by hand, which must not forget a field."""
    step = Step(
        kind=Kind.TEST,
        command=Program(("true",)),
        cwd="test",
        policy=Policy(always=True),
        is_test=True,
        when=Condition(name="x", description="x is there", line="test -e x"),
        skipped="not today",
    )
    defaults = Step(kind=Kind.PROBE, command=Program(("false",)))
    names = {item.name for item in dataclasses.fields(Step)} - {"env", "number"}
    assert all(getattr(step, name) != getattr(defaults, name) for name in names)
    expected = dataclasses.replace(step, number=3, env={"A": "1"})
    assert step.in_plan(3, {"A": "1"}) == expected
