"""Completes commands and configurations in a shell, with argcomplete if it is installed.

The shell starts this program with ``_ARGCOMPLETE`` set, and reads the words from file descriptor 8.
Then argcomplete ends the process.
"""

from __future__ import annotations

import argparse

from ci_sessions.catalogue.table import known_names
from ci_sessions.cli.verbs import COMMANDS

__all__ = ["complete"]

_WITH_POSITION = ("plan", "run", "dispatch", "explain", "matrix")
_WITH_OPTION = ("plan", "run", "dispatch", "explain", "history")


def complete() -> None:
    """Print the words that can follow on the command line of the shell, and end the process."""
    try:
        import argcomplete  # noqa: PLC0415 - optional, and only for completion
    except ImportError:
        return
    argcomplete.autocomplete(_parser(), always_complete_options=False)


def _parser() -> argparse.ArgumentParser:
    """Return a parser that knows only what can be completed."""
    parser = argparse.ArgumentParser(add_help=False)
    commands = parser.add_subparsers()
    configs = known_names()
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, add_help=False)
        if name in _WITH_POSITION:
            command.add_argument("config", nargs="?", choices=configs)
        if name in _WITH_OPTION:
            command.add_argument("--config", choices=configs)
    return parser
