"""How long the tests of each configuration take."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_sessions.records.record import NOT_TESTS, Outcome
from ci_sessions.records.route import Runner

if TYPE_CHECKING:
    from ci_sessions.records.query import Summary
    from ci_sessions.records.record import RunRecord

__all__ = ["TestTime", "TestTimes"]

_HIGH = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class TestTime:
    """How long a test of a configuration takes, in seconds, where it passed.

    ``high`` is exceeded by 5 % of the runs. ``part`` is its part of the configuration's time, from
    0 to 1.
    """

    __test__ = False  # it is no test for pytest

    config: str
    test: str
    runs: int
    median: float
    high: float
    part: float


@dataclass(slots=True)
class TestTimes:
    """Collects how long tests took in some runs. ``runs`` counts these."""

    __test__ = False

    runs: int = 0
    _walls: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, run: Summary, record: RunRecord) -> None:
        """Add the tests that passed in a run; the script is one step, whose tests have no times."""
        if run.runner is not Runner.PYTHON:
            return
        self.runs += 1
        for test, wall in _passed_tests(record).items():
            self._walls[run.config, test].append(wall)

    def slowest(self, most: int) -> list[TestTime]:
        """Return the slowest tests by their median, at most ``most``."""
        totals: dict[str, float] = defaultdict(float)
        for (config, _), times in self._walls.items():
            totals[config] += sum(times)
        found = [
            TestTime(
                config=config,
                test=test,
                runs=len(times),
                median=statistics.median(times),
                high=sorted(times)[min(len(times) - 1, int(_HIGH * len(times)))],
                part=sum(times) / (totals[config] or 1.0),
            )
            for (config, test), times in self._walls.items()
        ]
        found.sort(key=lambda one: (-one.median, one.config, one.test))
        return found[:most]


def _passed_tests(record: RunRecord) -> dict[str, float]:
    """Return how long each test of a run took that ran and passed."""
    walls: dict[str, float] = {}
    for step in record.steps:
        if step.test not in NOT_TESTS and step.outcome is not Outcome.SKIPPED:
            walls[step.test] = walls.get(step.test, 0.0) + step.wall
    failed = {step.test for step in record.failed_steps}
    return {test: wall for test, wall in walls.items() if test not in failed}
