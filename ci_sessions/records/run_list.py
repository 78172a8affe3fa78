"""Lists of runs for a fleet's records, of which there may be millions.

The summary of a run takes hundreds of bytes; a list keeps less than forty of each run that is in a
file: its place there, from where it is read again when it is looked at, and in columns what
decisions are made of for all runs. Nearly all runs are only counted.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

from ci_sessions.records.query import Summary, by_time, read_again
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Fallback, Reason
from ci_sessions.records.verdict import JobVerdict

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NO_RESULT", "RunChain", "RunIds", "RunList", "ids_by_time", "members_of_newest_pairs"]

NO_RESULT = (Outcome.INTERRUPTED, Outcome.ABORTED, Outcome.UNKNOWN, Outcome.RUNNER_ERROR)
"""Outcomes that say nothing about the job itself, so that such a run is in no pair."""

_OUTCOMES, _SHADOWS = tuple(Outcome), (None, *JobVerdict)
_OUTCOME_CODES = {outcome: code for code, outcome in enumerate(_OUTCOMES)}
_SHADOW_CODES = {shadow: code for code, shadow in enumerate(_SHADOWS)}
_PLACE_BITS = 40  # of the place in a file; the rest is the number of the file
_WHOLE = (1 << 64) - 1  # instead of a place, if the summary itself is kept
_SPLIT_IN, _HAS_OWN_RECORD = 1, 2
_FEW = 50  # runs whose IDs are read at once
_SEPARATORS = b"-:.TZ"
_TIME_LENGTH = len("2026-11-28T05:41:00.000Z")


class _Runs(Sequence[Summary]):
    """Runs that are equal to any other sequence of the same runs."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"


class RunList(_Runs):
    """Runs in the order in which they were appended.

    A run whose file has been changed or removed meanwhile is counted, but left out of iterations.
    """

    def __init__(self, runs: Iterable[Summary] = ()) -> None:
        self.newest_with_build: Summary | None = None
        self._paths: list[str] = []
        self._whole: dict[int, Summary] = {}
        self._places = array("Q")
        self._times = array("Q")  # of the start; 0 for a time that is not written as usual
        self._ids = array("q")  # hashes
        self._pairs = array("q")  # hashes of what the runs of a pair share, or 0
        self._outcomes = bytearray()
        self._shadows = bytearray()
        self._flags = bytearray()
        for run in runs:
            self.append(run)

    def append(self, run: Summary) -> None:
        """Append a run."""
        time = _packed_time(run.started)
        if run.place < 0 or not time or _is_rare(run):
            self._whole[len(self._places)] = run
            self._places.append(_WHOLE)
        else:
            if not self._paths or self._paths[-1] != run.path:
                self._paths.append(run.path)
            self._places.append((len(self._paths) - 1) << _PLACE_BITS | run.place)
        self._times.append(time)
        self._ids.append(hash(run.id))
        is_in_pair = run.commit and not run.fallback and run.outcome not in NO_RESULT
        self._pairs.append(hash((run.config, run.job, run.commit)) if is_in_pair else 0)
        self._outcomes.append(_OUTCOME_CODES[run.outcome])
        self._shadows.append(_SHADOW_CODES[run.shadow])
        is_split = run.reason == Reason.SPLIT_IN
        has_own = run.fallback == Fallback.BUG_IN_RUN
        self._flags.append(_SPLIT_IN * is_split | _HAS_OWN_RECORD * has_own)
        newest = self.newest_with_build
        if run.build and (newest is None or run.started > newest.started):
            self.newest_with_build = run

    # --- as a sequence

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Summary]:
        return self._at(range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Summary: ...
    @overload
    def __getitem__(self, index: slice) -> list[Summary]: ...
    def __getitem__(self, index: int | slice) -> Summary | list[Summary]:
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            found = list(self._at(sorted(chosen)))
            return found if chosen.step > 0 else found[::-1]
        for run in self._at([chosen]):
            return run
        raise IndexError(f"the file of run {index} is gone")

    def _at(self, numbers: Iterable[int]) -> Iterator[Summary]:
        """Yield some of the runs, in order; those that follow each other are read together."""

        def file_of(number: int) -> int:
            place = self._places[number]
            return -1 if place == _WHOLE else place >> _PLACE_BITS

        for file, group in itertools.groupby(numbers, key=file_of):
            if file < 0:
                yield from (self._whole[number] for number in group)
            else:
                mask = (1 << _PLACE_BITS) - 1
                yield from read_again(self._paths[file], (self._places[n] & mask for n in group))

    # --- what is known without reading a run again

    def with_outcome(self, accepts: Callable[[Outcome], bool]) -> RunList:
        """Return the runs whose outcome is accepted."""
        codes = {code for code, outcome in enumerate(_OUTCOMES) if accepts(outcome)}
        return self._select(n for n, code in enumerate(self._outcomes) if code in codes)

    def with_shadow(self, accepts: Callable[[JobVerdict], bool]) -> RunList:
        """Return the runs with a shadow comparison whose verdict is accepted."""
        codes = {code for code, one in enumerate(_SHADOWS) if one is not None and accepts(one)}
        return self._select(n for n, code in enumerate(self._shadows) if code in codes)

    def without_own_record(self) -> RunList:
        """Return the runs of which there is no other record, as after a bug in a Python run."""
        return self._select(n for n, flags in enumerate(self._flags) if not flags & _HAS_OWN_RECORD)

    @property
    def has_split_in(self) -> bool:
        """Whether the gate chose Python for any run because of its bucket."""
        return any(flags & _SPLIT_IN for flags in self._flags)

    def after(self, run: Summary) -> RunList:
        """Return the runs that are later than ``run``, in the order of ``by_time``."""
        time, key = _packed_time(run.started), by_time(run)

        def is_later(number: int) -> bool:
            ours = self._times[number]
            if time and ours and ours != time:
                return ours > time
            return any(by_time(one) > key for one in self._at([number]))

        return self._select(number for number in range(len(self)) if is_later(number))

    def _select(self, numbers: Iterable[int]) -> RunList:
        chosen = array("Q", numbers)
        found = RunList()
        found._paths = self._paths
        found._whole = {n: self._whole[o] for n, o in enumerate(chosen) if o in self._whole}
        for name in ("_places", "_times", "_ids", "_pairs"):
            column = getattr(self, name)
            setattr(found, name, array(column.typecode, (column[number] for number in chosen)))
        for name in ("_outcomes", "_shadows", "_flags"):
            column = getattr(self, name)
            setattr(found, name, bytearray(column[number] for number in chosen))
        return found

    def ends(self) -> list[Summary]:
        """Return the first and the last run, in the order of ``by_time``; perhaps some others."""
        usual = [time for time in self._times if time]
        ends = {0, min(usual, default=0), max(usual, default=0)}
        return list(self._at(n for n, time in enumerate(self._times) if time in ends))

    def hashes(self, part: int, parts: int) -> set[int]:
        """Return the hashes of a part of the IDs."""
        return {one for one in self._ids if one % parts == part}

    def in_pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the time and the hash of what a pair shares, for runs that may be in one."""
        return ((time, key) for time, key in zip(self._times, self._pairs, strict=True) if key)

    def of_pairs(self, keys: set[int]) -> Iterator[Summary]:
        """Yield the runs of some pairs."""
        return self._at(number for number, key in enumerate(self._pairs) if key in keys)


class RunChain(_Runs):
    """Several lists of runs, one after another, which are not copied."""

    def __init__(self, *parts: RunList) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Summary]:
        return itertools.chain.from_iterable(self.parts)

    @overload
    def __getitem__(self, index: int) -> Summary: ...
    @overload
    def __getitem__(self, index: slice) -> list[Summary]: ...
    def __getitem__(self, index: int | slice) -> Summary | list[Summary]:
        return list(self)[index]


def _is_rare(run: Summary) -> bool:
    """Return whether a run is kept as it is: an objection must not vanish with its file.

    Nor is a run without an end read again, since all of the file would be searched for it.
    """
    differs = run.shadow is not None and run.shadow.is_failure
    return differs or run.outcome is Outcome.ABORTED


def _packed_time(text: str) -> int:
    """Return a time as a number with the same order, or 0 if it is not written as usual."""
    if len(text) != _TIME_LENGTH or not text.endswith("Z"):
        return 0
    digits = text.encode("ascii", "replace").translate(None, _SEPARATORS)
    return int(digits) if len(digits) == _TIME_LENGTH - 7 and digits.isdigit() else 0


# --- pairs


def members_of_newest_pairs(python: RunList, shell: RunList, most: int) -> list[Summary]:
    """Return the runs of at least the newest ``most`` pairs, which are those of both runners.

    A pair is as old as its run in Python. Only these runs are read again.
    """
    of_job: dict[int, int] = {}  # the number of runs in the shell, by what a pair shares
    in_python = {key for _, key in python.in_pairs()}
    for _, key in shell.in_pairs():
        if key in in_python:
            of_job[key] = of_job.get(key, 0) + 1
    del in_python
    chosen = set(of_job)
    if len(chosen) > most:
        # Several runs of a job at a commit pair in order of time; those left over are in no pair.
        paired: list[tuple[int, int]] = []
        for time, key in sorted(one for one in python.in_pairs() if one[1] in chosen):
            if of_job[key]:
                of_job[key] -= 1
                paired.append((time, key))
        oldest = paired[-most][0] if paired[0][0] else 0
        chosen = {key for time, key in paired if time >= oldest}
    return [*python.of_pairs(chosen), *shell.of_pairs(chosen)]


# --- IDs


def ids_by_time(lists: Iterable[Sequence[Summary]]) -> Sequence[str]:
    """Return the IDs of all runs in some lists, each of them once, in the order of ``by_time``."""
    parts = list(lists)
    if sum(map(len, parts)) > _FEW:
        return RunIds(parts)
    runs = {run.id: run for part in parts for run in part}
    return tuple(run.id for run in sorted(runs.values(), key=by_time))


class RunIds(Sequence[str]):
    """The IDs of many runs in order. They are only read if they are listed."""

    def __init__(self, lists: Iterable[Sequence[Summary]]) -> None:
        flat = (
            part for one in lists for part in (one.parts if isinstance(one, RunChain) else [one])
        )
        known = {id(part): part for part in flat}.values()
        self._parts = [part if isinstance(part, RunList) else RunList(part) for part in known]
        total = sum(map(len, self._parts))
        parts = 1 + total // 100_000  # so that only a part of the hashes is in a set at a time
        self._length = sum(
            len(set().union(*(one.hashes(part, parts) for one in self._parts)))
            for part in range(parts)
        )
        ends = sorted((run for one in self._parts for run in one.ends()), key=by_time)
        self._ends = (ends[0].id, ends[-1].id) if ends else ("", "")  # "": their files are gone

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        runs = {run.id: run.started for part in self._parts for run in part}
        return (name for _, name in sorted((started, name) for name, started in runs.items()))

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if index == 0:
            return self._ends[0]
        return self._ends[1] if index == -1 else list(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]
