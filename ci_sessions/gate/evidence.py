"""What the records say about the roll-out: rates with intervals, times of pairs, verdicts.

A verdict holds at the edge of an interval, never at the mean: a configuration is promoted when even
the pessimistic edge is inside its targets, rolled back when even the optimistic one is outside, and
held in between, with how many more runs it takes.
"""

from __future__ import annotations

import enum
import functools
import math
import random
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Fallback, Runner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci_sessions.gate.rollout import Rollout, Targets
    from ci_sessions.records.query import Summary

__all__ = [
    "Evidence",
    "Interval",
    "Rate",
    "Verdict",
    "bootstrap_median",
    "collect",
    "judge",
    "relevant",
    "wilson",
]

_Z = 1.959963984540054  # 95 %, two-sided
_RESAMPLES = 1000
_MOST_PAIRS = 500  # the newest; more would only cost time
_FEWEST_TO_ROLL_BACK = 20  # runs; below, a single fault says little
_FEWEST_PAIRS = 10
_FEWEST_SHADOWS = 20  # before a configuration's first job runs in Python


# --- statistics


@dataclass(frozen=True, slots=True)
class Interval:
    """A range that holds the true value with 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``total``, with Wilson's interval."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """The observed fraction."""
        return self.hits / self.total if self.total else 0.0

    @property
    def interval(self) -> Interval:
        """Wilson's interval; all of 0 to 1 where nothing was seen."""
        return wilson(self.hits, self.total)

    def needs(self, target: float) -> int:
        """How many more runs at this rate until the upper edge is below ``target``; -1 is never."""
        if self.value >= target:
            return -1
        low, high = self.total, max(self.total, 1)
        while wilson(round(self.value * high), high).high >= target:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            is_enough = wilson(round(self.value * middle), middle).high < target
            low, high = (low, middle) if is_enough else (middle, high)
        return high - self.total


def wilson(hits: int, total: int) -> Interval:
    """Return Wilson's score interval of a fraction, at 95 %."""
    if total == 0:
        return Interval(0.0, 1.0)
    fraction, square = hits / total, _Z * _Z
    scale = 1 + square / total
    middle = (fraction + square / (2 * total)) / scale
    spread = fraction * (1 - fraction) / total + square / (4 * total * total)
    half = _Z * math.sqrt(spread) / scale
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == total else min(1.0, middle + half)
    return Interval(low, high)


def bootstrap_median(values: Sequence[float], seed: int = 0) -> Interval:
    """Return the bootstrap interval of a median, at 95 %; the seed makes it repeatable."""
    return _resampled(tuple(values), seed) if values else Interval(0.0, math.inf)


@functools.lru_cache(maxsize=256)
def _resampled(values: tuple[float, ...], seed: int) -> Interval:
    """Resample, once for the same values: a verdict and its table both ask."""
    source = random.Random(seed)  # noqa: S311 - resampling, not a secret
    medians = sorted(
        statistics.median(source.choices(values, k=len(values))) for _ in range(_RESAMPLES)
    )
    edge = round(_RESAMPLES * 0.025)
    return Interval(medians[edge], medians[-edge - 1])


# --- evidence


@dataclass(slots=True)
class Evidence:
    """One configuration's runs. ``timed`` holds each green pair: when, and Python over shell."""

    config: str
    python: list[Summary] = field(default_factory=list)
    shell: list[Summary] = field(default_factory=list)
    fallbacks: list[Summary] = field(default_factory=list)
    disagreements: list[Summary] = field(default_factory=list)
    timed: list[tuple[str, float]] = field(default_factory=list)
    pairs: int = 0
    shadows: int = 0
    shadow_faults: list[Summary] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Python's time over the shell's, of the newest pairs."""
        return [ratio for _, ratio in sorted(self.timed)[-_MOST_PAIRS:]]

    @property
    def attempts(self) -> int:
        """How often Python was to run the job."""
        unseen = [run for run in self.fallbacks if run.fallback != Fallback.BUG_IN_RUN]
        return len(self.python) + len(unseen)

    @property
    def errors(self) -> list[Summary]:
        """Runs that ended in a fault of the runner."""
        return [run for run in self.python if run.outcome is Outcome.RUNNER_ERROR]

    @property
    def fallback_rate(self) -> Rate:
        """How often the job went back to the shell."""
        return Rate(len(self.fallbacks), self.attempts)

    @property
    def error_rate(self) -> Rate:
        """How often the runner itself failed."""
        return Rate(len(self.errors), self.attempts)

    @property
    def slowdown(self) -> float | None:
        """The median of Python's time over the shell's, less 1."""
        return statistics.median(self.ratios) - 1 if self.ratios else None

    @property
    def slowdown_interval(self) -> Interval:
        """Its interval."""
        edges = bootstrap_median(self.ratios)
        return Interval(edges.low - 1, edges.high - 1)


def relevant(runs: Iterable[Summary], rollout: Rollout) -> Iterator[Summary]:
    """Keep the runs that say something of the roll-out as it stands.

    Whole runs that the gate routed, since the configuration's share was last changed.
    """
    since = {config: entry.since for config, entry in rollout.configurations.items()}
    for run in runs:
        if run.reason and not run.is_partial and run.started >= since.get(run.config, ""):
            yield run


def collect(runs: Iterable[Summary]) -> dict[str, Evidence]:
    """Sort runs into evidence by configuration; interrupted and cut-off runs say nothing."""
    found: dict[str, Evidence] = {}
    pairs: dict[tuple[str, str, str], dict[Runner, list[Summary]]] = defaultdict(dict)
    for run in runs:
        if run.outcome in (Outcome.INTERRUPTED, Outcome.ABORTED):
            continue
        evidence = found.setdefault(run.config, Evidence(run.config))
        if run.shadow is not None:
            evidence.shadows += 1
            if not run.shadow.is_clean:
                evidence.shadow_faults.append(run)
        if run.fallback:
            evidence.fallbacks.append(run)
            continue
        side = evidence.python if run.runner is Runner.PYTHON else evidence.shell
        side.append(run)
        if run.commit and run.outcome is not Outcome.RUNNER_ERROR:
            pairs[run.config, run.job, run.commit].setdefault(run.runner, []).append(run)
    for (config, _, _), sides in pairs.items():
        if len(sides) == 2:  # noqa: PLR2004 - both routes
            _compare(found[config], sides[Runner.PYTHON], sides[Runner.SHELL])
    return found


def _compare(evidence: Evidence, python: list[Summary], shell: list[Summary]) -> None:
    """Compare the routes on the same job and commit, run by run in the order of time."""
    for ours, theirs in zip(
        sorted(python, key=lambda run: run.started),
        sorted(shell, key=lambda run: run.started),
        strict=False,
    ):
        evidence.pairs += 1
        if ours.is_pass != theirs.is_pass:
            evidence.disagreements.append(ours)
        elif ours.is_pass and theirs.wall > 0:  # how fast a job fails says nothing
            evidence.timed.append((ours.started, ours.wall / theirs.wall))


# --- verdicts


class Action(str, enum.Enum):
    """What to do with a configuration's share."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll back"
    DONE = "done"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action, the share it leads to, and why."""

    action: Action
    share: int
    why: str
    runs: tuple[str, ...] = ()


def judge(evidence: Evidence, rollout: Rollout) -> Verdict:
    """Judge one configuration against the targets of the roll-out."""
    entry = rollout.configurations[evidence.config]
    below = [step for step in rollout.steps if step < entry.share]
    above = [step for step in rollout.steps if step > entry.share]
    bad = _outside(evidence, rollout.targets)
    if bad is not None:
        why, runs = bad
        if entry.share == 0:
            return Verdict(Action.HOLD, 0, why)
        share = max(below, default=0)
        return Verdict(Action.ROLL_BACK, share, why, tuple(run.id for run in runs))
    if entry.phase not in rollout.open_phases:
        return Verdict(Action.HOLD, entry.share, f"phase {entry.phase} is closed")
    first = entry.share == 0 and not evidence.attempts
    missing = _unshadowed(evidence) if first else _missing(evidence, rollout.targets)
    if missing:
        return Verdict(Action.HOLD, entry.share, "; ".join(missing))
    if not above:
        return Verdict(Action.DONE, entry.share, f"all jobs of phase {entry.phase} run in Python")
    return Verdict(Action.PROMOTE, min(above), f"{entry.share} % → {min(above)} %")


def _outside(evidence: Evidence, targets: Targets) -> tuple[str, list[Summary]] | None:
    """Return what is surely outside a target, and the runs that say so."""
    rates = (
        ("falls back", evidence.fallback_rate, targets.fallback, evidence.fallbacks),
        ("runner fails", evidence.error_rate, targets.errors, evidence.errors),
    )
    for what, rate, target, runs in rates:
        if rate.total >= _FEWEST_TO_ROLL_BACK and rate.interval.low >= target:
            low = f"{100 * rate.interval.low:.1f} %"
            return f"{what} in at least {low} of runs, target {100 * target:g} %", runs
    low_time = evidence.slowdown_interval.low if evidence.ratios else -1.0
    if len(evidence.ratios) >= _FEWEST_PAIRS and low_time >= targets.time:
        return f"takes at least {100 * low_time:.1f} % longer, target {100 * targets.time:g} %", []
    return None


def _unshadowed(evidence: Evidence) -> list[str]:
    """Return what is missing before the first job may run in Python: clean shadow runs."""
    if evidence.shadow_faults:
        return [f"{len(evidence.shadow_faults)} shadow runs that differ or have no plan"]
    more = _FEWEST_SHADOWS - evidence.shadows
    return [f"{more} more shadow runs"] if more > 0 else []


def _missing(evidence: Evidence, targets: Targets) -> list[str]:
    """Return what is not shown yet, each with what it takes."""
    missing = []
    for what, rate, target in (
        ("fallback", evidence.fallback_rate, targets.fallback),
        ("errors", evidence.error_rate, targets.errors),
    ):
        if rate.interval.high >= target:
            more = rate.needs(target)
            missing.append(f"{what}: {more} more runs" if more > 0 else f"{what} above its target")
    if evidence.disagreements:
        missing.append(f"{len(evidence.disagreements)} disagreements to look at")
    if len(evidence.ratios) < _FEWEST_PAIRS:
        missing.append(f"time: {_FEWEST_PAIRS - len(evidence.ratios)} more pairs")
    elif evidence.slowdown_interval.high >= targets.time:
        missing.append("time: not yet surely inside its target")
    return missing
