"""How many runs and days each step of a rollout takes at a rate of runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ci_sessions.clock import local_time
from ci_sessions.gate.evidence import Evidence
from ci_sessions.gate.findings import (
    MIN_PAIRS,
    MIN_RUNS,
    MIN_SHADOWS,
    clean_runs_needed,
    moves_no_job,
)
from ci_sessions.gate.pairs import find_pairs
from ci_sessions.records.route import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ci_sessions.gate.rollout import Rollout
    from ci_sessions.records.query import Summary

__all__ = ["NEVER", "Pace", "StepForecast", "forecast", "measure_pace"]

NEVER = 10**12  # runs
_DAY = 86400.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How often a configuration runs, in runs and pairs a day. ``days`` is how long was measured.

    ``days`` is 0 if the pace was not measured but given.
    """

    runs: float = 0.0
    pairs: float = 0.0
    days: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepForecast:
    """One step: from one share to the next, what it needs, and the days that this takes.

    ``runs`` and ``pairs`` are what is still missing: shadow comparisons for the first step, clean
    runs in Python for the others. ``days`` is None if the present share and pace never give it.
    """

    start: int
    end: int
    kind: str
    runs: int
    pairs: int
    days: float | None


def measure_pace(runs: Iterable[Summary]) -> Pace:
    """Return the pace of complete runs that the gate routed; none without times in the records.

    Runs with the flag at 1, and the shell runs that they pair with, are made on purpose: they are
    counted as pairs, not as runs.
    """
    counted = [run for run in runs if run.reason and not run.is_partial]
    times = [time for run in counted if (time := local_time(run.started)) is not None]
    if not times:
        return Pace()
    days = max(1.0, _days_between(min(times), max(times)))
    deliberate = {run.id for run in counted if run.reason == Reason.FLAG_ON}
    pairs = [pair for pair in find_pairs(counted) if pair.python.id in deliberate]
    fleet = len(counted) - len(deliberate) - len(pairs)
    return Pace(runs=fleet / days, pairs=len(deliberate) / days, days=round(days, 1))


def _days_between(first: datetime, last: datetime) -> float:
    return (last - first).total_seconds() / _DAY


def forecast(evidence: Evidence, rollout: Rollout, pace: Pace) -> list[StepForecast]:
    """Return the remaining steps of a configuration if all goes well from now on.

    The first of them takes what the records have already into account.
    """
    entry = rollout.configurations[evidence.config]
    found: list[StepForecast] = []
    known = evidence
    for end in (step for step in rollout.steps if step > entry.share):
        state = replace(
            rollout,
            configurations={
                evidence.config: replace(entry, share=found[-1].end if found else entry.share)
            },
        )
        found.append(_forecast_step(known, state, pace, end))
        # A new share counts anew; only which jobs there are stays known.
        known = Evidence(evidence.config, jobs=evidence.jobs)
    return found


def _forecast_step(evidence: Evidence, rollout: Rollout, pace: Pace, end: int) -> StepForecast:
    entry = rollout.configurations[evidence.config]
    pairs, per_day = 0, pace.runs
    if entry.share == 0 and entry.compare:
        kind, runs = "clean shadow comparisons", MIN_SHADOWS - len(evidence.clean_shadows)
    elif entry.share == 0:
        kind, runs, per_day = "clean runs, flag at 1", MIN_SHADOWS - evidence.attempts, pace.pairs
    elif moves_no_job(evidence, rollout):
        kind, runs = "runs (the step moves no job)", MIN_RUNS if not evidence.shell else 0
    else:
        kind, runs = "clean runs in Python", _runs_needed(evidence, rollout, end)
        per_day = pace.runs * _fraction_in_python(evidence, rollout) + pace.pairs
        if entry.compare:
            pairs = max(0, MIN_PAIRS - len(evidence.pairs))
    return StepForecast(
        start=entry.share,
        end=end,
        kind=kind,
        runs=max(0, runs),
        pairs=pairs,
        days=_longest(_days(max(0, runs), per_day), _days(pairs, pace.pairs)),
    )


def _runs_needed(evidence: Evidence, rollout: Rollout, end: int) -> int:
    """Return how many more clean runs the rates need; NEVER if no number is enough."""
    needed = [more for _, _, more in clean_runs_needed(evidence, rollout, end)]
    return NEVER if min(needed) < 0 else max(needed)


def _fraction_in_python(evidence: Evidence, rollout: Rollout) -> float:
    """Return which part of the runs is in Python: by the jobs in the records, or by the share."""
    share = rollout.configurations[evidence.config].share
    total = sum(evidence.jobs.values())
    if not total:
        return share / 100
    return sum(evidence.jobs_below(share, rollout).values()) / total


def _days(number: int, per_day: float) -> float | None:
    if number <= 0:
        return 0.0
    if number == NEVER:
        return None
    return number / per_day if per_day > 0 else None


def _longest(*days: float | None) -> float | None:
    known = [one for one in days if one is not None]
    return max(known) if len(known) == len(days) else None
