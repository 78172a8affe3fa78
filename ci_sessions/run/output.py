"""A child's output on its way: redacted, shown, searched for failed cases, its end kept."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from ci_sessions.run.cases import CaseScanner

if TYPE_CHECKING:
    from ci_sessions.records.record import StepRecord
    from ci_sessions.text import Redactor

__all__ = ["OutputCapture", "Screen"]

_TAIL = 8  # lines of output kept of a step that failed without saying which case
_WIDEST = 300  # characters of a line that are kept


class Screen(Protocol):
    """Where a person watches."""

    def begin(self, step: StepRecord, total: int) -> None:
        """A step starts; ``total`` is the number of steps of the whole run."""

    def write(self, text: str) -> None:
        """Show output of the step."""

    def tick(self, elapsed: float) -> None:
        """Time passes, in seconds since the step's start."""

    def end(self, step: StepRecord) -> None:
        """Close the step, which ended or was not run."""


class OutputCapture:
    """Takes a child's output. ``keeps``: all of it is wanted afterwards, as ``text``."""

    def __init__(self, screen: Screen, redact: Redactor, *, keeps: bool) -> None:
        self.text = ""
        self.scanner = CaseScanner()
        self._screen = screen
        self._redact = redact
        self._keeps = keeps
        self._held = ""
        self._last: deque[str] = deque(maxlen=_TAIL + 1)

    def __call__(self, text: str) -> None:
        """Take a piece of output."""
        # Whole secrets go first: the tail that is held back is then only ever half a one.
        text, self._held = self._redact.split_safely(self._redact(self._held + text))
        self._show(text)

    def flush(self) -> None:
        """Show what was held back for fear of half a secret."""
        self._show(self._held)
        self._held = ""

    def tail(self) -> tuple[str, ...]:
        """Return the last lines that say something."""
        return tuple(line[:_WIDEST] for line in self._last if line.strip())[-_TAIL:]

    def _show(self, text: str) -> None:
        if not text:
            return
        shown = self._redact(text)
        if self._keeps:
            self.text += shown
        self.scanner.feed(shown)
        begun = self._last.pop() if self._last else ""
        self._last.extend((begun + shown).split("\n"))
        self._screen.write(shown)
