"""The screen of a run: a heading or a GitHub group a step, a live line on a terminal."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from colorlog.escape_codes import escape_codes

from ci_sessions.records.record import Outcome
from ci_sessions.text import duration

if TYPE_CHECKING:
    from ci_sessions.records.record import StepRecord

__all__ = ["ConsoleScreen"]

_MARKS = {Outcome.PASSED: "✓", Outcome.SKIPPED: "-"}
_COLORS = {Outcome.PASSED: "green", Outcome.SKIPPED: "thin_white"}


@dataclass(slots=True)
class ConsoleScreen:
    """Shows steps as they run: a heading or a GitHub group each, a live line on a terminal.

    Under GitHub Actions the output of a step stands between ``::stop-commands::`` marks, so that
    nothing a test prints can act as a workflow command.
    """

    stream: TextIO
    on_github: bool = False
    _number: int = 0
    _total: int = 0
    _name: str = ""
    _mark: str = ""
    _status: str = ""
    _at_line_start: bool = True
    _is_gone: bool = False
    _colors: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Colour is for people at a terminal."""
        self._colors = dict(escape_codes) if self.stream.isatty() else {}

    def begin(self, step: StepRecord, total: int) -> None:
        """Open a step."""
        self._total = total
        title = f"[{self._number + 1}/{total}] {step.id}"
        self._name = title
        if self.on_github:
            self._mark = secrets.token_hex(16)
            self._line(f"::group::{title} · {step.command}")
            self._line(f"::stop-commands::{self._mark}")
        else:
            self._line(self._paint("bold_cyan", f"── {title}"))
            self._line(self._paint("thin_white", f"   $ {step.command}"))

    def write(self, text: str) -> None:
        """Show output of the step."""
        self._clear()
        self._put(text)
        self._at_line_start = text.endswith("\n")

    def tick(self, elapsed: float) -> None:
        """Keep the last line of a terminal up to date."""
        if not self.stream.isatty() or not self._at_line_start:
            return
        width = shutil.get_terminal_size().columns - 1
        status = f"{self._name}  {duration(int(elapsed))}"[:width]
        if status != self._status:
            self._clear()
            self._put(status)
            self._status = status

    def end(self, step: StepRecord) -> None:
        """Close a step that ended, or name one that was not run."""
        self._number += 1
        self._clear()
        if self._mark:
            self._line(f"::{self._mark}::")
            self._line("::endgroup::")
            self._mark = ""
        mark = _MARKS.get(step.outcome, "✗")
        color = _COLORS.get(step.outcome, "red")
        if step.outcome is Outcome.SKIPPED:
            text = f"{mark} {step.id} skipped: {step.note}"
        else:
            code = "" if step.code in (None, 0) else f", exit {step.code}"
            text = f"{mark} {step.id} {step.outcome}{code} in {duration(step.wall)}"
            text += f" · {step.note}" if step.note else ""
        self._line(self._paint(color, text))

    def _line(self, text: str) -> None:
        self._put(("" if self._at_line_start else "\n") + text + "\n")
        self._at_line_start = True

    def _clear(self) -> None:
        if self._status:
            self._put("\r\x1b[K")
            self._status = ""

    def _put(self, text: str) -> None:
        """Write, until the reader has gone: the run goes on, and so does its record."""
        if self._is_gone:
            return
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            self._is_gone = True

    def _paint(self, color: str, text: str) -> str:
        if not self._colors:
            return text
        return f"{self._colors.get(color, '')}{text}{self._colors['reset']}"
