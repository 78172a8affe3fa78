"""Runs a command: what ``python -m ci_sessions`` and the nox sessions have in common.

It prepares the streams, the log and the signal handlers, and turns every outcome into an exit code.
"""

from __future__ import annotations

import os
import select
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from ci_sessions.cli.options import Context
from ci_sessions.cli.stdout import Stdout
from ci_sessions.cli.verbs import COMMANDS
from ci_sessions.errors import CiSessionsError, InternalError
from ci_sessions.job.environment import process_environment
from ci_sessions.job.variables import GITHUB_ACTIONS, SECRET_NAMES
from ci_sessions.log import configure_logging
from ci_sessions.run.signals import Interrupted, raise_on_signals
from ci_sessions.text import Redactor, for_log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Main = Callable[[Sequence[str], Context], int]

__all__ = ["run_command"]


def run_command(
    command: str,
    main: Main,
    argv: Sequence[str],
    *,
    program: tuple[str, ...],
    config: str | None = None,
) -> int:
    """Run a command and return its exit code; report errors without a traceback, except for bugs.

    ``program`` is what the user typed before the options; ``config`` is the configuration in it.
    """
    _open_standard_files()
    environment = process_environment()
    redact = Redactor(environment.variables, SECRET_NAMES)
    configure_logging(redact, stream=sys.stderr)
    out = Stdout(sys.stdout, on_github=environment[GITHUB_ACTIONS])
    context = Context(
        program=program,
        summary=COMMANDS[command],
        out=out,
        environment=environment,
        redact=redact,
        config=config,
    )
    try:
        with raise_on_signals():
            return _run(main, argv, context)
    except Interrupted as interrupt:  # while the output was being written
        return interrupt.exit_code
    finally:
        _drop_broken_streams()


def _run(main: Main, argv: Sequence[str], context: Context) -> int:
    try:
        code = main(argv, context)
    except CiSessionsError as error:
        code = _report(context, f"error: {error}", error.exit_code)
    except Interrupted as interrupt:
        code = _report(context, f"error: {interrupt}", interrupt.exit_code)
    except Exception:  # noqa: BLE001 - a bug must not print secrets either
        code = _report(context, traceback.format_exc(), InternalError.exit_code)
    context.out.drain()
    return code


def _report(context: Context, message: str, code: int) -> int:
    """Print an error after all output; return the exit code."""
    context.out.drain()
    with suppress(Exception):  # the exit code is all that matters now
        sys.stderr.write(f"{for_log(context.redact(message))}\n")
    return code


def _open_standard_files() -> None:
    """Open /dev/null for each standard file that the caller has closed.

    Otherwise the next file to be opened would get its number, and output would go there.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = _null()
    if sys.stdout is None:
        sys.stdout = _null()
    if sys.stderr is None:
        sys.stderr = _null()


def _drop_broken_streams() -> None:
    """Send what is left of a stream to /dev/null if nobody reads it, or the disk is full.

    Otherwise Python itself fails to write it at its exit, and exits with 120 instead of the result.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # no file: a stream in memory
            number = stream.fileno()
            if not _is_writable(stream):
                os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), number)


def _is_writable(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return False
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return not any(event & select.POLLERR for _, event in poll.poll(0))


def _null() -> TextIO:
    return open(os.devnull, "r+", encoding="utf-8")  # noqa: PTH123 - for the whole process
