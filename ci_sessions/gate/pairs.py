"""Pairs: one job at one commit, run by Python and by the shell, and compared case by case.

Whether a run is red depends on flaky test cases too. So a pair in which only some cases differ has
flaky cases, which are listed, while one in which other cases ran, or in which no case explains why
one side is red, is a difference between the runners.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ci_sessions.gate.statistics import is_one_sided
from ci_sessions.records.query import by_time
from ci_sessions.records.route import Runner
from ci_sessions.records.run_list import NO_RESULT
from ci_sessions.text import StrEnum, count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_sessions.records.details import RunDetails
    from ci_sessions.records.query import Summary

__all__ = ["MAX_PAIRS", "FlakyCase", "Measure", "Pair", "find_pairs", "flaky_cases", "newest_pairs"]

MAX_PAIRS = 500  # of a configuration; more would only cost time
_SEVERAL = 2


class Measure(StrEnum):
    """What is compared as a ratio of Python to shell."""

    TIME = "time"
    CPU = "CPU"
    MEMORY = "memory"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two runs of one job at one commit, with the details of each, if they are known."""

    python: Summary
    shell: Summary
    python_details: RunDetails | None = None
    shell_details: RunDetails | None = None

    @property
    def runs(self) -> tuple[Summary, Summary]:
        """Both runs."""
        return (self.python, self.shell)

    def with_details(self, details: Mapping[str, RunDetails]) -> Pair:
        """Return the pair with the details of its runs, by their IDs."""
        return replace(
            self,
            python_details=details.get(self.python.id),
            shell_details=details.get(self.shell.id),
        )

    def ratio(self, measure: Measure) -> float | None:
        """Return Python's value divided by the shell's; None unless both passed and have one.

        How long a run takes that has failed says nothing.
        """
        if not (self.python.is_pass and self.shell.is_pass):
            return None
        if measure is Measure.TIME:
            ours, theirs = self.python.wall, self.shell.wall
            return ours / theirs if theirs > 0 else None
        if self.python_details is None or self.shell_details is None:
            return None
        name = "cpu" if measure is Measure.CPU else "peak"
        ours, theirs = getattr(self.python_details, name), getattr(self.shell_details, name)
        return ours / theirs if ours > 0 and theirs > 0 else None

    @property
    def only_in_python(self) -> frozenset[str]:
        """The cases that failed in Python only."""
        return self._failed(self.python_details) - self._failed(self.shell_details)

    @property
    def only_in_shell(self) -> frozenset[str]:
        """The cases that failed in the shell only."""
        return self._failed(self.shell_details) - self._failed(self.python_details)

    @property
    def difference(self) -> str:
        """How the runners differ, other than by flaky cases; "" if they do not."""
        ours, theirs = self.python_details, self.shell_details
        is_red = not self.python.is_pass
        if ours is None or theirs is None or not (ours.has_cases and theirs.has_cases):
            if self.python.is_pass == self.shell.is_pass:
                return ""
            return f"{self._red} is red, and no test cases are recorded for both"
        if self.python.is_pass == self.shell.is_pass:
            is_cut = is_red and bool(self.only_in_python or self.only_in_shell)
            is_same = is_cut or (ours.total, ours.skipped) == (theirs.total, theirs.skipped)
            return "" if is_same else _other_cases(ours, theirs)
        red, green = (ours, theirs) if is_red else (theirs, ours)
        if not (self.only_in_python if is_red else self.only_in_shell):
            return f"{self._red} is red without a failed test case of its own"
        # A run usually stops at its first failure, so the red side may have run fewer cases.
        return _other_cases(ours, theirs) if red.total > green.total else ""

    @property
    def _red(self) -> str:
        return "the shell" if self.python.is_pass else "Python"

    def _failed(self, details: RunDetails | None) -> frozenset[str]:
        known = (self.python_details, self.shell_details)
        is_known = all(one is not None and one.has_cases for one in known)
        return details.failed if is_known and details is not None else frozenset()


def _other_cases(ours: RunDetails, theirs: RunDetails) -> str:
    """Say that other cases ran."""
    python = f"{count(ours.total, 'case')} ({ours.skipped:,} skipped)"
    return f"Python ran {python}, the shell {theirs.total:,} ({theirs.skipped:,} skipped)"


def find_pairs(
    runs: Iterable[Summary], details: Mapping[str, RunDetails] | None = None
) -> list[Pair]:
    """Return the pairs, oldest first. Several runs of a job at a commit pair in order of time.

    A fallback, and a run without a commit or a result, is in no pair. ``details`` are by run ID.
    """
    known = details or {}
    sides: dict[tuple[str, str, str], dict[Runner, list[Summary]]] = defaultdict(
        lambda: {Runner.PYTHON: [], Runner.SHELL: []}
    )
    for run in sorted(runs, key=by_time):
        if run.commit and not run.fallback and run.outcome not in NO_RESULT:
            sides[run.config, run.job, run.commit][run.runner].append(run)
    pairs = [
        Pair(
            python=ours,
            shell=theirs,
            python_details=known.get(ours.id),
            shell_details=known.get(theirs.id),
        )
        for runners in sides.values()
        for ours, theirs in zip(runners[Runner.PYTHON], runners[Runner.SHELL], strict=False)
    ]
    return sorted(pairs, key=lambda pair: by_time(pair.python))


def newest_pairs(
    runs: Iterable[Summary], details: Mapping[str, RunDetails] | None = None
) -> list[Pair]:
    """Return the pairs that count: the newest ones, oldest first."""
    return find_pairs(runs, details)[-MAX_PAIRS:]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlakyCase:
    """A test case that failed on one side of some pairs only.

    ``compared`` is the number of all pairs of the jobs in which it did so.
    """

    name: str
    compared: int = 0
    python: list[Pair] = field(default_factory=list)
    shell: list[Pair] = field(default_factory=list)
    acknowledged: str = ""

    @property
    def pairs(self) -> list[Pair]:
        """The pairs in which it failed on one side only."""
        return [*self.python, *self.shell]

    @property
    def is_suspect(self) -> bool:
        """Whether the runner may be the cause: it failed repeatedly, and on the same side.

        It did so in most pairs of its jobs, or so often that it is not chance. A single failure is
        chance, and so are some on either side. What is acknowledged is not suspect.
        """
        ours, theirs = len(self.python), len(self.shell)
        if self.acknowledged or ours + theirs < _SEVERAL:
            return False
        is_usual = min(ours, theirs) == 0 and 2 * (ours + theirs) > self.compared
        return is_usual or is_one_sided(ours, theirs)


def flaky_cases(pairs: Iterable[Pair], acknowledged: Mapping[str, str]) -> list[FlakyCase]:
    """Return the flaky cases by name. ``acknowledged`` has a reason for each known case."""
    compared = list(pairs)
    of_job = Counter(pair.python.job for pair in compared)
    sides: dict[str, tuple[list[Pair], list[Pair]]] = {}
    for pair in compared:
        for side, names in enumerate((pair.only_in_python, pair.only_in_shell)):
            for name in names:
                sides.setdefault(name, ([], []))[side].append(pair)
    return [
        FlakyCase(
            name=name,
            python=ours,
            shell=theirs,
            compared=sum(of_job[job] for job in {pair.python.job for pair in [*ours, *theirs]}),
            acknowledged=acknowledged.get(name, ""),
        )
        for name, (ours, theirs) in sorted(sides.items())
    ]
