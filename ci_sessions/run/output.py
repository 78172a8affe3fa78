"""A child's output as it arrives: redacted, shown, scanned for failed cases, its tail kept."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ci_sessions.log import logger
from ci_sessions.run.case_scanner import CaseScanner
from ci_sessions.run.progress import running_test

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_sessions.records.record import StepRecord
    from ci_sessions.run.progress import Progress
    from ci_sessions.text import Redactor

__all__ = ["OutputCapture", "Screen"]

_TAIL_LINES = 8  # the last lines of a step, kept in case it fails without a failed test case
_KEPT_LINES = 40  # more, since the last of them may only say that a test file failed
_MAX_WIDTH = 300  # characters kept of each of these lines
_FILE_FAILED = re.compile(r"RuntimeError: .{1,300} failed!")
_ADVICE = ("Tip: You can keep running tests", "If running on CI, add the 'keep-going' label")
_MAX_TEXT = 4 << 20  # characters of an output that is kept, from its start


class Screen(Protocol):
    """Shows the progress of a run."""

    def begin(self, step: StepRecord, total: int) -> None:
        """Show that a step starts. ``total`` is the number of steps in the run."""

    def write(self, text: str) -> None:
        """Show output of the step."""

    def tick(self, elapsed: float, doing: Callable[[], str]) -> None:
        """Update the display.

        ``elapsed`` is the time since the step started, in seconds; ``doing`` returns the name of
        the last test that was seen.
        """

    def end(self, step: StepRecord) -> None:
        """Show the result of a step, or that it was skipped."""

    def close(self) -> None:
        """Finish whatever is still open, at the end of the run."""

    @property
    def is_ready(self) -> bool:
        """Return whether more output can be shown without blocking."""


class OutputCapture:
    """Receives a child's output. ``keep_text``: keep it in ``text``. ``log`` gets all of it."""

    def __init__(
        self,
        screen: Screen,
        redact: Redactor,
        progress: Progress,
        *,
        keep_text: bool,
        log: Callable[[str], None],
    ) -> None:
        self.text = ""
        self.progress = progress
        self.scanner = CaseScanner()
        self._screen = screen
        self._redact = redact
        self._log = log
        self._keep_text = keep_text
        self._pending = ""
        self._is_broken = False
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES + 1)

    def __call__(self, text: str) -> None:
        """Process a piece of output. An error ends the processing, but never the step."""
        if self._is_broken:
            return
        try:
            self._process(text)
        except Exception as error:  # noqa: BLE001 - the child and its exit code matter more
            self._is_broken = True
            logger.warning("the output is not shown any more: %s", error)

    def _process(self, text: str) -> None:
        # Redact complete secrets first, so that only the start of one can be left at the end.
        text, self._pending = self._redact.split_safely(self._redact(self._pending + text))
        self._show(text)

    def flush(self) -> None:
        """Show the output that was held back because it may be the start of a secret."""
        if not self._is_broken:
            self._show(self._redact(self._pending))
        self._pending = ""

    def tail(self) -> tuple[str, ...]:
        """Return the last lines that are not blank; of overwritten lines, the last text."""
        shown = (line.rstrip("\r").rpartition("\r")[2] for line in self._last_lines)
        return tuple(_before_runner([line for line in shown if line.strip()])[-_TAIL_LINES:])

    def running_test(self) -> str:
        """Return the name of the test that had started when the output ended, or ""."""
        logged = self.progress.end_of_log()
        return running_test(logged or "\n".join(self._last_lines))

    def _show(self, text: str) -> None:
        if not text:
            return
        if self._keep_text and len(self.text) < _MAX_TEXT:
            self.text += text[:_MAX_TEXT]
        self._log(text)
        self.progress.feed(text)
        self.scanner.feed(text)
        self._remember(text)
        self._screen.write(text)

    def _remember(self, text: str) -> None:
        """Update the last lines, in time proportional to the text, with bounded memory."""
        lines = text.rsplit("\n", _KEPT_LINES + 1)
        if len(lines) == _KEPT_LINES + 2:  # the first one is everything that came before
            lines = lines[1:]
        elif self._last_lines:
            lines[0] = self._last_lines.pop() + lines[0]
        self._last_lines.extend(line[:_MAX_WIDTH] for line in lines)


def _before_runner(lines: list[str]) -> list[str]:
    """Leave out the traceback with which run_test.py ends, since the cause is above it."""
    starts = [at for at, line in enumerate(lines) if line.startswith("Traceback (most recent ")]
    first = starts[-1] if starts else 0
    of_runner = [at for at, line in enumerate(lines) if at > first and _FILE_FAILED.match(line)]
    if not (starts and of_runner and any("test/run_test.py" in line for line in lines[first:])):
        return lines
    advice = (line for line in lines[of_runner[0] + 1 :] if not line.startswith(_ADVICE))
    return [*lines[:first], *advice] or lines
