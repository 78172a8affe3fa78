"""Selects the command that ``python -m ci_sessions`` runs, and its arguments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions import __version__
from ci_sessions.cli.entry import run_command
from ci_sessions.cli.program import module_program
from ci_sessions.cli.verbs import COMMANDS, load_command
from ci_sessions.errors import InputError
from ci_sessions.job.environment import process_environment
from ci_sessions.plan.shell import quote_all
from ci_sessions.text import for_log, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Run the command that the arguments name and return its exit code."""
    if "_ARGCOMPLETE" in process_environment().variables:  # the shell asks how words can go on
        from ci_sessions.cli.completion import complete  # noqa: PLC0415 - only for that

        complete(lambda name: run_command(name, load_command(name), [], program=("ci-sessions",)))
    command, *rest = argv or ["--help"]
    if command in ("--help", "-h", "help"):
        print(_usage())
        return 0
    if command == "--version":
        print(__version__)
        return 0
    if command not in COMMANDS:
        import difflib  # noqa: PLC0415 - slow to import, and only for a typing error

        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}."
        print(for_log(f"error: unknown command {shown(command)}: {hint}"), file=sys.stderr)
        return InputError.exit_code
    return run_command(command, load_command(command), rest, program=(*_program(), command))


def _program() -> tuple[str, ...]:
    """Return the command line that started this program, without its arguments."""
    return module_program(Path(sys.argv[0]).name)


def _usage() -> str:
    name = quote_all(_program())
    commands = "\n".join(f"  {command:10} {summary}" for command, summary in COMMANDS.items())
    return (
        f"usage: {name} COMMAND [options]\n\n{commands}\n\n"
        f"{name} COMMAND --help lists the options of a command. The commands are also nox "
        "sessions: nox -s COMMAND -- [options]."
    )
