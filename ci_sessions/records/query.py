"""What records say of runs as wholes: the first and the last event of each, quickly."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci_sessions.log import logger
from ci_sessions.records.record import FORMAT, Outcome
from ci_sessions.records.route import Reason, Runner
from ci_sessions.records.verdict import JobVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Summary", "read_summaries"]


@dataclass(frozen=True, slots=True)
class Summary:
    """A run, as far as the roll-out is concerned. ``wall`` is in seconds."""

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
        """Whether the run's result was green."""
        return self.outcome is Outcome.PASSED


def read_summaries(paths: Iterable[Path]) -> Iterator[Summary]:
    """Read the first and last event of each run, from files of one run or of many.

    What cannot be read (another format, a broken line) is counted and named in one warning.
    """
    unread: list[str] = []
    for path in paths:
        starts: dict[str, dict[str, Any]] = {}
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            unread.append(f"{path} ({error})")
            continue
        for line in text.splitlines():
            if not line.startswith(('{"event": "run started"', '{"event": "run ended"')):
                continue
            event = _event(line)
            if event is None or event.get("format", FORMAT) != FORMAT:
                unread.append(str(path))
            elif event["event"] == "run started":
                starts[event["id"]] = event
            elif event["id"] in starts:
                found = _summary(starts.pop(event["id"]), event)
                if found is None:
                    unread.append(str(path))
                else:
                    yield found
        ended = {"outcome": Outcome.ABORTED.value, "wall": 0.0}
        yield from (found for start in starts.values() if (found := _summary(start, ended)))
    if unread:
        logger.warning("left out %d records, such as %s", len(unread), unread[0])


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "id" in event else None


def _summary(start: dict[str, Any], end: dict[str, Any]) -> Summary | None:
    """Return the summary of two events, or None where a value cannot be."""
    try:
        return _summarised(start, end)
    except (AttributeError, TypeError, ValueError):
        return None


def _summarised(start: dict[str, Any], end: dict[str, Any]) -> Summary:
    job, route = start.get("job", {}), start.get("route", {})
    return Summary(
        id=start["id"],
        config=str(job.get("config", "")),
        job=str(job.get("id", "")),
        runner=Runner(start.get("runner", Runner.PYTHON.value)),
        commit=route.get("commit") or "",
        started=start.get("started", ""),
        outcome=Outcome(end.get("outcome", Outcome.ABORTED.value)),
        wall=float(end.get("wall") or 0.0),
        fallback=route.get("fallback", ""),
        shadow=JobVerdict(route["shadow"]) if route.get("shadow") else None,
        reason=route.get("reason", ""),
        is_partial=bool(route.get("is_partial")),
    )
