"""Counts by day, and the rates in the periods of a plot."""

from __future__ import annotations

from datetime import date

from ci_sessions.records.query import Summary
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Fallback, Runner
from ci_sessions.report.page.rates import ALL, DailyCounts


def run(day, outcome=Outcome.PASSED, runner=Runner.PYTHON, config="smoke", **more):
    started = f"2026-11-{day:02}T10:00:00.000Z"
    return Summary(
        id=f"{config}/{day}", config=config, job="j", runner=runner, commit="", started=started, outcome=outcome,
        wall=1.0, reason=more.pop("reason", "split-in"), **more,
    )  # fmt: skip


def counts_of(*runs):
    counts = DailyCounts()
    assert list(counts.watch(runs)) == list(runs)
    return counts


def test_each_day_has_its_rates():
    counts = counts_of(
        run(1), run(1, Outcome.FAILED), run(1, Outcome.RUNNER_ERROR),
        run(1, fallback="missing-tool", runner=Runner.SHELL), run(1, Outcome.FAILED, Runner.SHELL),
        run(3, Outcome.TIMED_OUT),
    )  # fmt: skip
    first, second, third = counts.periods("smoke")
    assert (first.start, first.days) == (date(2026, 11, 1), 1)
    assert (first.fallback.hits, first.fallback.total) == (1, 4)
    assert (first.errors.hits, first.errors.total) == (1, 4)
    assert (first.python_red.hits, first.python_red.total) == (1, 2)
    assert (first.shell_red.hits, first.shell_red.total) == (1, 1)
    assert first.runs == 5
    assert second.runs == 0
    assert (third.python_red.hits, third.runs) == (1, 1)


def test_a_bug_in_a_run_is_one_attempt_with_two_records():
    counts = counts_of(
        run(1, Outcome.RUNNER_ERROR), run(1, fallback=Fallback.BUG_IN_RUN, runner=Runner.SHELL)
    )
    (period,) = counts.periods(ALL)
    assert (period.fallback.hits, period.fallback.total) == (1, 1)


def test_runs_that_do_not_count_are_left_out():
    counts = counts_of(
        run(1, reason=""), run(1, is_partial=True), run(1, Outcome.ABORTED), run(1, Outcome.INTERRUPTED)
    )  # fmt: skip
    assert counts.periods(ALL) == []
    assert counts.configurations == []


def test_many_days_are_put_together_and_all_configurations_have_the_same_periods():
    counts = counts_of(*(run(day) for day in range(1, 31)), run(30, config="docs_test"))
    counts_of_year = DailyCounts()
    list(
        counts_of_year.watch(
            run(1, config="a") if month == 1 else _in_month(month) for month in range(1, 13)
        )
    )
    assert len(counts.periods("docs_test")) == len(counts.periods("smoke")) == 30
    assert len(counts_of_year.periods(ALL)) <= 45
    assert sum(one.runs for one in counts_of_year.periods(ALL)) == 12


def _in_month(month):
    one = run(1)
    return Summary(
        id=str(month), config="a", job="j", runner=one.runner, commit="", started=f"2025-{month:02}-01T00:00:00.000Z",
        outcome=one.outcome, wall=1.0, reason="split-in",
    )  # fmt: skip


def test_a_time_that_is_none_is_counted_but_in_no_plot():
    odd = run(1)
    odd = Summary(
        id="x", config="smoke", job="j", runner=odd.runner, commit="", started="soon", outcome=odd.outcome, wall=1.0, reason="split-in",
    )  # fmt: skip
    assert counts_of(odd).periods(ALL) == []
    assert [one.runs for one in counts_of(odd, run(2)).periods(ALL)] == [1]


def test_only_the_most_frequent_of_many_configurations_have_plots():
    counts = counts_of(*(run(1, config=f"c{n:02}") for n in range(60) for _ in range(1 + n % 2)))
    assert len(counts.configurations) == 40
    assert {f"c{n:02}" for n in range(1, 60, 2)} < set(counts.configurations)
    assert counts_of().configurations == []
