"""The times that steps took in recorded runs, for what run_test.py cannot estimate."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import TYPE_CHECKING

from ci_sessions.records.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_sessions.inventory.jobs import JobInventory, StepInventory
    from ci_sessions.records.record import RunRecord

__all__ = ["RecordedTimes"]

Key = tuple[str, str, str, int]  # configuration, build, test, number of the step


class RecordedTimes:
    """The median minutes of each step that passed, by configuration, build, test and number.

    A step of a run of only a part, such as one test case, has another command, so it does not
    count.
    """

    def __init__(self, runs: Iterable[RunRecord] = ()) -> None:
        seconds: dict[tuple[Key, str], list[float]] = defaultdict(list)
        for run in runs:
            job = run.job
            for step in run.steps:
                if step.outcome is Outcome.PASSED and step.wall > 0:
                    build = str(job.get("build_environment", ""))
                    key = (str(job.get("config", "")), build, step.test, step.number)
                    seconds[key, step.command].append(step.wall)
        self._minutes: Mapping[tuple[Key, str], float] = {
            key: round(statistics.median(values) / 60, 2) for key, values in seconds.items()
        }

    def minutes(self, job: JobInventory, step: StepInventory) -> float | None:
        """Return the median minutes of a step, or None if no run of it is recorded."""
        key = (job.config, job.build_environment, step.test, step.number)
        found = {c: m for (one, c), m in self._minutes.items() if one == key}
        is_alike = (m for c, m in found.items() if " ".join(step.argv) in c)
        return next(is_alike, None)
