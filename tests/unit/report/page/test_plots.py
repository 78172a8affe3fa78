"""Places in a plot, in percent of its width or in its box of 1,000 x 100."""

from __future__ import annotations

import pytest

from ci_sessions.gate.statistics import Interval, Rate
from ci_sessions.report.page.plots import interval_plot, pair_plot, percent, series_plot


def test_an_interval_that_ends_before_the_limit_is_drawn_left_of_it():
    plot = interval_plot(Rate(0, 400), 0.02)
    assert plot.low == plot.value == 0
    assert plot.high < plot.limit < 100


def test_an_interval_that_exceeds_the_limit_is_drawn_across_it():
    plot = interval_plot(Rate(2, 50), 0.02)
    assert plot.low < plot.limit < plot.high == 100


def test_a_limit_of_all_runs_is_at_the_end():
    assert interval_plot(Rate(0, 10), 1.0).limit == 100
    assert interval_plot(Rate(0, 10), None).limit is None


def test_a_narrow_interval_is_still_seen():
    assert interval_plot(Rate(0, 10**7), 0.5).width == 0.8


def test_a_series_has_a_dot_for_each_period_with_runs():
    plot = series_plot([Rate(0, 10), Rate(0, 0), Rate(1, 10)], 0.05)
    assert plot.dots.count("M") == plot.ranges.count("M") == 2
    assert plot.dots.startswith("M166.7 100h0")
    assert [label for _, label in plot.ticks] == ["0 %", "10 %", "20 %"]
    assert plot.target == 75


def test_a_series_without_runs_has_an_axis():
    plot = series_plot([], None)
    assert (plot.dots, plot.target) == ("", None)
    assert plot.ticks[-1] == (0.0, "0.5 %")


def test_a_series_of_failures_only_stays_in_its_box():
    plot = series_plot([Rate(5, 5)], None, [Rate(1, 2)])
    assert plot.dots == "M500 0h0"
    assert plot.other_dots == "M750 50h0"


def test_pairs_are_drawn_around_the_middle_and_cut_off_at_the_ends():
    plot = pair_plot([0.0, 0.5, -0.5], 0.1, Interval(0.05, 0.15), 0.2)
    assert (plot.median, plot.low, plot.width) == (75, 62.5, 25)
    assert [part.split(" ")[0] for part in plot.dots.split("M")[1:]] == ["500", "1000", "0"]


@pytest.mark.parametrize(
    ("fraction", "text"), [(0, "0 %"), (0.0042, "0.4 %"), (0.0996, "10 %"), (0.5, "50 %"), (1, "100 %")]
)  # fmt: skip
def test_percent_has_the_digits_that_it_needs(fraction, text):
    assert percent(fraction) == text
