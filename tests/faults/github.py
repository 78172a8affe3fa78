"""GitHub's reading of a log, as its documentation and the runner's public source describe it.

Lines end at a line feed, a carriage return, or both. A line is a command where it begins with
``::name …::`` after any white space, or has ``##[name …]`` anywhere; names are compared without
case. ``stop-commands`` takes a token, and until that token stands as a command of its own nothing
else is one. Sources: docs.github.com, "Workflow commands for GitHub Actions"; actions/runner,
``ActionCommand.cs`` and ``ActionCommandManager.cs``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

COMMANDS = frozenset(
    [
        "add-mask",
        "add-matcher",
        "add-path",
        "debug",
        "echo",
        "endgroup",
        "error",
        "group",
        "internal-set-repo-path",
        "notice",
        "remove-matcher",
        "save-state",
        "set-env",
        "set-output",
        "stop-commands",
        "warning",
    ]
)
_LINE_END = re.compile(r"\r\n|\n|\r")
# What .NET's TrimStart removes.
_BLANK = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


@dataclass(frozen=True)
class Command:
    """A command that took effect."""

    name: str
    properties: str
    data: str


@dataclass
class Reader:
    """Reads a log and collects the commands that take effect."""

    commands: list[Command] = field(default_factory=list)
    token: str | None = None
    _rest: str = ""

    def feed(self, text: str) -> Reader:
        """Take a piece of the log."""
        *lines, self._rest = _LINE_END.split(self._rest + text)
        for line in lines:
            self._line(line)
        return self

    def close(self) -> Reader:
        """Take the last line, which may lack its end."""
        self._line(self._rest)
        self._rest = ""
        return self

    def _line(self, line: str) -> None:
        command = self._new_form(line) or self._old_form(line)
        if command is None:
            return
        if self.token is not None:
            if command.name == self.token:
                self.token = None
            return
        if command.name == "stop-commands":
            self.token = command.data.lower()
        self.commands.append(command)

    def _known(self, name: str) -> bool:
        return name in COMMANDS or name == self.token

    def _new_form(self, line: str) -> Command | None:
        text = line.lstrip(_BLANK)
        if not text.startswith("::") or "::" not in text[2:]:
            return None
        head, _, data = text[2:].partition("::")
        name, _, properties = head.partition(" ")
        return Command(name.lower(), properties, data) if self._known(name.lower()) else None

    def _old_form(self, line: str) -> Command | None:
        _, found, rest = line.partition("##[")
        head, closed, data = rest.partition("]")
        if not found or not closed:
            return None
        name, _, properties = head.partition(" ")
        return Command(name.lower(), properties, data) if self._known(name.lower()) else None


def commands_in(log: str) -> list[Command]:
    """Return the commands of a whole log that take effect."""
    return Reader().feed(log).close().commands
