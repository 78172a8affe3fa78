"""Evidence for the rollout from the records: rates with intervals, paired times, verdicts.

Verdicts are based on confidence limits, never on means. A configuration is promoted if even the
pessimistic limits meet its targets, and rolled back if even an optimistic limit misses one. In
between it is held, and the verdict says how many more runs are needed.
"""

from __future__ import annotations

import enum
import functools
import math
import random
import statistics
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Fallback, Reason, Runner
from ci_sessions.text import count

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
    "collect_evidence",
    "judge",
    "relevant_runs",
    "wilson",
]

_Z = 1.959963984540054  # 95 %, two-sided
_RESAMPLES = 1000
_MAX_PAIRS = 500  # the newest ones; more would only cost time
_MIN_RUNS_TO_ROLL_BACK = 20  # with fewer, a single failure proves little
_MIN_PAIRS = 10
_MIN_SHADOWS = 20  # before a configuration's first job runs in Python


# --- statistics


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``total``, with its Wilson score interval."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """The observed fraction."""
        return self.hits / self.total if self.total else 0.0

    @property
    def interval(self) -> Interval:
        """The Wilson score interval; 0 to 1 without any runs."""
        return wilson(self.hits, self.total)

    def runs_needed(self, target: float) -> int:
        """Return how many more runs at this rate bring the upper limit below ``target``.

        -1 if no number of runs does.
        """
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
    """Return the 95 % Wilson score interval of a fraction."""
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
    """Return the 95 % bootstrap interval of a median; the seed makes it reproducible."""
    return _resampled(tuple(values), seed) if values else Interval(0.0, math.inf)


@functools.lru_cache(maxsize=256)
def _resampled(values: tuple[float, ...], seed: int) -> Interval:
    """Resample. Cached, since both the verdict and the table use the interval."""
    source = random.Random(seed)  # noqa: S311 - resampling, not a secret
    medians = sorted(
        statistics.median(source.choices(values, k=len(values))) for _ in range(_RESAMPLES)
    )
    edge = round(_RESAMPLES * 0.025)
    return Interval(medians[edge], medians[-edge - 1])


# --- evidence


@dataclass(slots=True)
class Evidence:
    """The runs of one configuration.

    ``timed`` has a start time, and Python's time divided by the shell's, for each passing pair.
    """

    config: str
    python: list[Summary] = field(default_factory=list)
    shell: list[Summary] = field(default_factory=list)
    fallbacks: list[Summary] = field(default_factory=list)
    disagreements: list[Summary] = field(default_factory=list)
    timed: list[tuple[str, float]] = field(default_factory=list)
    pairs: int = 0
    shadows: int = 0
    failed_shadows: list[Summary] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Python's time divided by the shell's, for each of the newest pairs."""
        return [ratio for _, ratio in sorted(self.timed)[-_MAX_PAIRS:]]

    @property
    def attempts(self) -> int:
        """The number of jobs that Python should have run."""
        # After a bug in the run, the Python run has a record of its own.
        unrecorded = [run for run in self.fallbacks if run.fallback != Fallback.BUG_IN_RUN]
        return len(self.python) + len(unrecorded)

    @property
    def errors(self) -> list[Summary]:
        """The runs in which the runner failed."""
        return [run for run in self.python if run.outcome is Outcome.RUNNER_ERROR]

    @property
    def fallback_rate(self) -> Rate:
        """The rate of fallbacks to the shell."""
        return Rate(len(self.fallbacks), self.attempts)

    @property
    def error_rate(self) -> Rate:
        """The rate of runner errors."""
        return Rate(len(self.errors), self.attempts)

    @property
    def slowdown(self) -> float | None:
        """The median of ``ratios``, minus 1; None without pairs."""
        return statistics.median(self.ratios) - 1 if self.ratios else None

    @property
    def slowdown_interval(self) -> Interval:
        """The interval of ``slowdown``."""
        limits = bootstrap_median(self.ratios)
        return Interval(limits.low - 1, limits.high - 1)


def relevant_runs(runs: Iterable[Summary], rollout: Rollout) -> Iterator[Summary]:
    """Yield the runs that count for the current state of the rollout.

    These are complete runs that the gate routed since the configuration's share last changed.
    """
    since = {config: entry.since for config, entry in rollout.configurations.items()}
    for run in runs:
        if run.reason and not run.is_partial and run.started >= since.get(run.config, ""):
            yield _decide(run, rollout)


def _decide(run: Summary, rollout: Rollout) -> Summary:
    """Return a run that the gate could not decide: a fallback only if Python was to run it."""
    if run.reason != Reason.UNDECIDED.value:
        return run
    is_for_python = rollout.is_for_python(run.config, run.job)
    return run if is_for_python else replace(run, fallback="")


def collect_evidence(runs: Iterable[Summary]) -> dict[str, Evidence]:
    """Group runs by configuration. Interrupted and aborted runs are ignored."""
    found: dict[str, Evidence] = {}
    pairs: dict[tuple[str, str, str], dict[Runner, list[Summary]]] = defaultdict(dict)
    for run in runs:
        if run.outcome in (Outcome.INTERRUPTED, Outcome.ABORTED):
            continue
        evidence = found.setdefault(run.config, Evidence(run.config))
        if run.shadow is not None:
            evidence.shadows += 1
            if not run.shadow.is_success:
                evidence.failed_shadows.append(run)
        if run.fallback:
            evidence.fallbacks.append(run)
            continue
        if run.outcome is Outcome.UNKNOWN:
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
    """Compare the Python and shell runs of the same job and commit, paired in order of time."""
    for ours, theirs in zip(
        sorted(python, key=lambda run: run.started),
        sorted(shell, key=lambda run: run.started),
        strict=False,
    ):
        evidence.pairs += 1
        if ours.is_pass != theirs.is_pass:
            evidence.disagreements.append(ours)
        elif ours.is_pass and theirs.wall > 0:  # the time of a failed run is meaningless
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
    """An action, the share that it leads to, and the reason."""

    action: Action
    share: int
    reason: str
    runs: tuple[str, ...] = ()


def judge(evidence: Evidence, rollout: Rollout) -> Verdict:
    """Compare one configuration with the targets of the rollout."""
    entry = rollout.configurations[evidence.config]
    below = [step for step in rollout.steps if step < entry.share]
    above = [step for step in rollout.steps if step > entry.share]
    missed = _missed_target(evidence, rollout.targets)
    if missed is not None:
        reason, runs = missed
        if entry.share == 0:
            return Verdict(Action.HOLD, 0, reason)
        share = max(below, default=0)
        return Verdict(Action.ROLL_BACK, share, reason, tuple(run.id for run in runs))
    if entry.phase not in rollout.open_phases:
        return Verdict(Action.HOLD, entry.share, f"phase {entry.phase} is closed")
    first = entry.share == 0 and not evidence.attempts
    missing = _missing_shadows(evidence) if first else _missing(evidence, rollout.targets)
    if missing:
        return Verdict(Action.HOLD, entry.share, "; ".join(missing))
    if not above:
        return Verdict(Action.DONE, entry.share, "all of its jobs run in Python")
    return Verdict(Action.PROMOTE, min(above), f"{entry.share} % → {min(above)} %")


def _missed_target(evidence: Evidence, targets: Targets) -> tuple[str, list[Summary]] | None:
    """Return the target that is missed with 95 % confidence, and the runs that show it."""
    rates = (
        ("falls back", evidence.fallback_rate, targets.fallback, evidence.fallbacks),
        ("runner fails", evidence.error_rate, targets.errors, evidence.errors),
    )
    for what, rate, target, runs in rates:
        if rate.total >= _MIN_RUNS_TO_ROLL_BACK and rate.interval.low >= target:
            low = f"{100 * rate.interval.low:.1f} %"
            return f"{what} in at least {low} of runs, target {100 * target:g} %", runs
    low_time = evidence.slowdown_interval.low
    if len(evidence.ratios) >= _MIN_PAIRS and low_time >= targets.time:
        return f"takes at least {100 * low_time:.1f} % longer, target {100 * targets.time:g} %", []
    return None


def _missing_shadows(evidence: Evidence) -> list[str]:
    """Return what is missing before the first job may run in Python: successful shadow runs."""
    if evidence.failed_shadows:
        return [f"{count(len(evidence.failed_shadows), 'shadow run')} did not match the script"]
    more = _MIN_SHADOWS - evidence.shadows
    return [f"{count(more, 'more shadow run')} needed"] if more > 0 else []


def _missing(evidence: Evidence, targets: Targets) -> list[str]:
    """Return the evidence that is still missing, with how much more is needed."""
    missing = []
    for what, rate, target in (
        ("fallback", evidence.fallback_rate, targets.fallback),
        ("errors", evidence.error_rate, targets.errors),
    ):
        if rate.interval.high >= target:
            more = rate.runs_needed(target)
            needed = f"{count(more, 'more run')} needed" if more > 0 else "above its target"
            missing.append(f"{what}: {needed}")
    if evidence.disagreements:
        missing.append(f"{count(len(evidence.disagreements), 'disagreement')} to investigate")
    if len(evidence.ratios) < _MIN_PAIRS:
        missing.append(f"time: {count(_MIN_PAIRS - len(evidence.ratios), 'more pair')} needed")
    elif evidence.slowdown_interval.high >= targets.time:
        missing.append("time: may still exceed its target")
    return missing
