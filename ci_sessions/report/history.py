"""Past runs: one line each, and JSON."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions import clock
from ci_sessions.records.record import Outcome
from ci_sessions.text import clock_duration, for_log, rough_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ci_sessions.records.query import Summary

__all__ = ["RUNNING", "describe_history", "history_to_json"]

RUNNING = "running"
_WIDTH = 100
_COLUMNS = ("", "ago", "configuration", "build", "shard", "runner", "result", "time", "record")
_RIGHT = {"ago", "time"}
_SHRINK = (
    *(("build", 14), ("configuration", 14), ("record", 19)),
    *(("result", 14), ("build", 5), ("configuration", 5)),
)
"""Columns that are shortened until a line fits, in order, each to a number of characters."""
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?=-)")  # how a file name in runs/ begins
Row = tuple[str, ...]


def describe_history(
    runs: Sequence[Summary], active: set[str], now: datetime, width: int = _WIDTH
) -> str:
    """Return a table, newest first as given, with a line for each day.

    ``active`` has the paths of the records of runs that have not ended. Times are local.
    """
    width = max(width, _WIDTH)
    rows = [_row(run, now, is_active=run.path in active) for run in runs]
    widths = _widths(rows, width)
    lines, day = [_line(_COLUMNS, widths)], ""
    for run, row in zip(runs, rows, strict=True):
        if _day(run) != day:
            day = _day(run)
            lines += ["", day]
        lines.append(_line(row, widths))
    return "\n".join([*lines, "", _where(runs)])


def _day(run: Summary) -> str:
    time = clock.local_time(run.started)
    return f"{time:%a %d %b %Y}" if time else "at an unknown time"


def _row(run: Summary, now: datetime, *, is_active: bool) -> Row:
    time = clock.local_time(run.started)
    seconds = (now - time).total_seconds() if time else 0.0
    cells = (
        f"  {time:%H:%M}" if time else "",
        rough_duration(seconds) if time and seconds >= 0 else "",
        run.config,
        run.build,
        run.shard,
        str(run.runner),
        RUNNING if is_active else _result(run),
        clock_duration(run.wall) if run.wall else "",
        _record_name(run),
    )
    return (cells[0], *(" ".join(for_log(cell).split()) for cell in cells[1:]))


def _result(run: Summary) -> str:
    """Return how a run ended, with the number of failed tests: ``passed``, ``2 failed``."""
    number = len(run.failed_tests)
    if not number:
        return str(run.outcome)
    failed = f"{number} failed"
    return failed if run.outcome is Outcome.FAILED else f"{run.outcome}, {failed}"


def _record_name(run: Summary) -> str:
    """Return the beginning of the record's file name that identifies it, or else its name."""
    name = Path(run.path).name
    stamp = _STAMP.match(name)
    return stamp[0] if stamp else name


def _widths(rows: Sequence[Row], total: int) -> list[int]:
    """Return the width of each column; 0 for one without values."""
    widths = []
    for index, name in enumerate(_COLUMNS):
        longest = max((len(row[index]) for row in rows), default=0)
        widths.append(max(longest, len(name)) if longest else 0)
    for name, least in _SHRINK:
        excess = sum(widths) + 2 * (sum(map(bool, widths)) - 1) - total
        index = _COLUMNS.index(name)
        widths[index] -= max(0, min(excess, widths[index] - least))
    return widths


def _line(cells: Row, widths: Sequence[int]) -> str:
    return "  ".join(_fitted(cells, widths)).rstrip()


def _fitted(cells: Row, widths: Sequence[int]) -> Iterator[str]:
    for name, cell, width in zip(_COLUMNS, cells, widths, strict=True):
        if width:
            short = _shortened(cell, width, is_end_kept=name == "build")
            yield short.rjust(width) if name in _RIGHT else short.ljust(width)


def _shortened(text: str, width: int, *, is_end_kept: bool) -> str:
    """Shorten a text: builds differ most at their end, other texts at their beginning."""
    if len(text) <= width:
        return text
    return f"…{text[1 - width :]}" if is_end_kept else f"{text[: width - 1]}…"


def _where(runs: Sequence[Summary]) -> str:
    """Return how to find the file of a record."""
    folders = {os.path.dirname(run.path) for run in runs}  # noqa: PTH120 - it is a string
    if len(folders) > 1:
        return "records: --json prints their paths"
    return for_log(f"records: {folders.pop()}/RECORD*.jsonl")


def history_to_json(runs: Sequence[Summary], active: set[str]) -> list[dict[str, Any]]:
    """Return the same runs as JSON values. ``wall`` is in seconds; ``started`` is UTC."""
    return [
        {**asdict(run), "outcome": RUNNING if run.path in active else str(run.outcome)}
        for run in runs
    ]
