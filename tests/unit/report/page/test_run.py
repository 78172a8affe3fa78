"""One run as a page shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ci_sessions.records.record import Case, Cases, Outcome, RunRecord, StepRecord
from ci_sessions.records.route import Reason, RouteRecord, Runner
from ci_sessions.report.page.rollout import Tone
from ci_sessions.report.page.run import view_run

CASES = Cases(
    100, 1, 20, 3,
    failed=(
        *(Case(f"jit.test_{n}", "error", "no library", f"test/jit/{n}.py", n) for n in range(20)), Case("jit.alone", "failure"),
    ),
)  # fmt: skip
STEP = StepRecord(
    id="jit_legacy.test_jit.1", test="test_jit", number=1, kind="test", command="python test/run_test.py", is_test=True,
    started="2026-11-01T10:00:01.000Z", outcome=Outcome.FAILED, code=1, wall=90.0, cpu=5.0, peak=2_100_000_000, cases=CASES,
    tail=("the", "end"), log="x.log",
)  # fmt: skip
RUN = RunRecord(
    id="r", job={"config": "jit_legacy", "build_environment": "linux-x", "shard": 2, "num_shards": 3},
    started="2026-11-01T10:00:00.000Z", outcome=Outcome.FAILED, exit_code=1, wall=100.0, steps=(STEP,), checkout="/c",
)  # fmt: skip


def view(run=RUN):
    return view_run(run, {"this step": ["ci-sessions run"]}, "a.jsonl")


def test_a_red_run_says_why():
    page = view()
    assert (page.config, page.build, page.shard) == ("jit_legacy", "linux-x", "shard 2 of 3")
    assert (page.headline, page.tone) == ("test_jit: 21 cases failed", Tone.BAD)
    assert (page.started, page.wall) == ("2026-11-01 10:00:00 UTC", "1 min 40 s")
    assert page.facts == (
        ("exit code", "1"), ("runner", "python"), ("checkout", "/c"), ("record", "a.jsonl")
    )  # fmt: skip


def test_failed_cases_are_grouped_by_message_with_some_names():
    (step,) = view().failed
    assert step.cases == "100 cases, 1 failure, 20 errors, 3 skipped"
    first, second = step.groups
    assert (first.message, first.number, len(first.cases)) == ("no library", 20, 12)
    assert first.cases[1] == ("jit.test_1", "test/jit/1.py:1")
    assert second.cases == (("jit.alone", ""),)
    assert (step.status, step.wall, step.cpu, step.peak) == ("exit 1", "1:30", "5.0 s", "2,100 MB")
    assert (step.tail, step.log) == ("the\nend", "x.log")


def test_a_route_says_who_ran_it_and_why():
    route = RouteRecord(
        runner=Runner.SHELL, intended=Runner.PYTHON, reason=Reason.SPLIT_IN, detail="bucket 3", commit="abc",
        fallback="missing-tool", error="no ninja",
    )  # fmt: skip
    facts = dict(view(replace(RUN, route=route)).facts)
    assert facts["route"] == "split-in, bucket 3"
    assert facts["fallback"] == "missing-tool: no ninja"
    assert facts["commit"] == "abc"


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome.PASSED, "1 test passed"), (Outcome.ABORTED, "its record has no end: the run was killed, or is still running"),
        (Outcome.NO_TEST, "no test ran"), (Outcome.RUNNER_ERROR, "the runner failed, not a test"), (Outcome.INTERRUPTED, "interrupted"),
    ],
)  # fmt: skip
def test_a_run_without_a_failed_step_says_how_it_ended(outcome, text):
    passed = replace(STEP, outcome=Outcome.PASSED, cases=None)
    assert view(replace(RUN, outcome=outcome, steps=(passed,))).headline == text


def test_several_failed_tests_are_counted():
    other = replace(STEP, test="test_b", cases=None)
    assert (
        view(replace(RUN, steps=(other, STEP))).headline == "test_b: exit 1, and 1 more test failed"
    )
