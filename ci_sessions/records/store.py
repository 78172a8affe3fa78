"""Where records lie: one JSON Lines file a run below ``.ci-sessions/runs``, appended under a lock.

An event is one ``write`` of one line, so a reader sees whole lines only, or a torn last one when
the writer was killed, which is left out. The folder ignores itself for git: tests assert that the
checkout is clean.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from ci_sessions.errors import RecordError
from ci_sessions.log import logger
from ci_sessions.records.record import Event, RunRecord, run_from_events
from ci_sessions.text import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FOLDER", "Journal", "open_journal", "prune", "read_run", "read_runs"]

FOLDER = ".ci-sessions"
_LOCK_WAIT = 30.0  # seconds; a line takes microseconds to write


@dataclass(slots=True)
class Journal:
    """One run's file. A full disk or a lost folder is a warning: the job's result stands."""

    path: Path
    redact: Redactor = field(default_factory=lambda: Redactor({}))
    is_working: bool = True

    def append(self, event: Event) -> None:
        """Add an event to the file."""
        if not self.is_working:
            return
        line = json.dumps(self.redact.values(event), ensure_ascii=False, default=str) + "\n"
        try:
            with FileLock(self.path.parent.parent / "lock", timeout=_LOCK_WAIT):
                _append(self.path, line.encode())
        except (OSError, TimeoutError) as error:
            self.is_working = False
            logger.warning("the run's record is incomplete: %s: %s", self.path, error)


def _append(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def open_journal(
    folder: Path, started: str, config: str, redact: Redactor | None = None
) -> Journal:
    """Make the file of a new run, named by time and configuration, never one that exists."""
    runs = folder / "runs"
    journal = Journal(runs / _file_name(started, config), redact or Redactor({}))
    try:
        runs.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        journal.is_working = False
        logger.warning("the run leaves no record: %s: %s", folder, error)
        return journal
    number = 1
    while journal.is_working and not _create(journal):
        number += 1
        journal.path = runs / _file_name(started, f"{config}-{number}")
    return journal


def _create(journal: Journal) -> bool:
    """Create the file of a journal, for it alone: another run may begin in the same second."""
    try:
        os.close(os.open(journal.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        return False
    except OSError as error:
        journal.is_working = False
        logger.warning("the run leaves no record: %s: %s", journal.path, error)
    return True


def prune(folder: Path, days: float, now: float) -> list[Path]:
    """Remove the run files that were last written more than ``days`` before ``now`` (epoch)."""
    oldest = now - days * 86400
    removed = []
    for path in sorted((folder / "runs").glob("*.jsonl")):
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
                removed.append(path)
    return removed


def _file_name(started: str, config: str) -> str:
    time = re.sub(r"[:.]", "-", started[:19])
    return f"{time}-{re.sub(r'[^A-Za-z0-9_-]', '-', config)}.jsonl"


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Read a file's events; a torn last line is left out, any other broken one is an error."""
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
        except ValueError as error:
            if number == len(lines) and not line.endswith(b"\n"):
                return
            raise RecordError(f"{path}, line {number} is not JSON: {error}.") from error
        if isinstance(event, dict):
            yield event


def read_run(path: Path) -> RunRecord:
    """Read one run."""
    return run_from_events(read_events(path))


def read_runs(folder: Path) -> list[RunRecord]:
    """Read all runs of a folder, oldest first; what cannot be read is named in a warning."""
    runs = (_try_read(path) for path in sorted((folder / "runs").glob("*.jsonl")))
    return sorted((run for run in runs if run is not None), key=lambda run: run.started)


def _try_read(path: Path) -> RunRecord | None:
    try:
        return read_run(path)
    except (RecordError, OSError, KeyError, TypeError) as error:
        logger.warning("left out %s: %s", path, error)
        return None
