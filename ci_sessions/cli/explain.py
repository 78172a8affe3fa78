"""``explain``: why a job runs what it runs, and what another shard or build would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue.explain import explain
from ci_sessions.cli.options import JobGroup, SelectionGroup, parse_options
from ci_sessions.cli.prepare import local_label, prepare
from ci_sessions.report.explanation import describe_explanation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Call

__all__ = ["main"]


def main(words: Sequence[str], call: Call) -> int:
    """Run the verb."""
    options = parse_options(JobGroup, words, call)
    job = options.job_options(default_label=local_label())
    every = SelectionGroup()
    prepared = prepare(job, options.checkout, every, call.environment, with_added=True)
    print(describe_explanation(explain(prepared.plan.job, prepared.checkout)), file=call.out)
    return 0
