"""Completes commands, configurations and options in a shell, with argcomplete if it is installed.

The shell starts this program with ``_ARGCOMPLETE`` set, and reads the words from file descriptor 8.
Then argcomplete ends the process. The options of a command are those of its own parser.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ci_sessions.catalogue.table import known_names
from ci_sessions.cli.verbs import COMMANDS
from ci_sessions.job.environment import process_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["complete", "complete_options"]


_complete: list[Callable[..., None]] = []  # argcomplete's function, while it is asked for words


def complete(start: Callable[[str], object]) -> None:
    """Print the words that can follow on the shell's command line, and end the process.

    ``start`` starts a command, which calls ``complete_options`` as soon as it has a parser.
    """
    try:
        import argcomplete  # noqa: PLC0415 - optional, and only for completion
    except ImportError:
        return
    command = _command()
    if command is not None:
        _complete[:] = [argcomplete.autocomplete]
        start(command)
    parser = argparse.ArgumentParser(add_help=False)
    commands = parser.add_subparsers()
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    argcomplete.autocomplete(parser, always_complete_options=False)


def complete_options(parser: argparse.ArgumentParser) -> None:
    """Print the words that can follow a command with this parser, and end the process.

    Does nothing if the shell did not ask for them by ``complete``.
    """
    if not _complete:
        return
    # The words before the arguments, the program and the command. argcomplete reads it there.
    os.environ["_ARGCOMPLETE"] = "2"  # noqa: TID251
    for action in parser._actions:  # noqa: SLF001 - as argcomplete does: there is no other way
        if action.dest in ("config", "config_option"):
            action.completer = _configurations  # type: ignore[attr-defined]
    for complete_parser in _complete:
        complete_parser(parser, always_complete_options=False)


def _command() -> str | None:
    """Return the command whose arguments are completed, or None for that of the command itself."""
    before = process_environment().get("COMP_LINE")[: _position()]
    words = before.split()
    is_complete = len(words) > 2 or (len(words) == 2 and before[-1:].isspace())  # noqa: PLR2004
    return words[1] if is_complete and words[1] in COMMANDS else None


def _position() -> int:
    text = process_environment().get("COMP_POINT")
    return int(text) if text.isdecimal() else 0


def _configurations(**_: object) -> Sequence[str]:
    return known_names()
