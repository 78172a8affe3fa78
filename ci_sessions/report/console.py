"""Console output of a run: a heading or GitHub group per step, a status line on a terminal."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from colorlog.escape_codes import escape_codes

from ci_sessions.records.record import Outcome
from ci_sessions.text import duration, exit_status, for_annotation, for_log, rough_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ci_sessions.records.record import StepRecord

__all__ = ["ConsoleScreen", "Printer"]

_MARKS = {Outcome.PASSED: "✓", Outcome.SKIPPED: "-"}
_COLORS = {Outcome.PASSED: "green", Outcome.SKIPPED: "thin_white"}


_LONGEST_LINE = 4000  # characters kept of a line of output
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


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
    ``usual_times`` are the seconds that steps usually take. ``is_quiet``: show no output.
    """

    out: Printer
    on_github: bool = False
    on_ci: bool = False
    is_quiet: bool = False
    has_color: bool = True
    usual_times: Mapping[str, float] = field(default_factory=dict)
    _number: int = 0
    _total: int = 0
    _name: str = ""
    _step_id: str = ""
    _line_so_far: str = ""
    _status_column: int = 0
    _mark: str = ""
    _status: str = ""
    _at_line_start: bool = True
    _colors: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Use colour only on a terminal."""
        has_color = self.has_color and self.out.isatty()
        self._colors = dict(escape_codes) if has_color else {}

    def begin(self, step: StepRecord, total: int) -> None:
        """Show that a step starts."""
        self._total = total
        title = f"[{self._number + 1}/{total}] {for_log(step.id)}"
        self._name = f"[{self._number + 1}/{total}] {step.test}"
        self._step_id = step.id
        if self.on_github:
            import secrets  # noqa: PLC0415 - slow to import, and only for GitHub

            self._mark = secrets.token_hex(16)
            self._command("group", f"{title} · {for_log(step.command)}")
            self._command("stop-commands", self._mark)
        else:
            self._line(self._paint("bold_cyan", f"── {title}"))
            self._line(self._paint("thin_white", f"   $ {for_log(step.command)}"))

    def write(self, text: str) -> None:
        """Show output of the step."""
        if self.is_quiet:
            return
        self._clear()
        self.out.raw(text)
        line_start = text.rfind("\n") + 1
        before = "" if line_start else self._line_so_far
        self._line_so_far = (before + text[line_start:])[-_LONGEST_LINE:]
        self._at_line_start = text.endswith("\n")

    def tick(self, elapsed: float, doing: Callable[[], str]) -> None:
        """Update the status line on a terminal: time, about how much is left, the last test."""
        if self.on_ci or not self.out.isatty() or not self.is_ready:
            return
        width = shutil.get_terminal_size().columns - 1
        column = self._column()
        if column >= width:
            return  # the line of output may have wrapped
        parts = [self._name, self._time(elapsed), doing()]
        status = for_log(" · ".join(part for part in parts if part))[:width]
        if status != self._status:
            self._clear()
            # While a test leaves the cursor in the middle of a line, the status is below that line.
            self.out.raw(f"\n{status}" if column else status)
            self._status, self._status_column = status, column

    def _time(self, elapsed: float) -> str:
        usual = self.usual_times.get(self._step_id)
        whole = duration(int(elapsed)).replace(".0 s", " s")
        if not usual:
            return whole
        left = round(usual - elapsed)
        usually = f"about {rough_duration(left)} left" if left > 0 else f"usually {duration(usual)}"
        return f"{whole}, {usually}"

    def _column(self) -> int:
        """Return the column of the cursor, from 0, after the output so far."""
        if self._at_line_start:
            return 0
        return len(_ESCAPES.sub("", self._line_so_far.rpartition("\r")[2]))

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
            back = f"\x1b[A\x1b[{self._status_column + 1}G" if self._status_column else ""
            self.out.raw(f"\r\x1b[K{back}")
            self._status = ""

    def _paint(self, color: str, text: str) -> str:
        if not self._colors:
            return text
        return f"{self._colors.get(color, '')}{text}{self._colors['reset']}"
