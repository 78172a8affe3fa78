"""``audit``: find tests that no scheduled job runs, and what else is wrong with the selection.

With ``--baseline``, the exit code is 1 if there is something that the baseline does not accept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.cli.inventories import InventoryGroup, take_survey, write_result
from ci_sessions.cli.options import OptionParser, integer, parse_options
from ci_sessions.inventory.audit import audit, files_per_config
from ci_sessions.inventory.baseline import read_baseline, write_baseline
from ci_sessions.inventory.reasons import reasons
from ci_sessions.report.audit import Verdict, audit_to_json, describe_audit
from ci_sessions.text import for_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Context

__all__ = ["main"]

_MOST_CONFIGS = 8


@dataclass(frozen=True, kw_only=True)
class AuditOptions(InventoryGroup):
    """The options of ``audit``."""

    baseline: str | None = None
    write_baseline: str | None = None
    most_configs: int = _MOST_CONFIGS
    every: bool = False

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options."""
        add = parser.add_argument
        add("--baseline", metavar="FILE", help="accepted findings: exit code 1 for any other")
        add("--write-baseline", metavar="FILE", help="write a file that accepts all findings")
        add(
            "--most-configs",
            type=integer(1),
            metavar="N",
            help="report files that run in more than N configurations of one build "
            f"(default: {_MOST_CONFIGS})",
        )
        add("--every", action="store_true", help="show long lists whole, and accepted findings")


def main(argv: Sequence[str], context: Context) -> int:
    """Print the findings."""
    options = parse_options(AuditOptions, argv, context)
    baseline = None if options.baseline is None else read_baseline(Path(options.baseline))
    with take_survey(options) as survey:
        found = audit(
            survey.jobs,
            survey.tree.test_files,
            lambda files: reasons(files, survey),
            options.most_configs,
        )
        files = files_per_config(survey.jobs)
    if options.write_baseline is not None:
        write_result(
            "--write-baseline",
            options.write_baseline,
            write_baseline(found, files, clock.now().date()),
        )
    verdict = Verdict.of(found, baseline, files)
    if options.json:
        data = context.redact.fields(audit_to_json(verdict))
        print(for_json(data, indent=1), file=context.out)
    else:
        print(context.redact(describe_audit(verdict, every=options.every)), file=context.out)
    return int(verdict.has_news)
