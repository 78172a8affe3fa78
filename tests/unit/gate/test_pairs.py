"""Single pairs: the ratios of what both runs took, and the cases that failed on one side."""

from __future__ import annotations

import pytest

from ci_sessions.gate.pairs import Measure, Pair, flaky_cases
from ci_sessions.records.details import RunDetails
from ci_sessions.records.query import Summary
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner


def side(runner, wall=1.0, outcome=Outcome.PASSED):
    return Summary(
        id=runner, config="x", job="job", runner=Runner(runner), commit="c", started="",
        outcome=outcome, wall=wall,
    )  # fmt: skip


def pair(ours=None, theirs=None, walls=(1.0, 1.0), outcomes=(Outcome.PASSED, Outcome.PASSED)):
    return Pair(
        python=side("python", walls[0], outcomes[0]),
        shell=side("shell", walls[1], outcomes[1]),
        python_details=ours,
        shell_details=theirs,
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio"), [(3.0, 2.0, 1.5), (0.0, 2.0, 0.0), (3.0, 0.5, 6.0), (3.0, 0.0, None)]
)  # fmt: skip
def test_a_ratio_of_times_is_pythons_divided_by_the_shells(ours, theirs, ratio):
    assert pair(walls=(ours, theirs)).ratio(Measure.TIME) == ratio


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio"),
    [(3, 2, 1.5), (1, 2, 0.5), (3, 1, 3.0), (0, 2, None), (3, 0, None), (0, 0, None)],
)
def test_a_ratio_of_resources_needs_both_values(ours, theirs, ratio):
    """0 means that a value is not known."""
    found = pair(RunDetails(cpu=ours, peak=700), RunDetails(cpu=theirs, peak=100))
    assert found.ratio(Measure.CPU) == ratio
    assert found.ratio(Measure.MEMORY) == 7.0
    found = pair(RunDetails(cpu=700.0, peak=ours), RunDetails(cpu=100.0, peak=theirs))
    assert found.ratio(Measure.MEMORY) == ratio
    assert found.ratio(Measure.CPU) == 7.0


def test_a_cpu_time_below_a_second_has_a_ratio():
    assert pair(RunDetails(cpu=0.5), RunDetails(cpu=0.25)).ratio(Measure.CPU) == 2.0


@pytest.mark.parametrize("measure", [Measure.CPU, Measure.MEMORY])
def test_a_ratio_of_resources_needs_the_details_of_both_runs(measure):
    known = RunDetails(cpu=1.0, peak=1)
    assert pair(known, known).ratio(measure) == 1.0
    assert pair(known, None).ratio(measure) is None
    assert pair(None, known).ratio(measure) is None
    assert pair().ratio(measure) is None


@pytest.mark.parametrize("measure", list(Measure))
def test_a_run_that_failed_has_no_ratio(measure):
    known = RunDetails(cpu=1.0, peak=1)
    for outcomes in ((Outcome.FAILED, Outcome.PASSED), (Outcome.PASSED, Outcome.FAILED)):
        assert pair(known, known, outcomes=outcomes).ratio(measure) is None


def failed(*names, total=9, is_complete=True):
    return RunDetails(total=total, failed=frozenset(names), is_complete=is_complete)


def test_the_cases_that_failed_on_one_side_only():
    found = pair(failed("a", "b"), failed("b", "c", "d"))
    assert found.only_in_python == {"a"}
    assert found.only_in_shell == {"c", "d"}


@pytest.mark.parametrize("other", [None, failed("c", total=-1), failed("c", is_complete=False)])
def test_no_case_failed_on_one_side_only_unless_the_cases_of_both_are_known(other):
    """A case that is not named on the other side may have failed there too."""
    for found in (pair(failed("a"), other), pair(other, failed("a"))):
        assert found.only_in_python == found.only_in_shell == frozenset()


def test_a_flaky_case_is_acknowledged_only_by_its_name():
    found = flaky_cases([pair(failed("a", "b"), failed())], {"a": "known"})
    assert {case.name: case.acknowledged for case in found} == {"a": "known", "b": ""}
