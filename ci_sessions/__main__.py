"""``python -m ci_sessions VERB`` and ``ci-sessions VERB``: the sessions' verbs without nox.

Standard output is the verb's answer alone, and the exit code the first failed child's own.
"""

from __future__ import annotations

import difflib
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions import __version__
from ci_sessions.cli.options import Call
from ci_sessions.cli.verbs import VERBS, load_verb
from ci_sessions.errors import CiSessionsError, InputError
from ci_sessions.job.environment import process_environment
from ci_sessions.log import set_up

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(words: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code; faults go to standard error, without a traceback."""
    set_up()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a script's words may be any bytes
    verb, *rest = list(sys.argv[1:] if words is None else words) or ["--help"]
    try:
        return _run(verb, rest)
    except CiSessionsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()
        return 141


def program() -> tuple[str, ...]:
    """Return the words by which this program was called."""
    name = Path(sys.argv[0]).name
    return ("python", "-m", "ci_sessions") if name == "__main__.py" else (name,)


def _run(verb: str, words: list[str]) -> int:
    if verb in ("--help", "-h", "help"):
        print(_usage())
        return 0
    if verb == "--version":
        print(__version__)
        return 0
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(VERBS)}."
        raise InputError(f"unknown command {verb!r}: {hint}")
    call = Call(
        program=(*program(), verb),
        summary=VERBS[verb],
        out=sys.stdout,
        environment=process_environment(),
    )
    return load_verb(verb)(words, call)


def _usage() -> str:
    name = " ".join(program())
    verbs = "\n".join(f"  {verb:10} {summary}" for verb, summary in VERBS.items())
    return (
        f"usage: {name} VERB [options]\n\n{verbs}\n\n"
        f"{name} VERB --help lists a verb's options. The same verbs are nox sessions: "
        "nox -s VERB -- [options]."
    )


if __name__ == "__main__":
    sys.exit(main())
