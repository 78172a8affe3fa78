"""The numbers of a plan, one step at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from fleets import BEGIN, CONFIG, state_at

from ci_sessions.clock import iso_timestamp
from ci_sessions.gate.evidence import Evidence
from ci_sessions.gate.forecast import NEVER, Pace, StepForecast, _days, forecast, measure_pace
from ci_sessions.records.query import Summary
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner
from ci_sessions.records.verdict import JobVerdict

PACE = Pace(runs=40, pairs=2)


def run(number, runner="python", hours=0.0, **more):
    values = {
        "id": f"{runner}-{number}", "config": CONFIG, "job": f"job-{number}", "commit": "c",
        "runner": Runner(runner), "outcome": Outcome.PASSED, "wall": 1.0, "reason": "split-out",
        "started": iso_timestamp(BEGIN + timedelta(hours=hours)),
    }  # fmt: skip
    return Summary(**{**values, **more})


def first_step(share, pace=PACE, compare=True, **evidence):
    return forecast(Evidence(CONFIG, **evidence), state_at(share, compare=compare), pace)[0]


@pytest.mark.parametrize(
    ("known", "runs", "days"), [(0, 20, 0.5), (1, 19, 0.475), (20, 0, 0.0), (21, 0, 0.0)]
)
def test_the_first_step_waits_for_shadow_comparisons(known, runs, days):
    shadows = [run(n, "shell", shadow=JobVerdict.EQUAL) for n in range(known)]
    assert first_step(0, shadows=shadows) == StepForecast(
        start=0, end=5, kind="clean shadow comparisons", runs=runs, pairs=0, days=days
    )


@pytest.mark.parametrize(("known", "runs", "days"), [(0, 20, 10.0), (1, 19, 9.5), (20, 0, 0.0)])
def test_the_first_step_without_a_script_waits_for_runs_on_purpose(known, runs, days):
    python = [run(n) for n in range(known)]
    assert first_step(0, compare=False, python=python) == StepForecast(
        start=0, end=5, kind="clean runs, flag at 1", runs=runs, pairs=0, days=days
    )


def test_a_step_that_moves_no_job_waits_until_the_jobs_are_known_again():
    state = state_at(5)
    job = next(f"only-{n}" for n in range(1000) if state.bucket(f"only-{n}") == 60)
    shell = [run(n, "shell", job=job) for n in range(20)]
    evidence = Evidence(CONFIG, shell=shell, jobs=Counter({job: 20}))
    kind = "runs (the step moves no job)"
    assert forecast(evidence, state, PACE) == [
        StepForecast(start=5, end=25, kind=kind, runs=0, pairs=0, days=0.0),
        StepForecast(start=25, end=50, kind=kind, runs=20, pairs=0, days=0.5),
        StepForecast(
            start=50, end=100, kind="clean runs in Python", runs=381, pairs=10, days=190.5
        ),
    ]


@pytest.mark.parametrize(
    ("number", "per_day", "days"),
    [
        (-1, 0.0, 0.0),
        (0, 0.0, 0.0),
        (1, 2.0, 0.5),
        (1, 0.0, None),
        (10, 1.0, 10.0),
        (10, 0.5, 20.0),
        (10, 0.0, None),
        (NEVER, 5.0, None),
        (NEVER - 1, float(NEVER - 1), 1.0),
    ],
)
def test_a_number_of_runs_takes_days_at_a_pace(number, per_day, days):
    assert _days(number, per_day) == days


def test_only_complete_runs_that_the_gate_routed_have_a_pace():
    runs = [
        *(run(n, "shell", hours=24 * n) for n in range(5)),
        run(10, "shell", hours=400, reason=""),
        run(11, "shell", hours=400, is_partial=True),
        run(12, "shell", hours=400, reason="", is_partial=True),
    ]
    assert measure_pace(runs) == Pace(runs=1.25, pairs=0.0, days=4.0)


@pytest.mark.parametrize(
    ("hours", "pace"),
    [
        (0, Pace(runs=2.0, days=1.0)),
        (12, Pace(runs=2.0, days=1.0)),
        (36, Pace(runs=2 / 1.5, days=1.5)),
        (48, Pace(runs=1.0, days=2.0)),
    ],
)
def test_a_pace_is_measured_over_a_day_at_least(hours, pace):
    assert measure_pace([run(1, "shell"), run(2, "shell", hours=hours)]) == pace


def test_runs_on_purpose_are_pairs():
    """The shell run that one of them pairs with is no run of the fleet."""
    runs = [
        *(run(n, "shell") for n in range(8)),
        run(0, reason="flag-on"),
        run(99, reason="flag-on"),
        run(1),
    ]
    assert measure_pace(runs) == Pace(runs=8.0, pairs=2.0, days=1.0)
    assert measure_pace([replace(one, commit="") for one in runs]).runs == 9.0
