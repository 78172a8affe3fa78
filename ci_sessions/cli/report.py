"""``report``: write one HTML file about a run, or about the runs of a fleet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.checkout.files import reason_of, replace_file
from ci_sessions.cli.options import OptionParser, Options, integer, parse_options
from ci_sessions.cli.record_commands import RecordCommands
from ci_sessions.cli.record_files import default_records, read_runs
from ci_sessions.cli.rollout_commands import RolloutCommands
from ci_sessions.errors import InputError, RecordError
from ci_sessions.gate.evidence import judged_evidence
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.gate.verdict import judge
from ci_sessions.plan.shell import quote_all
from ci_sessions.records.whole import read_whole
from ci_sessions.report.page.fleet import Fleet, fleet_page
from ci_sessions.report.page.html import Templates
from ci_sessions.report.page.newest import NewestRuns
from ci_sessions.report.page.rates import DailyCounts
from ci_sessions.report.page.single import run_page
from ci_sessions.text import count, for_log, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_sessions.cli.options import Context
    from ci_sessions.records.query import Summary

__all__ = ["main"]

_FILE = "ci-sessions-report.html"
_LAST = 20_000
_MOST = 100_000  # a page with more runs would be too large for a browser
_NEWEST = "last"


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """The options of ``report``."""

    records: str | None = None
    run: str | None = None
    rollout: str | None = None
    out: str = _FILE
    last: int = _LAST

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options."""
        add = parser.add_argument
        add(
            "--records",
            metavar="DIR",
            help="folder with records, a file, or a glob pattern of files (default: the records of "
            "the checkout that contains the current folder)",
        )
        add(
            "--run",
            metavar="ID",
            help=f"only this run: its ID, the name of its record, or {_NEWEST} for the newest "
            "(default: all runs, unless there is only one)",
        )
        add("--rollout", metavar="FILE", help="rollout file (default: the bundled one)")
        add("--out", metavar="FILE", help=f"the page to write (default: {_FILE})")
        add(
            "--last",
            type=integer(1, _MOST),
            metavar="N",
            help=f"list the newest N runs (default: {_LAST:,}); rates and verdicts are of all",
        )


def main(argv: Sequence[str], context: Context) -> int:
    """Write the page and print its name."""
    options = parse_options(ReportOptions, argv, context)
    templates = Templates(context.redact)
    runs = read_runs(options.records)
    if options.run is not None:
        what, page = _of_run(_find_run(runs, options.run), context, templates)
    else:
        what, page = _of_fleet(runs, options, context, templates)
    data = page.encode(errors="backslashreplace")
    _write(Path(options.out), data)
    size = f"{len(data) / 1e6:.1f} MB" if len(data) >= 1e6 else f"{len(data) / 1e3:.0f} kB"  # noqa: PLR2004 - a megabyte
    print(for_log(context.redact(f"wrote {options.out}: {what}, {size}")), file=context.out)
    return 0


def _of_fleet(
    runs: Iterable[Summary], options: ReportOptions, context: Context, templates: Templates
) -> tuple[str, str]:
    """Return what the page is about, and the page; that of a run if there is only one."""
    rollout = read_rollout(Path(options.rollout) if options.rollout else None)
    newest, counts = NewestRuns(options.last), DailyCounts()
    evidence = judged_evidence(counts.watch(newest.watch(runs)), rollout)
    if not newest.total:
        where = shown(options.records) if options.records else shown(str(default_records()))
        raise InputError(f"no runs are recorded in {where}: give --records, or run a job first.")
    if newest.total == 1:
        return _of_run(newest.runs[0], context, templates)
    verdicts = {name: judge(item, rollout) for name, item in evidence.items()}
    program = tuple("rollout" if word == "report" else word for word in context.program)
    commands = RolloutCommands(program=program, rollout=options.rollout, records=options.records)
    fleet = Fleet(
        rollout=rollout,
        evidence=evidence,
        verdicts=verdicts,
        commands={
            name: commands.after(verdict, evidence[name], rollout.configurations[name])
            for name, verdict in verdicts.items()
        },
        newest=newest,
        counts=counts,
        repeat=RecordCommands(context.program).repeat,
        own_page=_own_page(options, context),
        source=f"from {options.records}" if options.records else f"from {default_records()}",
    )
    return count(newest.total, "run"), fleet_page(fleet, templates)


def _own_page(options: ReportOptions, context: Context) -> str:
    """Return the command for the page of one run, with RUN for its ID."""
    records = ["--records", options.records] if options.records else []
    return quote_all([*context.program, *records, "--run", "RUN"])


def _find_run(runs: Iterable[Summary], name: str) -> Summary:
    """Return the newest run with an ID, or whose record's file name begins with the name."""
    found: Summary | None = None
    for run in runs:
        is_named = name in (_NEWEST, run.id) or Path(run.path).name.startswith(name)
        if is_named and (found is None or run.started >= found.started):
            found = run
    if found is None:
        raise InputError(f"--run is {shown(name)}: no run has this ID; history lists the runs.")
    return found


def _of_run(run: Summary, context: Context, templates: Templates) -> tuple[str, str]:
    record = read_whole(run)
    if record is None:
        raise RecordError(f"the steps of the run {shown(run.id)} in {run.path} cannot be read.")
    commands = RecordCommands(context.program).repeat(record)
    return f"run {run.id}", run_page(record, commands, run.path, templates)


def _write(path: Path, data: bytes) -> None:
    """Write the page. Raises InputError."""
    try:
        if path.is_dir():
            raise InputError(f"--out is {shown(str(path))}: it is a folder, give a file's name.")
        replace_file(path, data)
    except OSError as error:
        raise InputError(
            f"--out is {shown(str(path))}: it cannot be written: {reason_of(error)}."
        ) from error
