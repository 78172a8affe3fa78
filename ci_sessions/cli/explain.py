"""``explain``: show which row a job matches, and what another shard or build would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue.explain import explain
from ci_sessions.cli.options import JobGroup, SelectionGroup, parse_options
from ci_sessions.cli.prepare import local_label, prepare_job
from ci_sessions.report.explanation import describe_explanation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Context

__all__ = ["main"]


def main(argv: Sequence[str], context: Context) -> int:
    """Print the explanation of a job."""
    options = parse_options(JobGroup, argv, context)
    job = options.job_options(default_label=local_label())
    everything = SelectionGroup()
    prepared = prepare_job(job, options.checkout, everything, context.environment, with_added=True)
    print(describe_explanation(explain(prepared.plan.job, prepared.checkout)), file=context.out)
    return 0
