"""What a step is doing: the last test that it names in its output, or in the logs of run_test.py.

run_test.py of PyTorch 2 shows the output of a test file only when the file ends. Until then it
grows in ``test/test-reports/*_toprint.log``. These files are not trusted: only regular files that
were written during the step are read, and only their ends.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.checkout.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Progress", "last_test", "running_test"]

_PATTERN = "_toprint.log"
_END = 1 << 14  # bytes read of the end of a log, and characters of a piece of output
_MAX_FILES = 2000
_INTERVAL = 2.0  # seconds between two looks at the logs
_TAIL_LINES = 8
_MAX_WIDTH = 300  # characters of a line
_NAME = re.compile(
    r"(?P<case>test\w{0,200}) \((?P<where>[\w.]{1,300})\)"
    r"|(?P<node>[\w./-]{1,300}\.py::\S{1,300})"
)
_RESULT = re.compile(
    r"\.\.\. (?:ok|FAIL|ERROR|skipped|expected failure|unexpected success)"
    r"|\b(?:PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS|RERUN)\b"
)


def last_test(text: str) -> str:
    """Return the name of the last test that the end of a text names at the start of a line."""
    lines = _end_of(text).split("\n")
    # From the end, because the last lines usually name a test: this is done for all output.
    matches = (_match(line) for line in reversed(lines))
    return _name(next((match for match in matches if match is not None), None))


def running_test(text: str) -> str:
    """Return the name of the test that has started and has no result yet, or ""."""
    lines = _end_of(text).split("\n")
    for number in reversed(range(len(lines))):
        match = _match(lines[number])
        if match is not None:
            rest = "\n".join(lines[number:])
            return "" if _RESULT.search(rest, match.end()) else _name(match)
    return ""


def _end_of(text: str) -> str:
    return text[-_END:]


def _match(line: str) -> re.Match[str] | None:
    """Return the name of a test at the start of a line, if there is one."""
    return _NAME.match(line) if line.startswith("test") or ".py::" in line else None


def _name(match: re.Match[str] | None) -> str:
    if match is None:
        return ""
    if match["node"]:
        return match["node"]
    case, where = match["case"], match["where"]
    return where if where.endswith(f".{case}") else f"{where}.{case}"


class Progress:
    """Follows one step. ``root`` is the checkout."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "test" / "test-reports"
        self._since = clock.now().timestamp() - 1.0  # file systems round times
        self._looked = 0.0
        self._from_output = ""
        self._from_logs = ""

    def feed(self, text: str) -> None:
        """Process a piece of output."""
        self._from_output = last_test(text) or self._from_output

    @property
    def doing(self) -> str:
        """The last test that was seen; this looks at the logs from time to time."""
        now = clock.monotonic()
        if now - self._looked >= _INTERVAL:
            self._looked = now
            self._from_logs = last_test(self.end_of_log())
        return self._from_logs or self._from_output

    def end_of_log(self) -> str:
        """Return the end of the log that was written last, or "" if there is none."""
        newest, path = 0.0, None
        if self._folder.is_symlink():
            return ""
        with suppress(OSError), os.scandir(self._folder) as entries:
            for number, entry in enumerate(entries):
                if number >= _MAX_FILES:
                    break
                if entry.name.endswith(_PATTERN) and entry.is_file(follow_symlinks=False):
                    written = entry.stat(follow_symlinks=False).st_mtime
                    if written >= max(self._since, newest):
                        newest, path = written, self._folder / entry.name
        if path is None:
            return ""
        try:
            with open_regular(path, follow_links=False) as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - _END))
                return file.read(_END).decode(errors="replace")
        except OSError:
            return ""

    def tail(self) -> tuple[str, ...]:
        """Return the last lines of the log that was written last."""
        lines = [line for line in self.end_of_log().splitlines() if line.strip()]
        return tuple(line[:_MAX_WIDTH] for line in lines[-_TAIL_LINES:])
