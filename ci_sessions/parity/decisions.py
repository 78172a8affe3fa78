"""Decisions of a script that change no command, found in its text.

PyTorch's script turns off core dumps if ``CONTINUE_THROUGH_ERROR`` is set, which only a run knows.
Whatever its value is, the same commands run, so no job depends on it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_sessions.parity.recording import Note

__all__ = ["changes_nothing"]

_TEST = r"\[\[(?:(?!\]\]|[=!]~|\s-[a-z]{2}\s|\$\(|\$\{[^}]*[=?]|\+\+|--)[^\n`])+\]\]"
"""A test that only reads: without substitutions of commands, assignments and arithmetic."""
_TESTS = rf"!?\s*{_TEST}(?:\s*(?:&&|\|\|)\s*!?\s*{_TEST})*"
_LINE = r"[ \t]*(?:#[^\n]*|ulimit -c \w+|:|true)?\n"
_BLOCK = re.compile(
    rf"^[ \t]*if {_TESTS};?\s*then\n(?:{_LINE})*"
    rf"(?:[ \t]*elif {_TESTS};?\s*then\n(?:{_LINE})*)*"
    rf"(?:[ \t]*else\n(?:{_LINE})*)?[ \t]*fi[ \t]*$",
    re.MULTILINE,
)


def changes_nothing(scripts: Mapping[str, bytes], note: Note) -> bool:
    """Return whether a value is read only to decide about limits of processes, or about nothing.

    ``scripts`` are the contents of files by path; the note has the line that reads the value.
    """
    name, _, number = note.lines[0].rpartition(":") if note.lines else ("", "", "")
    text = scripts.get(name, b"").decode(errors="replace")
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start()) + 1
        if first <= int(number) <= first + block[0].count("\n"):
            return True
    return False
