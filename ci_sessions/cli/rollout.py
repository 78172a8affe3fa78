"""``rollout``: evidence and a verdict for each configuration; ``--apply`` changes the shares."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.checkout.files import reason_of
from ci_sessions.cli.options import OptionParser, Options, parse_options
from ci_sessions.cli.record_files import record_files
from ci_sessions.errors import InputError, RolloutError
from ci_sessions.gate.evidence import Action, Evidence, collect_evidence, judge, relevant_runs
from ci_sessions.gate.rollout import read_rollout, with_share
from ci_sessions.records.query import read_summaries
from ci_sessions.report.rollout import describe_rollout, rollout_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.cli.options import Context
    from ci_sessions.cli.stdout import Stdout
    from ci_sessions.gate.evidence import Verdict
    from ci_sessions.gate.rollout import Rollout

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class RolloutOptions(Options):
    """The options of ``rollout``."""

    rollout: str | None = None
    records: str | None = None
    json: bool = False
    apply: bool = False

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
        add("--apply", action="store_true", help="change each share by one step if it is due")


def main(argv: Sequence[str], context: Context) -> int:
    """Print the evidence and a verdict for each configuration; with ``--apply``, change the file.

    The exit code is 1 if a rollback is due and was not applied, otherwise 0.
    """
    options = parse_options(RolloutOptions, argv, context)
    path = Path(options.rollout) if options.rollout else None
    rollout = read_rollout(path)
    found = collect_evidence(relevant_runs(read_summaries(record_files(options.records)), rollout))
    evidence = {name: found.get(name, Evidence(name)) for name in rollout.configurations}
    verdicts = {name: judge(item, rollout) for name, item in evidence.items()}
    if options.json:
        data = rollout_to_json(rollout, evidence, verdicts)
        print(json.dumps(data, indent=1), file=context.out)
    else:
        print(describe_rollout(rollout, evidence, verdicts), file=context.out)
    if options.apply:
        return _apply(rollout, verdicts, path, context.out)
    return int(any(item.action is Action.ROLL_BACK for item in verdicts.values()))


def _apply(
    rollout: Rollout, verdicts: Mapping[str, Verdict], path: Path | None, out: Stdout
) -> int:
    """Write the new shares to the rollout file, and print each change."""
    if path is None:
        raise InputError(
            "--apply does not change the bundled file: pass your own with --rollout FILE."
        )
    changed = False
    for config, verdict in verdicts.items():
        share = rollout.configurations[config].share
        if verdict.share != share:
            text = with_share(rollout, config, verdict.share, clock.timestamp())
            rollout = replace(rollout, source=text)
            print(f"applied: {config} {share} % → {verdict.share} % in {path}", file=out)
            changed = True
    if changed:
        try:
            path.write_text(rollout.source, encoding="utf-8")
        except OSError as error:
            raise RolloutError(f"{path} cannot be written: {reason_of(error)}.") from error
    else:
        print("applied: nothing to change", file=out)
    return 0
