"""The output of a step, kept in a file below the records.

The text is redacted before it comes here. A file has at most ``LARGEST`` bytes of output: the
beginning, and if there is more, also the end. Nothing here can fail a run.
"""

from __future__ import annotations

import os
import re
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from ci_sessions.log import logger
from ci_sessions.text import count

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LARGEST", "StepLog", "log_folder"]

LARGEST = 64 << 20
"""Bytes of a step's output that its log keeps."""
_END = 1 << 20  # bytes kept of the end of a longer output
_LONGEST_NAME = 120  # characters of a step's id in a file's name


def log_folder(record: Path) -> Path:
    """Return the folder for the logs of the run with this record."""
    return record.parent.parent / "logs" / record.stem


class StepLog:
    """The log of one step. ``path`` is None if it could not be created, or without a folder."""

    def __init__(self, folder: Path | None, step_id: str, *, largest: int = LARGEST) -> None:
        self.path: Path | None = None
        self._file: BinaryIO | None = None
        self._room = largest
        self._end: deque[bytes] = deque()
        self._end_size = 0
        self._left_out = 0
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path, self._file = _create(folder, step_id)
        except OSError as error:
            logger.warning("this step has no log: cannot create one in %s: %s", folder, error)

    def write(self, text: str) -> None:
        """Append output. After a failure, nothing more is written."""
        if self._file is None:
            return
        data = text.encode(errors="surrogateescape")
        head, rest = data[: self._room], data[self._room :]
        self._room -= len(head)
        if rest:
            self._keep_end(rest)
        self._append(head)

    def close(self) -> None:
        """Write the end of an output that was too long, and close the file."""
        if self._left_out:
            left_out = count(self._left_out, "byte")
            self._append(f"\n… {left_out} of output are left out here …\n".encode())
        self._append(b"".join(self._end))
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, data: bytes) -> None:
        if self._file is None or not data:
            return
        try:
            self._file.write(data)
        except OSError as error:
            logger.warning("the log %s is incomplete: %s", self.path, error)
            self._file = None

    def _keep_end(self, data: bytes) -> None:
        """Keep the last bytes of an output that is too long."""
        self._left_out += max(0, len(data) - _END)
        self._end.append(data[-_END:])
        self._end_size += len(self._end[-1])
        while self._end_size > _END:
            first = self._end.popleft()
            kept = first[self._end_size - _END :]
            self._left_out += len(first) - len(kept)
            self._end_size -= len(first) - len(kept)
            if kept:
                self._end.appendleft(kept)


def _create(folder: Path, step_id: str) -> tuple[Path, BinaryIO]:
    """Create a new file that is named after the step, without following links."""
    name = re.sub(r"[^A-Za-z0-9_.+-]", "-", step_id)[:_LONGEST_NAME].lstrip(".") or "step"
    number = 1
    while True:
        path = folder / f"{name}{f'-{number}' if number > 1 else ''}.log"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            return path, os.fdopen(os.open(path, flags, 0o644), "wb", buffering=0)
        except FileExistsError:
            number += 1
