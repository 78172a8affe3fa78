"""Storage of records: one JSON Lines file per run in the folder ``runs``, written during the run.

Each event is written as one line in one ``write``. A reader sees only complete lines, except for
the last one if the writer was killed; that one is ignored. The folder contains a .gitignore,
because tests assert that the checkout is clean.

Tests can access these files. So files are never opened through a symbolic link, only regular files
are read or written, and at the end of a run its file is compared with what was recorded, and
rewritten if it differs. Nothing in this module can fail a run: problems are warnings.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from ci_sessions.checkout.files import append_regular, open_regular
from ci_sessions.errors import RecordError
from ci_sessions.log import logger
from ci_sessions.records.folder import create_folder, ignore_in_git
from ci_sessions.records.logs import StepLog, log_folder
from ci_sessions.records.record import STRUCTURE, Event, Outcome, RunRecord, run_from_events
from ci_sessions.text import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import BaseFileLock

__all__ = [
    "Journal",
    "create_journal",
    "is_active",
    "prune",
    "read_run",
    "read_runs",
    "usual_times",
]

_LONGEST_NAME = 80  # characters of a configuration in a file's name
_NEWEST = 10  # files that are read to estimate times
_LARGEST = 64 << 20  # bytes of a run's file that are read


@dataclass(slots=True)
class Journal:
    """The file of one run, and the lock that marks the run as active."""

    path: Path
    redact: Redactor = field(default_factory=lambda: Redactor({}))
    is_working: bool = True
    _lines: list[bytes] = field(default_factory=list)
    _lock: BaseFileLock | None = None

    def append(self, event: Event) -> None:
        """Append an event to the file. A failure is a warning."""
        try:
            line = json.dumps(self.redact.fields(event, STRUCTURE), default=str).encode() + b"\n"
            self._lines.append(line)
            if self.is_working:
                ignore_in_git(self.path.parent.parent)
                append_regular(self.path, line, follow_links=False)
        except Exception as error:  # noqa: BLE001 - no record is worth a run
            self._fail(error)

    def open_log(self, step_id: str) -> StepLog:
        """Create the log of a step, and the folder if a test removed it."""
        try:
            create_folder(self.path.parent.parent)
        except OSError as error:
            self._fail(error)
            return StepLog(None, step_id)
        return StepLog(log_folder(self.path), step_id)

    def close(self) -> None:
        """Rewrite the file if it is not what was recorded, and release the lock."""
        data = b"".join(self._lines)
        try:
            if data and _read_regular(self.path) != data:
                if self.path.is_dir() and not self.path.is_symlink():
                    self.path = self.path.with_name(f"{self.path.stem}-restored.jsonl")
                create_folder(self.path.parent.parent)
                _replace(self.path, data)
                logger.warning("the record of this run was changed: rewrote %s", self.path)
        except OSError as error:
            self._fail(error)
        if self._lock is not None:
            with suppress(Exception):
                self._lock.release()
                os.unlink(self._lock.lock_file)  # noqa: PTH108 - it is a string

    def is_alone(self) -> bool:
        """Return whether no other run with records in this folder is active."""
        own = _lock_path(self.path)
        return not any(_is_locked(path) for path in _locks(self.path.parent.parent) if path != own)

    def _fail(self, error: Exception) -> None:
        if self.is_working:
            self.is_working = False
            logger.warning(
                "the record of this run is incomplete: cannot write %s: %s", self.path, error
            )


def _read_regular(path: Path) -> bytes | None:
    """Return the bytes of a regular file, or None if it is missing, special or very large."""
    try:
        with open_regular(path, follow_links=False) as file:
            data = file.read(_LARGEST + 1)
    except OSError:
        return None
    return data if len(data) <= _LARGEST else None


def _replace(path: Path, data: bytes) -> None:
    """Replace whatever is at this path with a file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        partial.unlink()
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        partial.replace(path)
    except OSError:  # the disk may be full
        partial.unlink(missing_ok=True)
        raise


def create_journal(
    folder: Path, started: str, config: str, redact: Redactor | None = None
) -> Journal:
    """Create the file of a new run, named after its time and configuration."""
    runs = folder / "runs"
    journal = Journal(runs / _file_name(started, config), redact or Redactor({}))
    try:
        create_folder(folder)
        runs.mkdir(exist_ok=True)
        number = 1
        while not _create(journal.path):  # two runs may start in the same second
            number += 1
            journal.path = runs / _file_name(started, config, number)
    except OSError as error:
        journal.is_working = False
        logger.warning("this run has no record: cannot create %s: %s", folder, error)
        return journal
    with suppress(Exception):  # a file system without locks has no active runs to show
        _lock_path(journal.path).parent.mkdir(exist_ok=True)
        lock = FileLock(_lock_path(journal.path), blocking=False)
        lock.acquire()
        journal._lock = lock  # noqa: SLF001 - this makes it
    return journal


def _create(path: Path) -> bool:
    """Create an empty file; return False if it exists."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o644)
    except FileExistsError:
        return False
    os.close(handle)
    return True


def _file_name(started: str, config: str, number: int = 1) -> str:
    time = re.sub(r"[:.]", "-", started[:19])
    name = _name_in_file(config)
    return f"{time}-{name}{f'-{number}' if number > 1 else ''}.jsonl"


def _name_in_file(config: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", config)[:_LONGEST_NAME]


# --- active runs


def _lock_path(path: Path) -> Path:
    return path.parent.parent / "active" / f"{path.stem}.lock"


def is_active(path: Path) -> bool:
    """Return whether the run with this record is still running."""
    return _is_locked(_lock_path(path))


def _locks(folder: Path) -> list[Path]:
    return sorted((folder / "active").glob("*.lock"))


def _is_locked(path: Path) -> bool:
    """Return whether a run holds this lock. A stale lock file is removed."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with FileLock(path, blocking=False):
            path.unlink()
    except Timeout:
        return True
    except Exception:  # noqa: BLE001 - a file system without locks
        return False
    return False


def prune(folder: Path, days: float, now: float) -> list[Path]:
    """Remove files last written more than ``days`` before ``now`` (seconds since the epoch).

    The logs of these runs are removed too. The files of active runs are kept.
    """
    oldest = now - days * 86400
    removed = []
    files: list[Path] = []
    with suppress(OSError):
        files = sorted((folder / "runs").glob("*.jsonl"))
    for path in files:
        with suppress(OSError):
            if path.lstat().st_mtime < oldest and not is_active(path):
                path.unlink()
                removed.append(path)
                shutil.rmtree(log_folder(path), ignore_errors=True)
    return removed


# --- reading


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a file. Raises RecordError on an invalid line that is not the last."""
    data = _read_regular(path)
    if data is None:
        raise RecordError(f"{path} is not a regular file of at most {_LARGEST >> 20} MB.")
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                return
            raise RecordError(f"{path}: line {number} is not JSON: {error}.") from error
        if isinstance(event, dict):
            yield event


def read_run(path: Path) -> RunRecord:
    """Read the record of one run. Raises RecordError if the file does not contain one."""
    return run_from_events(read_events(path))


def read_runs(folder: Path) -> list[RunRecord]:
    """Read all runs in a folder, oldest first; warn about those that cannot be read."""
    runs = (_try_read(path) for path in sorted((folder / "runs").glob("*.jsonl")))
    return sorted((run for run in runs if run is not None), key=lambda run: run.started)


def usual_times(folder: Path, config: str, job_id: str) -> dict[str, float]:
    """Return how long each step took when it last passed in the newest runs of a job (seconds)."""
    name = _name_in_file(config)
    found: dict[str, float] = {}
    for path in sorted((folder / "runs").glob(f"*-{name}*.jsonl"))[-_NEWEST:]:
        run = _try_read(path)
        if run is not None and f"/{job_id}/" in run.id:
            found |= {s.id: s.wall for s in run.steps if s.outcome is Outcome.PASSED}
    return found


def _try_read(path: Path) -> RunRecord | None:
    try:
        return read_run(path)
    except RecordError as error:
        logger.warning("skipped %s: %s", path, error)
        return None
