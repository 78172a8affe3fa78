"""``python -m ci_sessions COMMAND`` and ``ci-sessions COMMAND``: the nox sessions without nox.

Only the output of the command goes to standard output, and the exit code is that of the first
process that failed.
"""
# PYTHON_ARGCOMPLETE_OK

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; without ``argv``, that of this process."""
    if argv is None:
        _end_on_sigint()
    from ci_sessions.cli.main import main as run  # noqa: PLC0415 - takes time: see _end_on_sigint

    return run(sys.argv[1:] if argv is None else argv)


def _end_on_sigint() -> None:
    """Let SIGINT end this process like SIGTERM, until a command handles signals itself.

    Python's own handler would print a traceback of whatever module is being imported just then.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
