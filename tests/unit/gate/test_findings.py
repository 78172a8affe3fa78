"""Single findings: a closed phase, and what a step needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from ci_sessions.gate import findings
from ci_sessions.gate.evidence import Evidence
from ci_sessions.gate.findings import (
    _Z_99,
    _Z_999,
    Finding,
    NextStep,
    closed_phase,
    first_needs,
    later_needs,
    moves_no_job,
    objections,
)
from ci_sessions.gate.pairs import Pair
from ci_sessions.gate.rollout import Configuration, read_rollout
from ci_sessions.gate.statistics import _Z, Interval
from ci_sessions.records.details import RunDetails
from ci_sessions.records.query import Summary
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner
from ci_sessions.records.verdict import JobVerdict


def with_configurations(**configurations):
    return replace(read_rollout(), phases=("1", "2A", "2B"), configurations=configurations)


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ([5], "phase 2A is closed until c0 (5 %) reached 100 %"),
        ([0, 100, 99], "phase 2A is closed until c0 (0 %), c2 (99 %) reached 100 %"),
        ([1, 2, 3], "phase 2A is closed until c0 (1 %), c1 (2 %), c2 (3 %) reached 100 %"),
        (
            [1, 2, 3, 4],
            "phase 2A is closed until c0 (1 %), c1 (2 %), c2 (3 %) and 1 more reached 100 %",
        ),
        (
            [1, 2, 3, 4, 100, 5],
            "phase 2A is closed until c0 (1 %), c1 (2 %), c2 (3 %) and 2 more reached 100 %",
        ),
    ],
)
def test_a_closed_phase_waits_for_the_configurations_before_it(shares, text):
    before = {f"c{number}": Configuration("1", share) for number, share in enumerate(shares)}
    rollout = with_configurations(**before, own=Configuration("2A", 0))
    assert closed_phase(rollout, "2A") == Finding(text, NextStep.WAIT, ())


def test_a_phase_with_nothing_before_it_can_be_opened():
    rollout = with_configurations(a=Configuration("1", 100), b=Configuration("2A", 0))
    text = "phase 2A is closed, and can be opened now"
    assert closed_phase(rollout, "2A") == Finding(text, NextStep.OPEN, ())
    assert closed_phase(rollout, "2B").next is NextStep.WAIT


def run(number, runner="python", **more):
    values = {"outcome": Outcome.PASSED, "started": f"{number:06}", **more}
    return Summary(
        id=f"{runner}-{number}", config="x", job="job", runner=Runner(runner), commit="c", wall=1.0, **values
    )  # fmt: skip


def shadows(number, shadow=JobVerdict.EQUAL):
    return [run(n, "shell", shadow=shadow) for n in range(number)]


def needs(compare=True, **evidence):
    return first_needs(
        Evidence("x", **evidence), with_configurations(x=Configuration("1", 0, compare=compare))
    )


def test_the_first_step_needs_20_clean_shadow_comparisons():
    assert needs(shadows=[]) == [
        Finding("20 more clean shadow comparisons needed", NextStep.SHADOW, ())
    ]
    known = shadows(19)
    assert needs(shadows=known) == [
        Finding("1 more clean shadow comparison needed", NextStep.SHADOW, tuple(known))
    ]
    assert needs(shadows=shadows(20)) == []
    failed = shadows(3, JobVerdict.DIFFERENT)
    assert needs(shadows=failed) == [], "that is an objection, which says how many must follow"


def test_the_first_step_without_a_script_needs_20_runs_on_purpose():
    assert needs(compare=False) == [
        Finding("20 more clean runs with the flag at 1 needed", NextStep.PAIR, ())
    ]
    known = [run(n) for n in range(19)]
    assert needs(compare=False, python=known) == [
        Finding("1 more clean run with the flag at 1 needed", NextStep.PAIR, tuple(known))
    ]
    assert needs(compare=False, python=[run(n) for n in range(20)]) == []


@pytest.mark.parametrize("kind", ["fallback", "errors"])
def test_a_failure_of_the_runner_counts_beside_what_else_is_missing(kind):
    """With an error target of 1 % and a fallback target of 5 %, at the next share of 5 %."""
    clean = shadows(2)
    if kind == "errors":
        failed = [run(50, outcome=Outcome.RUNNER_ERROR)]
        evidence = {"python": failed}
        text = "errors: 24 more clean runs needed"
    else:
        failed = [run(50, "shell", fallback="bug")]
        evidence = {"fallbacks": failed}
        text = "errors: 15 more clean runs needed"
    text += " (no job of it runs in Python at 0 %, so only made on purpose)"
    assert needs(shadows=clean, **evidence) == [
        Finding("18 more clean shadow comparisons needed", NextStep.SHADOW, tuple(clean)),
        Finding(text, NextStep.PAIR, tuple(failed)),
    ]


# --- what a later step needs


def with_runs(share, *, compare=True, **evidence):
    """Return evidence with enough clean runs and no pairs, and a rollout at this share."""
    python = evidence.pop("python", [run(n) for n in range(500)])
    rollout = with_configurations(x=Configuration("1", share, compare=compare))
    return Evidence("x", python=python, **evidence), rollout


def pairs_with(**ratios):
    """Return pairs in which Python takes this many times what the shell takes, 1 by default."""
    values = {"time": 1.0, "cpu": 1.0, "peak": 1.0, "number": 10, **ratios}
    return [
        Pair(
            python=replace(run(n), wall=values["time"]),
            shell=run(n, "shell"),
            python_details=RunDetails(cpu=values["cpu"], peak=values["peak"]),
            shell_details=RunDetails(cpu=1.0, peak=1),
        )
        for n in range(values["number"])
    ]


def runs_of(pairs):
    return tuple(one for pair in pairs for one in pair.runs)


@pytest.mark.parametrize(
    ("ratios", "texts"),
    [
        ({"number": 0}, ["time: 10 more pairs needed"]),
        ({"number": 9, "cpu": 2.0}, ["time: 1 more pair needed"]),
        ({}, []),
        ({"time": 1.0999}, []),
        ({"time": 1.2}, ["time: may still exceed its target"]),
        ({"cpu": 1.2}, ["CPU: may still exceed its target"]),
        ({"peak": 1.2}, ["memory: may still exceed its target"]),
        ({"cpu": 1.2, "peak": 1.2}, ["CPU: may still exceed its target", "memory: may still exceed its target"]),
    ],
)  # fmt: skip
def test_a_later_step_needs_10_pairs_that_take_no_more_than_the_targets(ratios, texts):
    pairs = pairs_with(**ratios)
    expected = [Finding(text, NextStep.PAIR, runs_of(pairs)) for text in texts]
    evidence, rollout = with_runs(50, pairs=pairs)
    assert later_needs(evidence, rollout) == expected
    evidence, rollout = with_runs(50, pairs=pairs, compare=False)
    assert later_needs(evidence, rollout) == []


def red_runs(monkeypatch, low_95, low_99, high_999, hits=1):
    """Return evidence and a rollout, where the difference of the red rates has these limits."""
    limits = {_Z: Interval(low_95, 9.0), _Z_99: Interval(low_99, 9.0), _Z_999: Interval(-9.0, high_999)}  # fmt: skip
    monkeypatch.setattr(findings, "difference", lambda _ours, _theirs, z=_Z: limits[z])
    python = [run(n, outcome=Outcome.FAILED if n < hits else Outcome.PASSED) for n in range(500)]
    return with_runs(50, python=python, shell=[run(0, "shell")], compare=False)


@pytest.mark.parametrize(
    ("low_95", "low_99", "high_999", "is_in_doubt"),
    [
        (-0.1, -0.1, 0.08, True),
        (-0.1, -0.1, 0.0799, False),
        (0.0, -0.1, 0.0799, False),
        (0.001, -0.1, 0.0799, True),
        (0.001, -0.1, 0.04, True),
        (0.001, -0.1, 0.0399, False),
        (0.001, 0.0, 0.04, True),
        (0.001, 0.001, 0.5, False),
    ],
)
def test_a_red_rate_is_in_doubt_up_to_a_limit(monkeypatch, low_95, low_99, high_999, is_in_doubt):
    """8 % more, or 4 % if it is probably higher; if it certainly is, that is an objection."""
    evidence, rollout = red_runs(monkeypatch, low_95, low_99, high_999)
    text = "may be more often red, more runs will tell: Python 0.2 % of 500 runs, shell 0.0 % of 1"
    expected = [Finding(text, NextStep.WAIT, (evidence.python[0],))] if is_in_doubt else []
    assert later_needs(evidence, rollout) == expected


@pytest.mark.parametrize(("hits", "number"), [(0, 0), (1, 1), (2, 1)])
def test_a_red_rate_of_0_is_never_in_doubt(monkeypatch, hits, number):
    evidence, rollout = red_runs(monkeypatch, -0.1, -0.1, 0.5, hits)
    assert len(later_needs(evidence, rollout)) == number


@pytest.mark.parametrize(("low", "number"), [(-0.001, 0), (0.0, 0), (0.001, 1)])
def test_a_red_rate_that_is_certainly_higher_is_an_objection(monkeypatch, low, number):
    evidence, rollout = red_runs(monkeypatch, 0.5, low, 0.5)
    text = "significantly more often red: Python 0.2 % of 500 runs, shell 0.0 % of 1"
    expected = [Finding(text, NextStep.INSPECT, (evidence.python[0],))]
    assert objections(evidence, rollout) == expected * number


@pytest.mark.parametrize(
    ("share", "runs", "is_so"),
    [
        (0, {"above": 20}, True),
        (0, {"above": 19}, False),
        (0, {"above": 18, "more": 2}, True),
        (0, {"above": 19, "more": 1}, False),
        (0, {"above": 20, "at": 2}, True),
        (0, {"above": 20, "below": 2}, False),
        (5, {"above": 20}, False),
        (100, {"above": 20}, False),
    ],
)
def test_a_step_moves_no_job_if_all_are_known_and_none_is_below_the_next_share(share, runs, is_so):
    """A job ``at`` has the bucket 5, which is not below the share 5."""
    rollout = with_configurations(x=Configuration("1", share))
    buckets = {"above": 6, "more": 7, "at": 5, "below": 4}
    jobs = {
        next(f"{name}-{n}" for n in range(9999) if rollout.bucket(f"{name}-{n}") == buckets[name]): number
        for name, number in runs.items()
    }  # fmt: skip
    evidence = Evidence("x", jobs=Counter(jobs))
    assert moves_no_job(evidence, rollout) is is_so
    split = replace(evidence, python=[run(0, reason="split-in")])
    assert moves_no_job(split, rollout) is False
    on_purpose = replace(evidence, python=[run(0, reason="flag-on")])
    assert moves_no_job(on_purpose, rollout) is is_so


@pytest.mark.parametrize(
    ("share", "known", "text"),
    [
        (0, 0, "errors: 16 more clean runs needed (no job of it runs in Python at 0 %, so only made on purpose)"),
        (50, 380, "errors: 1 more clean run needed"),
        (50, 381, ""),
        (100, 380, "errors: 1 more clean run needed"),
        (100, 381, ""),
    ],
)  # fmt: skip
def test_a_step_needs_clean_runs_for_the_rate_with_the_lower_target(share, known, text):
    """At 100 %, all of the jobs are at risk, as they are by the step that leads there."""
    evidence, rollout = with_runs(share, compare=False, python=[run(n) for n in range(known)])
    step = NextStep.PAIR if share == 0 else NextStep.WAIT
    expected = [Finding(text, step, tuple(evidence.python))] if text else []
    assert findings._missing_runs(evidence, rollout, step) == expected


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        ({"errors": 0.0}, "errors: no number of runs meets a target of 0 %"),
        ({"errors": 1e-12}, "errors: no number of runs meets a target of 1e-10 %"),
        ({"fallback": 1e-12}, "fallback: no number of runs meets a target of 1e-10 %"),
    ],
)
def test_a_target_that_no_number_of_runs_meets_is_named(targets, text):
    evidence, rollout = with_runs(50, compare=False)
    rollout = replace(rollout, targets=replace(rollout.targets, **targets))
    assert later_needs(evidence, rollout) == [
        Finding(text, NextStep.INSPECT, tuple(evidence.python))
    ]
