"""Standard output that cannot stop a run, and in which nothing foreign is a command.

A thread does the writing, so that a reader who has stopped reading stops neither time limits nor
signals. A reader who has gone, or a disk that is full, ends the output and nothing else. Under
GitHub Actions whatever is written is disarmed; only ``raw`` is not.
"""

from __future__ import annotations

import io
import os
import queue
import select
import threading
from typing import TYPE_CHECKING

from ci_sessions.text import disarm

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Stdout"]

_MOST_WAITING = 1 << 20  # characters that may wait for a slow reader before the run waits too


class Stdout(io.TextIOBase):
    """Wraps a stream; a stream without a file descriptor, as in tests, is written to at once."""

    def __init__(self, stream: TextIO, *, on_github: bool = False) -> None:
        super().__init__()
        self._stream = stream
        self._on_github = on_github
        self._handle = _descriptor(stream)
        self._is_gone = False
        self._waiting = 0
        self._changed = threading.Condition()
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def isatty(self) -> bool:
        """Tell whether a person may be watching."""
        try:
            return self._stream.isatty()
        except ValueError:  # closed
            return False

    def write(self, text: str) -> int:
        """Write text of this package, foreign parts included."""
        encoding = self._stream.encoding or "utf-8"
        self._put(disarm(text) if self._on_github else text, encoding, "backslashreplace")
        return len(text)

    def raw(self, text: str) -> None:
        """Write commands of this package's own, or a child's bytes (decoded with escapes)."""
        self._put(text, "utf-8", "surrogateescape")

    @property
    def is_ready(self) -> bool:
        """Whether the reader keeps up."""
        return self._waiting < _MOST_WAITING

    def drain(self, limit: float | None = None) -> bool:
        """Wait until all is written, at most ``limit`` seconds; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, limit)

    def _put(self, text: str, encoding: str, errors: str) -> None:
        if self._is_gone or not text:
            return
        if self._handle is None:
            self._write_at_once(text)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._pump, name="stdout", daemon=True)
            self._thread.start()
        data = text.encode(encoding, errors)
        with self._changed:
            self._waiting += len(data)
        self._queue.put(data)

    def _write_at_once(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._is_gone = True

    def _pump(self) -> None:
        while True:
            data = self._queue.get()
            self._write_all(data)
            with self._changed:
                self._waiting -= len(data)
                self._changed.notify_all()

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self._is_gone and self._handle is not None:
            try:
                view = view[os.write(self._handle, view) :]
            except BlockingIOError:  # somebody made it non-blocking: wait as if it were not
                select.select([], [self._handle], [], 1.0)
            except OSError:
                self._is_gone = True


def _descriptor(stream: TextIO) -> int | None:
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
