"""Summaries of runs, read quickly: only the first and the last event of each, and failed steps.

A fleet's records have millions of lines, nearly all of which are about steps that passed. So files
are read in large blocks, and one search skips such lines.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions.checkout.files import open_regular
from ci_sessions.log import logger
from ci_sessions.records.record import FORMAT, NOT_TESTS, Outcome
from ci_sessions.records.route import Reason, Runner
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import IO, TypeAlias

    _Row: TypeAlias = tuple[Any, ...]

__all__ = ["Summary", "by_time", "event_of", "lines_of", "read_again", "read_summaries"]

_NAMES, _RUN = (b'"run started"', b'"run ended"'), b'"run '
_STEP, _PASSED = b'"step ended"', b'"outcome": "passed"'
_FAILURES = {outcome.value for outcome in Outcome if outcome.is_failure}
# A line that is not about a step that started or passed, as this package writes those.
_NOTABLE = re.compile(
    rb'\n(?!\{"event": "step (?:started"|(?=[^\n]*%b)))([^\n]+)' % re.escape(_PASSED)
)
_LONGEST_LINE = 1 << 20  # bytes
_BLOCK = 1 << 18  # bytes
_CLOSE = 1 << 16  # bytes between runs that are read in one pass
_SHORT_BLOCK = 1 << 14  # bytes, to read a single run
_DECODE = json.JSONDecoder().raw_decode  # json.loads also looks for the encoding
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_RUNNERS = {runner.value: runner for runner in Runner}
_LARGE = 1 << 26  # bytes of files that are worth several processes
_GROUP = 1 << 22  # bytes of files that one of them reads in turn
_OPENING = 1 << 11  # bytes that could be read while a file is opened
_LONGEST_RUN = 1e7  # seconds: no run takes four months


@dataclass(slots=True)
class Summary:
    """What the rollout and the history need to know about a run. ``wall`` is in seconds.

    Nothing changes one. It is not frozen, since that takes three times as long to create, and a
    fleet has a million.

    ``failed_tests`` are the names of the tests with a failed step. ``path`` is the record file, and
    ``place`` the number of bytes in it before the run's first event; -1 if it is not from a file.
    """

    id: str
    config: str
    job: str
    runner: Runner
    commit: str
    started: str
    outcome: Outcome
    wall: float
    fallback: str = ""
    shadow: JobVerdict | None = None
    reason: str = Reason.FLAG_ON.value
    is_partial: bool = False
    build: str = ""
    shard: str = ""
    failed_tests: tuple[str, ...] = ()
    path: str = ""
    place: int = field(default=-1, compare=False, repr=False)

    @property
    def is_pass(self) -> bool:
        """Whether the run passed."""
        return self.outcome is Outcome.PASSED


def by_time(run: Summary) -> tuple[str, str]:
    """Return the key that sorts runs by when they started, in an order that is always the same."""
    return (run.started, run.id)


def read_summaries(paths: Iterable[Path]) -> Iterator[Summary]:
    """Yield the summary of each run in some files, each of which may contain several runs.

    Runs that cannot be read (another format, an invalid line or value, a file that is not a regular
    file) are counted in one warning.
    """
    unreadable: list[str] = []
    for row in _read_rows(list(paths)):
        if isinstance(row, str):
            unreadable.append(row)
        else:
            yield Summary(*row)
    if unreadable:
        number = count(len(unreadable), "record")
        logger.warning("skipped %s that cannot be read, such as %s", number, unreadable[0])


def _read_rows(paths: Sequence[Path]) -> Iterator[_Row | str]:
    """Give the rows of some files; a text instead of a row that cannot be read."""
    groups, total = _groups(paths)
    if total >= _LARGE and len(groups) > 1:
        from ci_sessions.records import processes  # noqa: PLC0415 - slow to import

        number = min(processes.usable_processes(), len(groups))
        if number > 1:
            return processes.read_in_processes(groups, _rows_of_all, number)
    return _rows_of_all(paths)


def _groups(paths: Iterable[Path]) -> tuple[list[list[Path]], int]:
    """Return groups of files that are worth sending to a process, and the bytes in all of them.

    There may be a file for each run.
    """
    groups: list[list[Path]] = []
    total, room = 0, 0
    for path in paths:
        if room <= 0:
            groups.append([])
            room = _GROUP
        groups[-1].append(path)
        size = 0
        with suppress(OSError):
            size = path.stat().st_size
        total += size
        room -= size + _OPENING
    return groups, total


def _rows_of_all(paths: Iterable[Path]) -> Iterator[_Row | str]:
    return itertools.chain.from_iterable(map(_rows, paths))


def _rows(path: Path) -> Iterator[_Row | str]:
    """Give the rows of a file, and its name for each that cannot be read."""
    unreadable: list[str] = []
    name = str(path)
    for events in _runs(path, unreadable):
        row = _row(events, name)
        yield name if row is None else row
    yield from unreadable


def read_again(path: str, places: Iterable[int]) -> Iterator[Summary]:
    """Yield the summaries of the runs that start at these places of a file, if they still do.

    They come in the order in which ``read_summaries`` yields them. Runs that are close together are
    read in one pass, since a run's end may be far from its start.
    """
    wanted = list(places)
    if len(wanted) > 1 and max(wanted) - min(wanted) < _CLOSE * len(wanted):
        left = set(wanted)
        for run in _runs(Path(path), [], min(wanted)):
            if run.place in left and (row := _row(run, path)) is not None:
                yield Summary(*row)
            left.discard(run.place)
            if not left:
                return
        return
    for place in wanted:
        events = next(
            (one for one in _runs(Path(path), [], place, _SHORT_BLOCK) if one.place == place), None
        )
        row = None if events is None else _row(events, path)
        if row is not None:
            yield Summary(*row)


@dataclass(slots=True)
class _Events:
    """The first and the last event of a run, and the names of its tests with a failed step."""

    place: int
    start: dict[str, Any]
    end: dict[str, Any]
    failed: dict[str, None]


def _runs(
    path: Path, unreadable: list[str], begin: int = 0, size: int | None = None
) -> Iterator[_Events]:
    """Give the events of each run of a file."""
    open_runs: dict[str, _Events] = {}
    latest: _Events | None = None  # events of steps do not name their run
    for place, block in _blocks(path, unreadable, begin, size):
        for at, line in _notable_lines(block):
            if _NAMES[0] in line or _NAMES[1] in line:
                event = event_of(line)
                if event is None or event.get("format", FORMAT) != FORMAT:
                    unreadable.append(str(path))
                    continue
                if event.get("event") == "run started":
                    latest = _Events(place + at, event, {}, {})
                    open_runs[event["id"]] = latest
                elif event.get("event") == "run ended" and event["id"] in open_runs:
                    run = open_runs.pop(event["id"])
                    run.end = event
                    yield run
            # A step whose output has the name of such an event as a line is a step all the same.
            if latest is not None and _STEP in line and _PASSED not in line:
                test = _failed_test(line)
                if test:
                    latest.failed[test] = None
    yield from open_runs.values()


def _notable_lines(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the lines that may be about a run, or about a step that did not pass, with their places.

    A block has a hundred lines for each of these. So none is looked at on its own where as many
    steps passed as ended.
    """
    done = 0
    while done < len(block):
        word = block.find(_RUN, done)
        start = len(block) if word < 0 else block.rfind(b"\n", 0, word)
        if block.count(_STEP, done, start) > block.count(_PASSED, done, start):
            yield from (
                (match.start(), match[1]) for match in _NOTABLE.finditer(block, done, start)
            )
        done = start
        if word >= 0:
            done = block.find(b"\n", word)
            done = len(block) if done < 0 else done
            yield start, block[start + 1 : done]


def _failed_test(line: bytes) -> str:
    """Return the name of the test if its step failed, or an empty text."""
    event = event_of(line) or {}
    outcome, test = event.get("outcome"), event.get("test")
    is_failure = isinstance(outcome, str) and outcome in _FAILURES
    return test if is_failure and isinstance(test, str) and test not in NOT_TESTS else ""


def lines_of(path: Path, unreadable: list[str], begin: int = 0) -> Iterator[bytes]:
    """Give the lines of a regular file from a place on; of a very long one, its beginning only.

    A file that cannot be read has no lines; its path is appended to ``unreadable``.
    """
    for _, block in _blocks(path, unreadable, begin, _SHORT_BLOCK if begin else None):
        yield from block[1:].split(b"\n")


def _blocks(
    path: Path, unreadable: list[str], begin: int = 0, size: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Give the complete lines of a file in blocks, each with its place in the file.

    There is a line feed before each line. Of a line that is very long, only its beginning is given.
    """
    try:
        with open_regular(path) as file:
            file.seek(begin)
            yield from _complete_lines(file, begin, size or _BLOCK)
    except OSError as error:
        unreadable.append(f"{path} ({error.strerror})")


def _complete_lines(file: IO[bytes], place: int, size: int) -> Iterator[tuple[int, bytes]]:
    while data := file.read(size):
        rest = b"" if data.endswith(b"\n") else file.readline(_LONGEST_LINE)
        yield place, b"".join((b"\n", data, rest))
        place += len(data) + len(rest)
        while len(rest) == _LONGEST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST_LINE)
            place += len(rest)


def event_of(line: bytes) -> dict[str, Any] | None:
    """Return the event in a line, or None if the line is not one."""
    try:
        text = line[:_LONGEST_LINE].decode("utf-8", "surrogatepass").strip()
        event, end = _DECODE(text)
    except (ValueError, RecursionError):
        return None
    is_event = end == len(text) and isinstance(event, dict) and isinstance(event.get("id"), str)
    return event if is_event else None


def _row(events: _Events, path: str) -> _Row | None:
    """Return the values of a run's summary, or None if one is invalid."""
    try:
        return _parse_row(events, path)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _parse_row(events: _Events, path: str) -> _Row:
    start, end = events.start, events.end
    job, route = start.get("job", {}), end.get("route") or start.get("route", {})
    return (  # in the order of the fields of Summary
        start["id"],
        sys.intern(_text(job.get("config"))),  # one text for all runs
        _text(job.get("id")),
        _RUNNERS[start["runner"]] if "runner" in start else Runner.PYTHON,
        _text(route.get("commit")),
        _text(start.get("started")),
        _OUTCOMES[end["outcome"]] if "outcome" in end else Outcome.ABORTED,
        _seconds(end.get("wall")),
        _text(route.get("fallback")),
        JobVerdict(route["shadow"]) if route.get("shadow") else None,
        _text(route.get("reason")),
        bool(route.get("is_partial")),
        sys.intern(_text(job.get("build_environment"))),
        _shard(job),
        tuple(events.failed),
        path,
        events.place,
    )


def _shard(job: dict[str, Any]) -> str:
    """Return ``1/3``, or an empty text if the job is not split."""
    number, total = job.get("shard"), job.get("num_shards")
    is_split = isinstance(number, int) and isinstance(total, int) and total > 1
    return f"{number}/{total}" if is_split else ""


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    raise TypeError(f"a {type(value).__name__} is no text")


def _seconds(value: object) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"a {type(value).__name__} is no number")
    if not 0 <= value < _LONGEST_RUN:
        raise ValueError(f"{value!r} is no run's time")
    return float(value)
