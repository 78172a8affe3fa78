"""A child's pipe, read in pieces and passed on as text."""

from __future__ import annotations

import codecs
import os
import selectors
from typing import IO, TYPE_CHECKING

from ci_sessions import clock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PipeReader"]

_QUIET = 0.3  # seconds that a half line waits for its end
_CHUNK = 65536


class PipeReader:
    """Reads a child's pipe in pieces and passes on whole lines, or half ones after a while."""

    def __init__(self, file: IO[bytes], emit: Callable[[str], None]) -> None:
        self._file = file
        os.set_blocking(self._file.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._file, selectors.EVENT_READ)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._emit = emit
        self._held = ""
        self._since = clock.seconds()
        self._is_open = True

    def read(self, wait: float) -> bool:
        """Read what is there within ``wait`` seconds; tell whether more may come."""
        if not self._is_open:
            clock.sleep(wait / 10)
            return False
        if self._selector.select(wait):
            data = os.read(self._file.fileno(), _CHUNK)
            self._is_open = bool(data)
            self._take(self._decoder.decode(data, final=not data))
        if self._held and clock.seconds() - self._since > _QUIET:
            self._pass_on(self._held)
            self._held = ""
        return self._is_open

    def _take(self, text: str) -> None:
        whole, newline, rest = (self._held + text).rpartition("\n")
        if newline or not self._held:
            self._since = clock.seconds()  # a half line begins
        self._held = rest
        if newline:
            self._pass_on(whole + newline)

    def _pass_on(self, text: str) -> None:
        if text:
            self._emit(text)

    def finish(self) -> None:
        """Pass on what is left."""
        self._take(self._decoder.decode(b"", final=True))
        self._pass_on(self._held)
        self._held = ""
        self._selector.close()
