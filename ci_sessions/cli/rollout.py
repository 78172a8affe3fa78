"""``rollout``: what the records say of each phase, with verdicts; ``--apply`` takes one step."""

from __future__ import annotations

import glob
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ci_sessions import clock
from ci_sessions.cli.options import OptionParser, Options, parse_options
from ci_sessions.errors import InputError
from ci_sessions.gate.evidence import Action, Evidence, collect, judge, relevant
from ci_sessions.gate.rollout import read_rollout, with_share
from ci_sessions.records.query import read_summaries
from ci_sessions.records.store import FOLDER
from ci_sessions.report.rollout import describe_rollout, rollout_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.cli.options import Call
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
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add the options."""
        add = parser.add_argument
        add("--rollout", metavar="FILE", help="the roll-out file (else the one that is shipped)")
        add("--records", metavar="DIR", help="a folder of records, or a pattern of their files")
        add("--json", action="store_true", help="print JSON")
        add("--apply", action="store_true", help="change the file by one step")


def main(words: Sequence[str], call: Call) -> int:
    """Print the evidence and a verdict for each configuration; with ``--apply``, take one step.

    The exit code is 1 when a roll-back is due (and was not applied), else 0.
    """
    options = parse_options(RolloutOptions, words, call)
    path = Path(options.rollout) if options.rollout else None
    rollout = read_rollout(path)
    found = collect(relevant(read_summaries(_record_files(options.records)), rollout))
    evidence = {name: found.get(name, Evidence(name)) for name in rollout.configurations}
    verdicts = {name: judge(item, rollout) for name, item in evidence.items()}
    if options.json:
        data = rollout_to_json(rollout, evidence, verdicts)
        print(json.dumps(data, indent=1), file=call.out)
    else:
        print(describe_rollout(rollout, evidence, verdicts), file=call.out)
    if options.apply:
        return _apply(rollout, verdicts, path, call.out)
    return int(any(item.action is Action.ROLL_BACK for item in verdicts.values()))


def _record_files(named: str | None) -> list[Path]:
    """Return the record files below a folder, or that a pattern such as ``a/**/*.jsonl`` names."""
    if named is None:
        named = FOLDER
    if any(char in named for char in "*?["):
        return [Path(name) for name in sorted(glob.glob(named, recursive=True))]  # noqa: PTH207 - Path.glob takes no absolute pattern
    return sorted(Path(named).rglob("*.jsonl"))


def _apply(
    rollout: Rollout, verdicts: Mapping[str, Verdict], path: Path | None, out: TextIO
) -> int:
    """Write the shares that the verdicts lead to, one step each, and say what was done."""
    if path is None:
        raise InputError("--apply changes a file: name yours with --rollout FILE.")
    changed = False
    for config, verdict in verdicts.items():
        share = rollout.configurations[config].share
        if verdict.share != share:
            text = with_share(rollout, config, verdict.share, clock.stamp())
            rollout = replace(rollout, source=text)
            print(f"applied: {config} {share} % → {verdict.share} % in {path}", file=out)
            changed = True
    if changed:
        path.write_text(rollout.source, encoding="utf-8")
    else:
        print("applied: nothing to change", file=out)
    return 0
