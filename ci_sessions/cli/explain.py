"""``explain``: show which row a job matches, and what another shard or build would change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.catalogue.explain import explain
from ci_sessions.cli.options import (
    JobGroup,
    MinutesGroup,
    OptionParser,
    SelectionGroup,
    parse_options,
)
from ci_sessions.cli.plan import estimate
from ci_sessions.cli.prepare import local_label, prepare_job
from ci_sessions.report.explanation import STRUCTURE, describe_explanation, explanation_to_json
from ci_sessions.text import for_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Context

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(MinutesGroup, JobGroup):
    """The options of ``explain``."""

    json: bool = False

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the option for the output."""
        output = parser.add_argument_group("output")
        output.add_argument("--json", action="store_true", help="print JSON")


def main(argv: Sequence[str], context: Context) -> int:
    """Print the explanation of a job."""
    options = parse_options(ExplainOptions, argv, context)
    job = options.job_options(default_label=local_label())
    everything = SelectionGroup()
    prepared = prepare_job(job, options.checkout, everything, context.environment, with_added=True)
    found = explain(prepared.plan.job, prepared.checkout)
    minutes = estimate(prepared, options)
    if options.json:
        extra = {"minutes": minutes.to_dict()} if minutes else {}
        data = context.redact.fields({**explanation_to_json(found), **extra}, STRUCTURE)
        print(for_json(data, indent=1), file=context.out)
    else:
        print(describe_explanation(found), file=context.out)
        if minutes:
            print(context.redact(minutes.describe()), file=context.out)
    return 0
