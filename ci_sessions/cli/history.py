"""``history``: list past runs, newest first."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.cli.options import OptionParser, Options, integer, parse_options
from ci_sessions.cli.record_files import default_records, record_files
from ci_sessions.plan.shell import quote_all
from ci_sessions.records.query import read_summaries
from ci_sessions.records.record import Outcome
from ci_sessions.records.store import is_active
from ci_sessions.report.history import describe_history, history_to_json
from ci_sessions.text import count, for_json, for_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Context
    from ci_sessions.records.query import Summary

__all__ = ["main"]

_LAST = 20


@dataclass(frozen=True, kw_only=True)
class HistoryOptions(Options):
    """The options of ``history``."""

    last: int = _LAST
    config: str | None = None
    failed: bool = False
    records: str | None = None
    json: bool = False

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options."""
        add = parser.add_argument
        add("--last", type=integer(1), metavar="N", help=f"only the last N runs (default: {_LAST})")
        add("--config", metavar="NAME", help="only the runs of this configuration")
        add("--failed", action="store_true", help="only the runs that did not pass")
        add("--json", action="store_true", help="print JSON")
        add(
            "--records",
            metavar="DIR",
            help="folder with records, or a glob pattern of files (default: the records of the "
            "checkout that contains the current folder)",
        )


def main(argv: Sequence[str], context: Context) -> int:
    """Print the last runs, newest first."""
    options = parse_options(HistoryOptions, argv, context)
    runs = sorted(
        read_summaries(record_files(options.records)), key=lambda run: run.started, reverse=True
    )
    active = _active(runs)
    selected = [run for run in runs if _is_selected(run, options, active)]
    shown = selected[: options.last]
    redact, out = context.redact, context.out
    if options.json:
        print(for_json(redact.fields(history_to_json(shown, active)), indent=1), file=out)
    elif shown:
        width = shutil.get_terminal_size().columns if out.isatty() else 0
        print(redact(describe_history(shown, active, clock.now(), width)), file=out)
        if len(selected) > len(shown):
            print(f"{count(len(selected), 'run')} in all: --last N lists more", file=out)
    else:
        print(for_log(redact(_no_runs(len(runs), options, context))), file=out)
    return 0


def _active(runs: Sequence[Summary]) -> set[str]:
    """Return the paths of the records of runs that have not ended, but are still running."""
    unfinished = (run.path for run in runs if run.outcome is Outcome.ABORTED)
    return {path for path in unfinished if is_active(Path(path))}


def _is_selected(run: Summary, options: HistoryOptions, active: set[str]) -> bool:
    if options.config is not None and run.config != options.config:
        return False
    return not options.failed or not (run.is_pass or run.path in active)


def _no_runs(number: int, options: HistoryOptions, context: Context) -> str:
    """Say that there is nothing to list, and what to do."""
    where = options.records or default_records()
    if number:
        given = [f"--config {options.config}"] if options.config else []
        given += ["--failed"] if options.failed else []
        what = "the run does not match" if number == 1 else f"none of {number:,} runs matches"
        return f"{what} in {where}: leave out {' and '.join(given)} to list more."
    run = quote_all([*("run" if word == "history" else word for word in context.program)])
    return f"no runs are recorded in {where}: {run} jit_legacy records one."
