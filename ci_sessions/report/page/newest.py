"""The newest of many runs, which a page lists; of all others it has only counts."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_sessions.records.query import by_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_sessions.records.query import Summary

__all__ = ["NewestRuns"]


@dataclass(slots=True)
class NewestRuns:
    """Counts runs as they pass, and keeps at most ``most`` of them: those that started last.

    ``first`` and ``last`` are when the first and the last of all runs started (ISO 8601), or "".
    """

    most: int
    total: int = 0
    first: str = ""
    last: str = ""
    _heap: list[tuple[tuple[str, str], int, Summary]] = field(default_factory=list)

    def watch(self, runs: Iterable[Summary]) -> Iterator[Summary]:
        """Yield the runs, and keep the newest."""
        for run in runs:
            self._add(run)
            yield run

    def _add(self, run: Summary) -> None:
        self.total += 1
        self.first = min(self.first or run.started, run.started)
        self.last = max(self.last, run.started)
        entry = (by_time(run), self.total, run)
        if len(self._heap) < self.most:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    @property
    def runs(self) -> list[Summary]:
        """The newest runs, newest first."""
        return [run for _, _, run in sorted(self._heap, reverse=True)]
