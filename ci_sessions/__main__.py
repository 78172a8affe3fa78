"""``python -m ci_sessions plan|run``: the sessions' verbs, clean output and true exit codes."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions import __version__
from ci_sessions.cli.commands import (
    explain_job,
    plan_jobs,
    run_job,
    show_matrix,
    show_plan,
    show_rollout,
)
from ci_sessions.cli.dispatch import dispatch_job
from ci_sessions.cli.options import parse_options
from ci_sessions.cli.parity import show_parity
from ci_sessions.errors import CiSessionsError, InputError
from ci_sessions.log import set_up

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

USAGE = """\
usage: python -m ci_sessions plan [CONFIG] [options]     show what a job would run
       python -m ci_sessions plan --jobs JOBS.jsonl      plan many, a JSON line each
       python -m ci_sessions run [CONFIG] [options]      run a job
       python -m ci_sessions dispatch [options]          run it in Python or by the shell
       python -m ci_sessions parity [CONFIG] [options]   prove that plans and script are equal
       python -m ci_sessions rollout [--apply]           evidence and verdicts
       python -m ci_sessions explain [CONFIG] [options]  why it runs that, and what would change it
       python -m ci_sessions matrix [--workflow NAME]    the scheduled jobs, for fromJSON
Without CONFIG, TEST_CONFIG & co. name the job. `plan --help` lists the options.
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code; faults go to standard error, without a traceback."""
    set_up()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a script's words may be any bytes
    verb, *rest = list(sys.argv[1:] if words is None else words) or ["--help"]
    try:
        return _act(verb, rest)
    except CiSessionsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()
        return 141


def _act(verb: str, words: list[str]) -> int:
    if verb in ("--help", "-h", "help", "--version"):
        print(__version__ if verb == "--version" else USAGE.rstrip())
        return 0
    if verb not in ("plan", "run", "dispatch", "explain", "matrix", "parity", "rollout"):
        raise InputError(
            f"{verb!r} is no verb: say plan, run, dispatch, explain, matrix, parity or rollout."
        )
    prog, is_proof = f"python -m ci_sessions {verb}", verb == "parity"
    options = parse_options(words, prog=prog, added=verb != "dispatch", proof=is_proof)
    if is_proof:
        return show_parity(options, sys.stdout)
    if options.jobs is not None:
        if verb != "plan":
            raise InputError(f"--jobs is for plan and parity, not for {verb}: a run takes one job.")
        return _jobs(options.jobs)
    shows = {
        "explain": explain_job,
        "matrix": show_matrix,
        "plan": show_plan,
        "rollout": show_rollout,
    }
    if verb == "dispatch":
        return dispatch_job(options, sys.stdout)
    show = show_plan if options.dry_run or options.shell else shows.get(verb)
    if show is not None:
        return show(options, sys.stdout)
    repeat = ("python", "-m", "ci_sessions", "run", *([options.config] if options.config else []))
    return run_job(options, sys.stdout, repeat=repeat)


def _jobs(name: str) -> int:
    if name == "-":
        return plan_jobs(sys.stdin, sys.stdout)
    try:
        with Path(name).open(encoding="utf-8") as lines:
            return plan_jobs(lines, sys.stdout)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--jobs is {name!r}, which cannot be read: {error}.") from error


if __name__ == "__main__":
    sys.exit(main())
