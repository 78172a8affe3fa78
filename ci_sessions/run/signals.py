"""Signals that ask a run to end, turned into an exception, or held until it is safe."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["Interrupted", "holding_signals", "raising_on_signals"]


class Interrupted(BaseException):
    """A signal asked the run to end. Not an Exception: nothing that handles faults may catch it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """The shell's code for a process that a signal ended."""
        return 128 + self.signum


@contextmanager
def raising_on_signals() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into ``Interrupted`` in the main thread, then undo that."""

    def stop(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum)

    with _handling(stop):
        yield


@contextmanager
def holding_signals() -> Iterator[None]:
    """Let a first signal wait until the end, as ``Interrupted``; a second one cuts at once."""
    held: list[int] = []

    def hold(signum: int, _frame: FrameType | None) -> None:
        held.append(signum)
        if len(held) > 1:
            raise Interrupted(signum)

    with _handling(hold):
        yield
    if held:
        raise Interrupted(held[0])


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals that end a process, but for those that the caller has ignored (nohup)."""
    before = {}
    try:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(name) is not signal.SIG_IGN:
                before[name] = signal.signal(name, handler)
    except ValueError:  # not the main thread: signals are somebody else's
        before = {}
    try:
        yield
    finally:
        for name, former in before.items():
            signal.signal(name, former)
