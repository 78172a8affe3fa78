"""The timeline of a run: what ran when, and where the time went."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.records.record import NOT_TESTS, Outcome
from ci_sessions.report.page.rollout import Tone
from ci_sessions.text import clock_duration, duration, exit_status

if TYPE_CHECKING:
    from datetime import datetime

    from ci_sessions.records.record import RunRecord, StepRecord

__all__ = ["Bar", "Lane", "Slice", "lanes", "length", "slices", "status_of", "ticks", "tone_of"]

_RUNNER = "between the steps"
_SETUP, _CLEANUP = NOT_TESTS
_TONES = {
    Outcome.PASSED: Tone.GOOD,
    Outcome.SKIPPED: Tone.PLAIN,
    Outcome.INTERRUPTED: Tone.WARN,
    Outcome.ABORTED: Tone.WARN,
    Outcome.UNKNOWN: Tone.PLAIN,
}


def tone_of(outcome: Outcome) -> Tone:
    """Return what the colour of an outcome means."""
    return _TONES.get(outcome, Tone.BAD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A step in the timeline, in percent of the run's time."""

    start: float
    width: float
    tone: Tone
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """The steps of one part of the run: of the set-up, of a test, or of the clean-up.

    ``part`` is ``setup``, ``test`` or ``cleanup``; ``share`` is in percent of the run's time.
    """

    name: str
    part: str
    tone: Tone
    bars: tuple[Bar, ...]
    wall: str
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """A kind of work, and how much of the run's time went there (``start``, ``width`` in %)."""

    name: str
    part: str
    start: float
    width: float
    wall: str


def status_of(step: StepRecord) -> str:
    """Return how a step ended: ``passed``, ``exit 139 (SIGSEGV)``, ``timed out, exit 124``."""
    if step.outcome is Outcome.FAILED:
        return exit_status(step.code) if step.code else "failed"
    if step.outcome.is_failure and step.code:
        return f"{step.outcome}, {exit_status(step.code)}"
    return str(step.outcome)


def _offset(run: RunRecord, step: StepRecord) -> float | None:
    """Return when a step started, in seconds after the run did; None if that is not known."""
    start, time = clock.local_time(run.started), clock.local_time(step.started)
    return _seconds(start, time)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    seconds = (end - start).total_seconds()
    return seconds if seconds >= 0 else None


def length(run: RunRecord) -> float:
    """Return the length of the timeline: the run's time, or the end of its last step."""
    ends = ((_offset(run, step) or 0.0) + step.wall for step in run.steps)
    return max(run.wall, *ends, 0.001) if run.steps else max(run.wall, 0.001)


def lanes(run: RunRecord, total: float) -> list[Lane]:
    """Return the parts of a run in order, without those in which nothing ran."""
    parts: dict[str, list[StepRecord]] = defaultdict(list)
    for step in run.steps:
        if step.outcome is not Outcome.SKIPPED:
            parts[step.test].append(step)
    found = []
    for name, steps in parts.items():
        wall = sum(step.wall for step in steps)
        worst = next((step for step in steps if step.outcome.is_failure), steps[0])
        found.append(
            Lane(
                name={_SETUP: "set-up", _CLEANUP: "clean-up"}.get(name, name),
                part=_part(name),
                tone=tone_of(worst.outcome),
                bars=tuple(bar for step in steps if (bar := _bar(run, step, total))),
                wall=clock_duration(wall),
                share=round(100 * wall / total, 1),
            )
        )
    return found


def _part(name: str) -> str:
    return name if name in NOT_TESTS else "test"


def _bar(run: RunRecord, step: StepRecord, total: float) -> Bar | None:
    offset = _offset(run, step)
    if offset is None:
        return None
    label = f"{step.id}: {status_of(step)}, {duration(step.wall)}"
    return Bar(
        start=round(100 * offset / total, 3),
        width=round(max(100 * step.wall / total, 0.3), 3),
        tone=tone_of(step.outcome),
        label=label,
    )


def ticks(total: float) -> tuple[tuple[float, str], ...]:
    """Return about four round times of the axis: (place in %, label)."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000)
    size = next((step for step in steps if total / step <= 6), total / 4)  # noqa: PLR2004 - labels
    return tuple(
        (round(100 * number * size / total, 2), clock_duration(number * size) if number else "0")
        for number in range(int(total / size) + 1)
    )


def slices(run: RunRecord, total: float) -> list[Slice]:
    """Return where the time went: set-up, tests, clean-up, and what is between the steps."""
    walls = {"set-up": 0.0, "tests": 0.0, "clean-up": 0.0}
    names = {_SETUP: "set-up", _CLEANUP: "clean-up"}
    for step in run.steps:
        walls[names.get(step.test, "tests")] += step.wall
    walls[_RUNNER] = max(0.0, total - sum(walls.values()))
    parts = {"set-up": _SETUP, "tests": "test", "clean-up": _CLEANUP, _RUNNER: "runner"}
    found, start = [], 0.0
    for name, wall in walls.items():
        width = 100 * wall / max(total, sum(walls.values()))
        if wall > 0:
            found.append(
                Slice(
                    name=name,
                    part=parts[name],
                    start=round(start, 2),
                    width=round(width, 2),
                    wall=clock_duration(wall),
                )
            )
        start += width
    return found
