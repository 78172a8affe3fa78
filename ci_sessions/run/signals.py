"""Signals that ask a run to stop.

``raise_on_signals`` raises an exception at once, for work that can be abandoned anywhere. A run of
a plan must terminate its children, clean up and complete its record, so it only notes signals
(``note_signals``) and checks for them where it is safe to stop.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_sessions import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["Interrupted", "Signals", "note_signals", "raise_on_signals"]

_HANDLED = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
_UNWINDING = 3.0  # seconds after a signal during which further signals are ignored


class Interrupted(BaseException):
    """A signal asked the run to stop. Not an Exception, so that error handlers do not catch it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.signum).name}"

    @property
    def exit_code(self) -> int:
        """The shell's code for a process that a signal ended."""
        return 128 + self.signum


@dataclass(slots=True)
class Signals:
    """The signals received so far. ``check`` raises ``Interrupted`` for new ones."""

    _received: list[int] = field(default_factory=list)
    _handled: int = 0
    _deferred: int = 0
    _is_impatient: bool = False

    def note(self, signum: int) -> None:
        """Note a signal."""
        self._received.append(signum)

    def check(self) -> None:
        """Raise ``Interrupted`` if there is a new signal."""
        signum = self._take()
        if signum is not None:
            raise Interrupted(signum)

    def noted(self) -> int:
        """Return the number of a new signal, or 0; like ``check``, but without raising."""
        return self._take() or 0

    def is_impatient(self) -> bool:
        """Return whether another signal has come while an earlier one was being handled."""
        if self._take() is not None:
            self._is_impatient = True
        return self._is_impatient

    def _take(self) -> int | None:
        """Return the first new signal, or None, and mark all as handled."""
        new = self._received[self._handled :]
        if len(new) <= self._deferred:
            return None
        self._handled = len(self._received) - self._deferred
        return new[0]

    @contextmanager
    def defer_one(self) -> Iterator[None]:
        """Defer the first new signal until the end of the block; ``check`` then finds it."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1


@contextmanager
def note_signals() -> Iterator[Signals]:
    """Note signals instead of being terminated by them; only in the main thread."""
    signals = Signals()
    with _handle_signals(lambda signum, _: signals.note(signum)):
        yield signals


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise ``Interrupted`` on a signal; only in the main thread."""
    last = [float("-inf")]

    def interrupt(signum: int, _frame: FrameType | None) -> None:
        now = clock.monotonic()
        if now - last[0] > _UNWINDING:
            last[0] = now
            raise Interrupted(signum)

    with _handle_signals(interrupt):
        yield


@contextmanager
def _handle_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Install a handler for signals that would terminate the process, except ignored ones (nohup).

    SIGCHLD gets its default action: if the caller ignores it, exit codes of children are lost.
    """
    before = {}
    try:
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in _HANDLED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread, which alone handles signals
        before = {}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
