"""How long tests take, where they passed."""

from __future__ import annotations

from ci_sessions.records.query import Summary
from ci_sessions.records.record import Outcome, RunRecord, StepRecord
from ci_sessions.records.route import Runner
from ci_sessions.report.page.durations import TestTimes

RUN = Summary(
    id="r", config="smoke", job="j", runner=Runner.PYTHON, commit="", started="", outcome=Outcome.PASSED, wall=1.0,
)  # fmt: skip


def record(*steps):
    made = [
        StepRecord(id=str(n), test=test, number=n, kind="test", command="", wall=wall, outcome=outcome)
        for n, (test, wall, outcome) in enumerate(steps)
    ]  # fmt: skip
    return RunRecord(id="r", job={}, started="", steps=tuple(made))


def test_the_steps_of_a_test_are_added_up():
    times = TestTimes()
    for wall in (1, 2, 3):
        times.add(
            RUN,
            record(("setup", 50, Outcome.PASSED), ("a", wall, Outcome.PASSED), ("a", 1, Outcome.PASSED), ("b", 1, Outcome.PASSED)),
        )  # fmt: skip
    first, second = times.slowest(5)
    assert (first.test, first.runs, first.median, first.high, first.part) == ("a", 3, 3, 4, 0.75)
    assert (second.test, second.median) == ("b", 1)
    assert (times.runs, len(times.slowest(1))) == (3, 1)


def test_failed_and_skipped_tests_and_the_script_have_no_time():
    times = TestTimes()
    times.add(RUN, record(("a", 9, Outcome.FAILED), ("b", 0, Outcome.SKIPPED)))
    shell = Summary(
        id="r", config="smoke", job="j", runner=Runner.SHELL, commit="", started="", outcome=Outcome.PASSED, wall=1.0
    )  # fmt: skip
    times.add(shell, record(("test_sh", 9, Outcome.PASSED)))
    assert (times.slowest(5), times.runs) == ([], 1)
