"""The newest of many runs, and their number."""

from __future__ import annotations

import random

import pytest

from ci_sessions.records.query import Summary, by_time
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner
from ci_sessions.report.page.newest import NewestRuns


def run(number):
    return Summary(
        id=f"r{number}", config="smoke", job="j", runner=Runner.PYTHON, commit="", started=f"2026-01-{number:02}",
        outcome=Outcome.PASSED, wall=1.0,
    )  # fmt: skip


def test_only_the_newest_are_kept_whatever_their_order():
    newest = NewestRuns(3)
    runs = [run(number) for number in (5, 1, 9, 2, 7, 3)]
    assert list(newest.watch(runs)) == runs
    assert [one.id for one in newest.runs] == ["r9", "r7", "r5"]
    assert (newest.total, newest.first, newest.last) == (6, "2026-01-01", "2026-01-09")


def test_runs_of_the_same_name_are_all_kept():
    newest = NewestRuns(5)
    list(newest.watch([run(1), run(1)]))
    assert len(newest.runs) == 2


def test_without_runs():
    newest = NewestRuns(5)
    assert (newest.runs, newest.total, newest.first) == ([], 0, "")


@pytest.mark.parametrize("most", [1, 10, 99, 200])
def test_of_many_in_any_order_those_that_started_last_are_kept(most):
    runs = [run(number % 97) for number in random.Random(1).sample(range(300), 200)]
    newest = NewestRuns(most)
    list(newest.watch(runs))
    assert newest.runs == sorted(runs, key=by_time, reverse=True)[:most]
    assert newest.total == 200
