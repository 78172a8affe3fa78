"""Failed test cases of many runs: which are flaky, and which are new."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.records.query import by_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci_sessions.records.query import Summary
    from ci_sessions.records.record import Case, RunRecord

__all__ = ["NEW_DAYS", "FailedCase", "FailedCases"]

_MOST_CASES = 20_000  # of the newest red runs, for which there is memory; usually all of them
NEW_DAYS = 3
"""A failure is new if it was first seen in this many days before the last run."""


@dataclass(slots=True)
class FailedCase:
    """A test case of a configuration that failed, oldest run first.

    ``passed`` are runs of the same job at the same commit as a failed one in which it did not fail.
    ``is_new``: it did not fail in the earlier runs that were looked at.
    """

    config: str
    name: str
    message: str
    failed: list[Summary] = field(default_factory=list)
    passed: list[Summary] = field(default_factory=list)
    is_new: bool = False

    @property
    def jobs(self) -> int:
        """The number of different jobs in which it failed."""
        return len({run.job for run in self.failed})

    @property
    def commits(self) -> int:
        """The number of different commits at which it failed, as far as they are known."""
        return len({run.commit for run in self.failed if run.commit})


@dataclass(slots=True)
class FailedCases:
    """Collects the failed cases of red runs, which come newest first."""

    _found: dict[tuple[str, str], FailedCase] = field(default_factory=dict)
    _names: dict[str, set[str]] = field(default_factory=dict)

    def add(self, run: Summary, record: RunRecord) -> None:
        """Add the cases of a red run."""
        names = set()
        for case in {case.name: case for case in _cases(record)}.values():
            one = self._found.get((run.config, case.name))
            if one is None and len(self._found) < _MOST_CASES:
                one = FailedCase(run.config, case.name, case.message)
                self._found[run.config, case.name] = one
            if one is not None:
                one.failed.append(run)
            names.add(case.name if one is None else one.name)
        self._names[run.id] = names if _is_complete(record) else set()

    def result(self, runs: Sequence[Summary]) -> list[FailedCase]:
        """Return the failed cases, the most frequent first.

        ``runs`` are all runs that are looked at, also those that passed.
        """
        cases = list(self._found.values())
        for case in cases:
            case.failed.sort(key=by_time)
        _add_passes(cases, runs, self._names)
        _mark_new(cases, runs)
        return sorted(cases, key=lambda one: (-len(one.failed), one.config, one.name))


def _cases(record: RunRecord) -> Iterator[Case]:
    for step in record.failed_steps:
        if step.cases is not None:
            yield from step.cases.failed


def _is_complete(record: RunRecord) -> bool:
    """Return whether all failed cases are named: then all others did not fail, if they ran."""
    counted = [step.cases for step in record.failed_steps if step.cases is not None]
    return bool(counted) and all(
        len(cases.failed) >= cases.failures + cases.errors for cases in counted
    )


def _add_passes(
    cases: Iterable[FailedCase], runs: Iterable[Summary], failed: dict[str, set[str]]
) -> None:
    """Find the runs in which a case did not fail, at a commit and in a job in which it did.

    Only runs that passed, and red ones with a failed case of their own, are sure to have run tests.
    """
    same: dict[tuple[str, str, str], list[Summary]] = defaultdict(list)
    for run in runs:
        if run.commit and (run.is_pass or failed.get(run.id)):
            same[run.config, run.job, run.commit].append(run)
    for case in cases:
        keys = {(run.config, run.job, run.commit) for run in case.failed if run.commit}
        case.passed = [
            run
            for key in sorted(keys)
            for run in same.get(key, ())
            if run.is_pass or (len(failed[run.id]) > 0 and case.name not in failed[run.id])
        ]


def _mark_new(cases: Iterable[FailedCase], runs: Sequence[Summary]) -> None:
    """Mark the cases that first failed in the last days, if there were runs before these."""
    times = [time for time in (clock.local_time(run.started) for run in runs) if time is not None]
    if not times:
        return
    since = max(times) - timedelta(days=NEW_DAYS)
    before = {run.config for run in runs if (t := clock.local_time(run.started)) and t < since}
    for case in cases:
        first = clock.local_time(case.failed[0].started)
        case.is_new = first is not None and first >= since and case.config in before
