"""How often Python falls back, fails or is red, day by day."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from ci_sessions.gate.statistics import Rate
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Fallback, Runner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_sessions.records.query import Summary

__all__ = ["ALL", "DailyCounts", "Period"]

ALL = ""
"""The name under which all configurations are counted together."""
_MOST_CONFIGURATIONS = 40  # with plots of their own
_MOST_PERIODS = 45  # of a plot; more could not be told apart
_NO_RESULT = (Outcome.INTERRUPTED, Outcome.ABORTED, Outcome.UNKNOWN)
_ATTEMPTS, _FALLBACKS, _ERRORS, _OURS, _OUR_RED, _THEIRS, _THEIR_RED = range(7)


@dataclass(frozen=True, slots=True)
class Period:
    """Some days, and what happened in them. ``days`` is how many there are, from ``start`` on."""

    start: date
    days: int
    fallback: Rate
    errors: Rate
    python_red: Rate
    shell_red: Rate

    @property
    def runs(self) -> int:
        """The runs in Python, including those that fell back, and in the shell."""
        return self.fallback.total + self.shell_red.total


@dataclass(slots=True)
class DailyCounts:
    """Counts runs as they pass, by configuration and day (UTC), by the rules of the roll-out.

    Runs count that the gate routed, and that were neither partial nor cut off. Unlike a verdict,
    which starts anew with each share, these counts have all days.
    """

    _counts: dict[tuple[str, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0] * 7)
    )

    def watch(self, runs: Iterable[Summary]) -> Iterator[Summary]:
        """Yield the runs, and count them."""
        for run in runs:
            if run.reason and not run.is_partial and run.outcome not in _NO_RESULT:
                _count(self._counts[run.config, run.started[:10]], run)
            yield run

    @property
    def configurations(self) -> list[str]:
        """The configurations that were counted, by name; of many, only the most frequent."""
        runs: Counter[str] = Counter()
        for (config, _), numbers in self._counts.items():
            runs[config] += numbers[_ATTEMPTS] + numbers[_THEIRS]
        runs.pop(ALL, None)  # runs whose record has no configuration
        return sorted(config for config, _ in runs.most_common(_MOST_CONFIGURATIONS))

    def periods(self, config: str) -> list[Period]:
        """Return the counts of a configuration, or of all, in periods of equal length.

        They are the same for all configurations, from the first to the last day of any.
        """
        days = sorted(day for day in map(_parse_day, {day for _, day in self._counts}) if day)
        if not days:
            return []
        first, length = days[0], (days[-1] - days[0]).days + 1
        size = -(-length // _MOST_PERIODS)
        by_day: dict[str, list[list[int]]] = defaultdict(list)
        for (name, day), numbers in self._counts.items():
            if config in (ALL, name):
                by_day[day].append(numbers)
        return [
            self._period(by_day, first + timedelta(days=start), size)
            for start in range(0, length, size)
        ]

    @staticmethod
    def _period(by_day: Mapping[str, list[list[int]]], start: date, size: int) -> Period:
        days = [(start + timedelta(days=number)).isoformat() for number in range(size)]
        found = [numbers for day in days for numbers in by_day.get(day, ())]
        total = [sum(numbers) for numbers in zip(*found, strict=True)] or [0] * 7
        return Period(
            start=start,
            days=size,
            fallback=Rate(total[_FALLBACKS], total[_ATTEMPTS]),
            errors=Rate(total[_ERRORS], total[_ATTEMPTS]),
            python_red=Rate(total[_OUR_RED], total[_OURS]),
            shell_red=Rate(total[_THEIR_RED], total[_THEIRS]),
        )


def _count(counts: list[int], run: Summary) -> None:
    is_error = run.outcome is Outcome.RUNNER_ERROR
    is_red = not (run.is_pass or is_error)
    if run.fallback:
        # After a bug in the run, the run in Python has a record of its own.
        counts[_ATTEMPTS] += run.fallback != Fallback.BUG_IN_RUN
        counts[_FALLBACKS] += 1
    elif run.runner is Runner.PYTHON:
        counts[_ATTEMPTS] += 1
        counts[_ERRORS] += is_error
        counts[_OURS] += not is_error
        counts[_OUR_RED] += is_red
    else:
        counts[_THEIRS] += not is_error
        counts[_THEIR_RED] += is_red


def _parse_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:  # a record may have any text for a time
        return None
