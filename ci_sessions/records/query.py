"""Summaries of runs, read quickly: only the first and the last event of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci_sessions.checkout.files import open_regular
from ci_sessions.log import logger
from ci_sessions.records.record import FORMAT, Outcome
from ci_sessions.records.route import Reason, Runner
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Summary", "read_summaries"]

_NAMES = (b'"run started"', b'"run ended"')
_LONGEST_LINE = 1 << 20  # bytes
_LONGEST_RUN = 1e7  # seconds: no run takes four months


@dataclass(frozen=True, slots=True)
class Summary:
    """What the rollout needs to know about a run. ``wall`` is in seconds."""

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

    @property
    def is_pass(self) -> bool:
        """Whether the run passed."""
        return self.outcome is Outcome.PASSED


def read_summaries(paths: Iterable[Path]) -> Iterator[Summary]:
    """Yield the summary of each run in some files, each of which may contain several runs.

    Runs that cannot be read (another format, an invalid line or value, a file that is not a regular
    file) are counted in one warning.
    """
    unreadable: list[str] = []
    for path in paths:
        for start, end in _pairs(path, unreadable):
            found = _summary(start, end)
            if found is None:
                unreadable.append(str(path))
            else:
                yield found
    if unreadable:
        number = count(len(unreadable), "record")
        logger.warning("skipped %s that cannot be read, such as %s", number, unreadable[0])


def _pairs(path: Path, unreadable: list[str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Give the first and the last event of each run of a file."""
    starts: dict[str, dict[str, Any]] = {}
    for line in _lines(path, unreadable):
        if not any(name in line for name in _NAMES):
            continue
        event = _event(line)
        if event is None or event.get("format", FORMAT) != FORMAT:
            unreadable.append(str(path))
        elif event.get("event") == "run started":
            starts[event["id"]] = event
        elif event.get("event") == "run ended" and event["id"] in starts:
            yield starts.pop(event["id"]), event
    for start in starts.values():
        yield start, {}


def _lines(path: Path, unreadable: list[str]) -> Iterator[bytes]:
    """Give the lines of a regular file; of one that is very long, its beginning only."""
    try:
        file = open_regular(path)
    except OSError as error:
        unreadable.append(f"{path} ({error.strerror})")
        return
    with file:
        try:
            is_beginning = True
            while line := file.readline(_LONGEST_LINE):
                if is_beginning:
                    yield line
                is_beginning = line.endswith(b"\n")
        except OSError as error:
            unreadable.append(f"{path} ({error.strerror})")


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_event = isinstance(event, dict) and isinstance(event.get("id"), str)
    return event if is_event else None


def _summary(start: dict[str, Any], end: dict[str, Any]) -> Summary | None:
    """Return the summary of a run from its two events, or None if a value is invalid."""
    try:
        return _parse_summary(start, end)
    except (AttributeError, TypeError, ValueError):
        return None


def _parse_summary(start: dict[str, Any], end: dict[str, Any]) -> Summary:
    job, route = start.get("job", {}), end.get("route") or start.get("route", {})
    return Summary(
        id=start["id"],
        config=_text(job.get("config")),
        job=_text(job.get("id")),
        runner=Runner(start.get("runner", Runner.PYTHON.value)),
        commit=_text(route.get("commit")),
        started=_text(start.get("started")),
        outcome=Outcome(end.get("outcome", Outcome.ABORTED.value)),
        wall=_seconds(end.get("wall")),
        fallback=_text(route.get("fallback")),
        shadow=JobVerdict(route["shadow"]) if route.get("shadow") else None,
        reason=_text(route.get("reason")),
        is_partial=bool(route.get("is_partial")),
    )


def _text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise TypeError(f"a {type(value).__name__} is no text")


def _seconds(value: object) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"a {type(value).__name__} is no number")
    if not 0 <= value < _LONGEST_RUN:
        raise ValueError(f"{value!r} is no run's time")
    return float(value)
