"""Console output of a run: a heading or GitHub group per step, a status line on a terminal."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from colorlog.escape_codes import escape_codes

from ci_sessions.records.record import Outcome
from ci_sessions.text import duration, exit_status, for_annotation, for_log

if TYPE_CHECKING:
    from ci_sessions.records.record import StepRecord

__all__ = ["ConsoleScreen", "Printer"]

_MARKS = {Outcome.PASSED: "✓", Outcome.SKIPPED: "-"}
_COLORS = {Outcome.PASSED: "green", Outcome.SKIPPED: "thin_white"}


class Printer(Protocol):
    """Standard output, as a screen needs it (see ``cli.stdout``)."""

    def write(self, text: str, /) -> int:
        """Write text; on GitHub no part of it is a command."""

    def raw(self, text: str) -> None:
        """Write commands, or the output of a child."""

    def isatty(self) -> bool:
        """Tell whether a person may be watching."""

    @property
    def is_ready(self) -> bool:
        """Whether the reader keeps up."""


@dataclass(slots=True)
class ConsoleScreen:
    """Shows steps as they run: a heading or GitHub group for each, a status line on a terminal.

    On GitHub Actions, a step's output is wrapped in ``::stop-commands::``, so that nothing that a
    test prints is treated as a workflow command. With ``on_ci`` there is no status line: if CI runs
    jobs on a terminal (``docker exec -t``), it becomes part of the next line, even of a command.
    """

    out: Printer
    on_github: bool = False
    on_ci: bool = False
    _number: int = 0
    _total: int = 0
    _name: str = ""
    _mark: str = ""
    _status: str = ""
    _at_line_start: bool = True
    _colors: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Use colour only on a terminal."""
        self._colors = dict(escape_codes) if self.out.isatty() else {}

    def begin(self, step: StepRecord, total: int) -> None:
        """Show that a step starts."""
        self._total = total
        title = f"[{self._number + 1}/{total}] {for_log(step.id)}"
        self._name = title
        if self.on_github:
            self._mark = secrets.token_hex(16)
            self._command("group", f"{title} · {for_log(step.command)}")
            self._command("stop-commands", self._mark)
        else:
            self._line(self._paint("bold_cyan", f"── {title}"))
            self._line(self._paint("thin_white", f"   $ {for_log(step.command)}"))

    def write(self, text: str) -> None:
        """Show output of the step."""
        self._clear()
        self.out.raw(text)
        self._at_line_start = text.endswith("\n")

    def tick(self, elapsed: float) -> None:
        """Update the status line on a terminal."""
        if self.on_ci or not self.out.isatty() or not self._at_line_start or not self.is_ready:
            return
        width = shutil.get_terminal_size().columns - 1
        status = f"{self._name}  {duration(int(elapsed))}"[:width]
        if status != self._status:
            self._clear()
            self.out.raw(status)
            self._status = status

    @property
    def is_ready(self) -> bool:
        """Whether the reader keeps up."""
        return self.out.is_ready

    def end(self, step: StepRecord) -> None:
        """Show the result of a step, or that it was skipped."""
        self._number += 1
        self.close()
        mark = _MARKS.get(step.outcome, "✗")
        color = _COLORS.get(step.outcome, "red")
        if step.outcome is Outcome.SKIPPED:
            text = f"{mark} {step.id} skipped: {step.note}"
        else:
            code = "" if not step.code else f", {exit_status(step.code)}"
            text = f"{mark} {step.id} {step.outcome}{code} in {duration(step.wall)}"
            text += f" · {step.note}" if step.note else ""
        self._line(self._paint(color, for_log(text)))

    def close(self) -> None:
        """Close the group of a step, and let GitHub read commands again."""
        self._clear()
        if self._mark:
            self._command(self._mark, "")
            self._command("endgroup", "")
            self._mark = ""

    def _command(self, name: str, data: str) -> None:
        self.out.raw(("" if self._at_line_start else "\n") + f"::{name}::{for_annotation(data)}\n")
        self._at_line_start = True

    def _line(self, text: str) -> None:
        self.out.write(("" if self._at_line_start else "\n") + text + "\n")
        self._at_line_start = True

    def _clear(self) -> None:
        if self._status:
            self.out.raw("\r\x1b[K")
            self._status = ""

    def _paint(self, color: str, text: str) -> str:
        if not self._colors:
            return text
        return f"{self._colors.get(color, '')}{text}{self._colors['reset']}"
