"""What ran when, and where the time went."""

from __future__ import annotations

import pytest

from ci_sessions.records.record import Outcome, RunRecord, StepRecord
from ci_sessions.report.page.rollout import Tone
from ci_sessions.report.page.timeline import lanes, length, slices, status_of, ticks


def step(test, second, wall, outcome=Outcome.PASSED, code=0, started=None):
    started = f"2026-11-01T10:00:{second:02}.000Z" if started is None else started
    return StepRecord(
        id=f"{test}.{second}", test=test, number=1, kind="test", command="x", started=started, wall=wall, outcome=outcome, code=code,
    )  # fmt: skip


def run(*steps, wall=40.0):
    return RunRecord(id="r", job={}, started="2026-11-01T10:00:00.000Z", wall=wall, steps=steps)


RUN = run(
    step("setup", 0, 4), step("setup", 4, 4), step("test_a", 10, 20, Outcome.FAILED, 1), step("test_b", 0, 0, Outcome.SKIPPED),
    step("cleanup", 32, 2),
)  # fmt: skip


def test_each_part_has_a_lane_with_its_steps_in_percent_of_the_run():
    setup, test, cleanup = lanes(RUN, length(RUN))
    assert (setup.name, setup.part, setup.wall, setup.share) == ("set-up", "setup", "8.0 s", 20)
    assert [(bar.start, bar.width) for bar in setup.bars] == [(0, 10), (10, 10)]
    assert (test.name, test.part, test.tone) == ("test_a", "test", Tone.BAD)
    assert test.bars[0].label == "test_a.10: exit 1, 20 s"
    assert cleanup.name == "clean-up"


def test_the_time_goes_to_setup_tests_cleanup_and_what_is_between():
    assert [(one.name, one.wall, one.start, one.width) for one in slices(RUN, 40.0)] == [
        ("set-up", "8.0 s", 0, 20), ("tests", "20 s", 20, 50), ("clean-up", "2.0 s", 70, 5), ("between the steps", "10 s", 75, 25),
    ]  # fmt: skip


def test_a_run_without_an_end_is_as_long_as_its_steps():
    cut = run(step("test_a", 10, 20), wall=0.0)
    assert length(cut) == 30
    assert length(run(wall=0.0)) == 0.001


@pytest.mark.parametrize("started", ["", "x", "2025-01-01T00:00:00.000Z"])
def test_a_step_whose_time_makes_no_sense_has_no_bar(started):
    (lane,) = lanes(run(step("test_a", 0, 1, started=started)), 40.0)
    assert lane.bars == ()


@pytest.mark.parametrize(
    ("total", "labels"),
    [
        (40.0, ["0", "10 s", "20 s", "30 s", "40 s"]),
        (5000.0, ["0", "20:00", "40:00", "1:00:00", "1:20:00"]),
        (1e6, ["0", "69:26:40", "138:53:20", "208:20:00", "277:46:40"]),
    ],
)
def test_the_axis_has_few_round_times(total, labels):
    assert [label for _, label in ticks(total)] == labels


@pytest.mark.parametrize(
    ("outcome", "code", "text"),
    [
        (Outcome.PASSED, 0, "passed"), (Outcome.FAILED, 139, "exit 139 (SIGSEGV)"), (Outcome.FAILED, 0, "failed"),
        (Outcome.TIMED_OUT, 124, "timed out, exit 124"), (Outcome.ABORTED, None, "aborted"),
    ],
)  # fmt: skip
def test_a_status_says_how_a_step_ended(outcome, code, text):
    assert status_of(step("t", 0, 1, outcome, code)) == text
