"""Reads a child's pipe without blocking, and passes the output on as text."""

from __future__ import annotations

import codecs
import fcntl
import os
import selectors
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from ci_sessions import clock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PipeReader"]

_MAX_DELAY = 0.3  # seconds before an incomplete line is passed on
_CHUNK = 1 << 18  # bytes
_SIZE = 1 << 20  # bytes of a pipe, so that few switches between processes are needed
_MAX_DRAINED = 64  # chunks; more than any pipe holds
_MAX_PENDING = 65536  # bytes of an incomplete line


class PipeReader:
    """Passes on complete lines from a pipe, and incomplete ones after a short delay.

    Bytes that are not valid UTF-8 become surrogate escapes, so the original can be restored.
    """

    def __init__(self, file: IO[bytes], emit: Callable[[str], None]) -> None:
        self._file = file
        os.set_blocking(self._file.fileno(), False)
        _enlarge(self._file.fileno())
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._file, selectors.EVENT_READ)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._emit = emit
        self._pending = bytearray()  # of an incomplete line
        self._pending_since = clock.monotonic()
        self._is_open = True

    def read(self, wait: float) -> bool:
        """Read what arrives within ``wait`` seconds; return whether the pipe is still open."""
        if not self._is_open:
            clock.sleep(wait / 50)
            return False
        data = self._read_now()
        if data is None and self._selector.select(wait):
            data = self._read_now()
        if data is not None:
            self._is_open = bool(data)
            self._feed(data)
        is_late = clock.monotonic() - self._pending_since > _MAX_DELAY
        if self._pending and (is_late or len(self._pending) > _MAX_PENDING):
            self._emit_pending()
        return self._is_open

    def _read_now(self) -> bytes | None:
        """Read what is there, or return None. While output flows, nothing needs to be awaited."""
        try:
            return os.read(self._file.fileno(), _CHUNK)
        except BlockingIOError:
            return None

    def drain(self) -> None:
        """Pass on what is in the pipe now; not what another process goes on to write."""
        for _ in range(_MAX_DRAINED):
            data = self._read_now()
            if not data:
                break
            self._feed(data)

    def wait(self, seconds: float) -> bool:
        """Sleep instead of reading, for a part of ``seconds``; return whether the pipe is open.

        The reader of this process's output may only be a moment behind.
        """
        clock.sleep(seconds / 50)
        return self._is_open

    def _feed(self, data: bytes) -> None:
        """Pass on complete lines. They are cut as bytes, so that each is decoded only once."""
        cut = data.rfind(b"\n") + 1
        if cut or not self._pending:
            self._pending_since = clock.monotonic()  # an incomplete line starts here
        if cut:
            whole = (
                b"".join((self._pending, memoryview(data)[:cut])) if self._pending else data[:cut]
            )
            self._pending.clear()
            self._emit_text(self._decoder.decode(whole))
        self._pending += data[cut:]

    def _emit_pending(self, *, is_last: bool = False) -> None:
        """Pass on an incomplete line; the bytes of an incomplete character stay in the decoder."""
        text = self._decoder.decode(bytes(self._pending), final=is_last)
        self._pending.clear()
        self._emit_text(text)

    def _emit_text(self, text: str) -> None:
        if text:
            self._emit(text)

    def finish(self) -> None:
        """Pass on the remaining output."""
        self._emit_pending(is_last=True)
        self._selector.close()


def _enlarge(handle: int) -> None:
    """Make a pipe larger, where the system can do that and this user may."""
    command = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux only
    if command is not None:
        with suppress(OSError):
            fcntl.fcntl(handle, command, _SIZE)
