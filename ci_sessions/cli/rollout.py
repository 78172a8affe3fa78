"""``rollout``: evidence and a verdict for each configuration; options change the shares."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.cli.options import OptionParser, Options, parse_options
from ci_sessions.cli.record_files import read_runs
from ci_sessions.cli.rollout_commands import RolloutCommands
from ci_sessions.cli.rollout_file import apply_verdicts, open_phase
from ci_sessions.gate.evidence import judged_evidence
from ci_sessions.gate.forecast import forecast, measure_pace
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.gate.verdict import Action, judge
from ci_sessions.records.run_list import RunList
from ci_sessions.report.rollout import describe_rollout
from ci_sessions.report.rollout_json import plan_to_json, rollout_to_json
from ci_sessions.report.rollout_plan import describe_plan
from ci_sessions.text import for_json, for_log, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ci_sessions.cli.options import Context
    from ci_sessions.gate.evidence import Evidence
    from ci_sessions.gate.rollout import Rollout
    from ci_sessions.records.query import Summary

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class RolloutOptions(Options):
    """The options of ``rollout``."""

    rollout: str | None = None
    records: str | None = None
    json: bool = False
    plan: bool = False
    runs_per_day: float | None = None
    pairs_per_day: float | None = None
    apply: bool = False
    open: str | None = None

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options."""
        add = parser.add_argument
        add("--rollout", metavar="FILE", help="rollout file (default: the bundled one)")
        add(
            "--records",
            metavar="DIR",
            help="folder with records, or a glob pattern of files (default: the records of the "
            "checkout that contains the current folder)",
        )
        add("--json", action="store_true", help="print JSON")
        add("--plan", action="store_true", help="print the runs and days that each step takes")
        for what in ("runs", "pairs"):
            text = f"{what} of each configuration a day, for --plan (default: as in the records)"
            add(f"--{what}-per-day", type=_rate, metavar="N", help=text)
        change = parser.add_mutually_exclusive_group()
        change.add_argument(
            "--apply", action="store_true", help="change each share by one step if it is due"
        )
        change.add_argument("--open", metavar="PHASE", help="open a phase, if it is due")


def _rate(text: str) -> float:
    """Parse a number of runs a day."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number from 0 to 999,999")
    return float(text)


def main(argv: Sequence[str], context: Context) -> int:
    """Print the evidence and a verdict for each configuration, or change the rollout file.

    The exit code is 1 if a rollback is due and was not applied, otherwise 0.
    """
    options = parse_options(RolloutOptions, argv, context)
    path = Path(options.rollout) if options.rollout else None
    rollout = read_rollout(path)
    if options.open is not None:
        open_phase(rollout, options.open, path, context.out)
        return 0
    runs: dict[str, RunList] = defaultdict(RunList)
    read = read_runs(options.records)
    evidence = judged_evidence(_keep(read, runs) if options.plan else read, rollout)
    if options.plan:
        _print_plan(rollout, evidence, runs, options, context)
        return 0
    verdicts = {name: judge(item, rollout) for name, item in evidence.items()}
    type_next = RolloutCommands(
        program=context.program, rollout=options.rollout, records=options.records
    )
    commands = {
        name: type_next.after(verdict, evidence[name], rollout.configurations[name])
        for name, verdict in verdicts.items()
    }
    if options.json:
        data = rollout_to_json(rollout, evidence, verdicts, commands)
        print(for_json(context.redact.fields(data), indent=1), file=context.out)
    else:
        text = describe_rollout(rollout, evidence, verdicts, commands)
        print(for_log(context.redact(text)), file=context.out)
    if options.apply:
        apply_verdicts(rollout, verdicts, path, context.out)
        return 0
    return int(any(item.action is Action.ROLL_BACK for item in verdicts.values()))


def _keep(runs: Iterable[Summary], kept: dict[str, RunList]) -> Iterator[Summary]:
    """Yield runs and keep them by configuration, also those that do not count any more."""
    for run in runs:
        kept[run.config].append(run)
        yield run


def _print_plan(
    rollout: Rollout,
    evidence: Mapping[str, Evidence],
    runs: Mapping[str, RunList],
    options: RolloutOptions,
    context: Context,
) -> None:
    """Print the forecast. A rate that is given replaces the one in the records."""
    given = {"runs": options.runs_per_day, "pairs": options.pairs_per_day}
    changes = {name: value for name, value in given.items() if value is not None}
    paces = {name: measure_pace(runs.get(name, ())) for name in evidence}
    if changes:
        paces = {name: replace(pace, **changes, days=0.0) for name, pace in paces.items()}
    plans = {name: forecast(item, rollout, paces[name]) for name, item in evidence.items()}
    if options.json:
        print(for_json(plan_to_json(paces, plans), indent=1), file=context.out)
    else:
        print(for_log(context.redact(describe_plan(rollout, paces, plans))), file=context.out)
