"""The newest of many runs, which a page lists; of all others it has only counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_sessions.records.query import by_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_sessions.records.query import Summary

__all__ = ["NewestRuns"]

_ROOM = 1.1  # sorting now and then takes less time than a heap


@dataclass(slots=True)
class NewestRuns:
    """Counts runs as they pass, and keeps at most ``most`` of them: those that started last.

    ``first`` and ``last`` are when the first and the last of all runs started (ISO 8601), or "".
    """

    most: int
    total: int = 0
    first: str = ""
    last: str = ""
    _kept: list[Summary] = field(default_factory=list)  # and some more, up to ``_ROOM`` times that
    _since: str = ""  # when the first of the newest started, as far as it is known

    def watch(self, runs: Iterable[Summary]) -> Iterator[Summary]:
        """Yield the runs, and keep the newest."""
        for run in runs:
            self._add(run)
            yield run

    def _add(self, run: Summary) -> None:
        self.total += 1
        self.first = min(self.first or run.started, run.started)
        self.last = max(self.last, run.started)
        if run.started >= self._since:
            self._kept.append(run)
            if len(self._kept) > _ROOM * self.most:
                self._drop_oldest()
                self._since = self._kept[-1].started

    def _drop_oldest(self) -> None:
        self._kept.sort(key=by_time, reverse=True)
        del self._kept[self.most :]

    @property
    def runs(self) -> list[Summary]:
        """The newest runs, newest first."""
        self._drop_oldest()
        return list(self._kept)
