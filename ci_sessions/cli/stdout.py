"""Standard output that cannot block or fail a run, and that contains no forged commands.

A thread writes, so that time limits and signals still work if the reader does not read. If the
reader closes the pipe, or the disk is full, only the output ends. On GitHub Actions everything that
is written is disarmed, except with ``raw``.
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

_MAX_WAITING = 1 << 20  # bytes that may wait for a slow reader before the run waits too


class Stdout(io.TextIOBase):
    """Wraps a stream. Without a file descriptor, as in tests, it writes without a thread."""

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
        """Return whether the output goes to a terminal."""
        try:
            return self._stream.isatty()
        except ValueError:  # closed
            return False

    def write(self, text: str) -> int:
        """Write text that may include untrusted parts."""
        encoding = self._stream.encoding or "utf-8"
        self._put(disarm(text) if self._on_github else text, encoding, "backslashreplace")
        return len(text)

    def raw(self, text: str) -> None:
        """Write own commands, or a child's output, which is decoded with surrogate escapes."""
        self._put(text, "utf-8", "surrogateescape")

    @property
    def is_ready(self) -> bool:
        """Return whether more output can be written without waiting for the reader."""
        return self._waiting < _MAX_WAITING

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until everything is written, at most ``timeout`` seconds; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout)

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
            except BlockingIOError:  # another process made it non-blocking
                select.select([], [self._handle], [], 1.0)
            except OSError:
                self._is_gone = True


def _descriptor(stream: TextIO) -> int | None:
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
