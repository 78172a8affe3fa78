"""Reads a child's pipe without blocking, and passes the output on as text."""

from __future__ import annotations

import codecs
import os
import selectors
from typing import IO, TYPE_CHECKING

from ci_sessions import clock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PipeReader"]

_MAX_DELAY = 0.3  # seconds before an incomplete line is passed on
_CHUNK = 65536
_MAX_PENDING = 65536  # characters of an incomplete line


class PipeReader:
    """Passes on complete lines from a pipe, and incomplete ones after a short delay.

    Bytes that are not valid UTF-8 become surrogate escapes, so the original can be restored.
    """

    def __init__(self, file: IO[bytes], emit: Callable[[str], None]) -> None:
        self._file = file
        os.set_blocking(self._file.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._file, selectors.EVENT_READ)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._emit = emit
        self._pending = ""
        self._pending_since = clock.monotonic()
        self._is_open = True

    def read(self, wait: float) -> bool:
        """Read what arrives within ``wait`` seconds; return whether the pipe is still open."""
        if not self._is_open:
            clock.sleep(wait / 10)
            return False
        if self._selector.select(wait):
            data = os.read(self._file.fileno(), _CHUNK)
            self._is_open = bool(data)
            self._feed(self._decoder.decode(data, final=not data))
        is_late = clock.monotonic() - self._pending_since > _MAX_DELAY
        if self._pending and (is_late or len(self._pending) > _MAX_PENDING):
            self._emit_text(self._pending)
            self._pending = ""
        return self._is_open

    def wait(self, seconds: float) -> bool:
        """Sleep instead of reading; return whether the pipe is still open."""
        clock.sleep(seconds / 10)
        return self._is_open

    def _feed(self, text: str) -> None:
        whole, newline, rest = (self._pending + text).rpartition("\n")
        if newline or not self._pending:
            self._pending_since = clock.monotonic()  # an incomplete line starts here
        self._pending = rest
        if newline:
            self._emit_text(whole + newline)

    def _emit_text(self, text: str) -> None:
        if text:
            self._emit(text)

    def finish(self) -> None:
        """Pass on the remaining output."""
        self._feed(self._decoder.decode(b"", final=True))
        self._emit_text(self._pending)
        self._pending = ""
        self._selector.close()
