"""Whole rollouts, followed day by day through generated histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fleets import BEGIN, CONFIG, Fleet, state_at

from ci_sessions.clock import iso_timestamp
from ci_sessions.gate.findings import NextStep
from ci_sessions.gate.forecast import NEVER, Pace, forecast, measure_pace
from ci_sessions.gate.rollout import Acknowledged
from ci_sessions.gate.verdict import Action


@pytest.mark.parametrize("seed", range(3))
def test_an_honest_configuration_reaches_100_percent(seed):
    """docs/rollout.md states these days."""
    fleet = Fleet(seed)
    days = fleet.days_until(100, most=105)
    assert days is not None
    assert 65 <= days <= 105
    assert not [one for one in fleet.verdicts if one.action is Action.ROLL_BACK]
    assert all(one.runs for one in fleet.verdicts)
    # At 5 % and more, nobody asks for shadow comparisons, and at 0 % nobody for runs in Python.
    first = next(n for n, one in enumerate(fleet.verdicts) if one.action is Action.PROMOTE)
    assert all("run" not in one.reason for one in fleet.verdicts[:first])
    assert all("shadow" not in one.reason for one in fleet.verdicts[first + 1 :])


def test_no_configuration_with_6_of_6_differing_shadows_is_promoted():
    fleet = Fleet(1, runs=6, differing_shadows=1.0)
    assert fleet.days_until(5, most=30) is None
    assert {one.action for one in fleet.verdicts} == {Action.HOLD}
    assert fleet.verdicts[0].next is NextStep.COMPARE
    assert fleet.verdicts[0].reason.startswith("6 of 6 shadow comparisons did not match")
    assert Fleet(1, runs=6).days_until(5, most=30) == 4


def test_more_pairs_make_it_shorter():
    days = Fleet(2, pairs=10).days_until(100, most=65)
    assert days is not None
    assert 35 <= days <= 65


@pytest.mark.parametrize("seed", range(4))
def test_python_that_is_red_three_times_as_often_is_not_promoted(seed):
    """Neither from 5 %, where the runs are few, nor from 25 %."""
    fleet = Fleet(seed, python_red=0.12, share=5)
    assert fleet.days_until(25, most=40) is None
    assert "more often red" in fleet.verdicts[-1].reason
    fleet = Fleet(seed, python_red=0.12, share=25)
    assert fleet.days_until(50, most=40) is None
    held = fleet.verdicts[-1]
    assert held.action is Action.HOLD
    assert held.reason.startswith("significantly more often red: Python ")
    assert Fleet(seed, share=25).days_until(50, most=40) is not None


def test_a_runner_that_fails_too_often_is_rolled_back():
    fleet = Fleet(3, errors=0.1, share=25)
    fleet.days_until(50, most=8)
    backs = [one for one in fleet.verdicts if one.action is Action.ROLL_BACK]
    assert backs
    assert backs[0].share == 5
    assert all(run.split("/")[1].startswith("job-") for run in backs[0].runs)


def test_one_flaky_case_does_not_hold_for_ever():
    """It fails now on one side, now on the other; what is held meanwhile can be acknowledged."""
    fleet = Fleet(2, flaky=0.1, red=0.0, share=50, pairs=4)
    assert fleet.days_until(100, most=60) is not None
    known = (Acknowledged(config=CONFIG, case="Test.flaky", reason="the load"),)
    fleet = Fleet(2, flaky=0.1, red=0.0, pairs=4, state=state_at(50, acknowledged=known))
    assert fleet.days_until(100, most=40) is not None
    assert not [one for one in fleet.verdicts if one.case]


@pytest.mark.parametrize("share", [0, 5, 25, 50])
def test_no_step_waits_for_what_its_share_cannot_give(share):
    """What is asked for is what the fleet makes at this share, or what can be made on purpose."""
    fleet = Fleet(5, share=share, pairs=0)
    for _ in range(30):
        fleet.run_one_day()
        verdict = fleet.judge()
        if share == 0:
            assert verdict.next in (NextStep.SHADOW, NextStep.APPLY)
        else:
            assert verdict.next in (NextStep.PAIR, NextStep.WAIT)
    if share > 0:
        assert verdict.reason.endswith("time: 10 more pairs needed")
        assert verdict.next is NextStep.PAIR


# --- the plan


def steps_of(plan):
    return [(step.start, step.end, step.runs, step.pairs) for step in plan]


def test_a_plan_without_records_has_the_numbers_of_the_docs():
    found = forecast(Fleet(0).evidence(), state_at(0), Pace(runs=40, pairs=2))
    assert steps_of(found) == [
        (0, 5, 20, 0),
        (5, 25, 93, 10),
        (25, 50, 189, 10),
        (50, 100, 381, 10),
    ]
    days = [round(step.days, 1) for step in found]
    # 40 runs a day at 5 % are 2 in Python, and 2 more are the pairs.
    assert days == [0.5, 23.2, 15.8, 17.3]


def test_a_plan_without_runs_has_no_days():
    found = forecast(Fleet(0).evidence(), state_at(0), Pace())
    assert [step.days for step in found] == [None] * 4
    found = forecast(Fleet(0).evidence(), state_at(5), Pace(runs=40))
    assert found[0].days is None, "nobody makes the 10 pairs"


def test_a_plan_counts_what_the_records_have_and_their_jobs():
    fleet = Fleet(0, share=5, jobs=400, red=0.0)
    for _ in range(10):
        fleet.run_one_day()
    pace = measure_pace(fleet.records)
    assert (round(pace.runs), round(pace.pairs), pace.days) == (41, 2, 9.8)
    evidence = fleet.evidence()
    found = forecast(evidence, fleet.state, pace)
    assert found[0].runs == 93 - evidence.attempts
    assert found[0].pairs == 0
    share = sum(evidence.jobs_below(5, fleet.state).values()) / evidence.runs
    assert found[0].days == pytest.approx(found[0].runs / (pace.runs * share + pace.pairs))


def test_a_plan_says_when_a_step_moves_no_job():
    state = state_at(5)
    job = next(f"only-{n}" for n in range(1000) if state.bucket(f"only-{n}") == 60)
    fleet = Fleet(0, pairs=0, share=5)
    fleet.add(BEGIN, job, "shell", reason="split-out")
    fleet.records = [
        replace(fleet.records[0], id=f"{n}", started=iso_timestamp(BEGIN + timedelta(hours=n)))
        for n in range(48)
    ]
    found = forecast(fleet.evidence(), state, measure_pace(fleet.records))
    assert [step.kind for step in found] == [
        "runs (the step moves no job)", "runs (the step moves no job)", "clean runs in Python"
    ]  # fmt: skip
    assert (found[0].days, found[2].days) == (0.0, None)


def test_a_target_of_0_is_never_met():
    state = state_at(5)
    state = replace(state, targets=replace(state.targets, errors=0.0))
    (step, *_) = forecast(Fleet(0).evidence(), state, Pace(runs=40, pairs=2))
    assert (step.runs, step.days) == (NEVER, None)


def test_a_plan_of_a_configuration_that_the_script_lacks():
    state = state_at(0, compare=False)
    found = forecast(Fleet(0).evidence(), state, Pace(runs=40, pairs=2))
    assert steps_of(found)[:2] == [(0, 5, 20, 0), (5, 25, 93, 0)]
    assert found[0].days == 10.0


def test_records_without_times_have_no_pace():
    assert measure_pace([]) == Pace()
    fleet = Fleet(0)
    fleet.add(BEGIN, "job", "shell")
    assert measure_pace([replace(fleet.records[0], started="000001")]) == Pace()
