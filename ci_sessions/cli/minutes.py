"""How long the steps of a planned job take, as the checkout's run_test.py estimates it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.inventory.cache import AnswerCache
from ci_sessions.inventory.estimate import Estimate
from ci_sessions.inventory.recorded import RecordedTimes
from ci_sessions.inventory.survey import survey
from ci_sessions.job.job_json import job_to_json
from ci_sessions.records.folder import records_folder
from ci_sessions.records.store import read_runs

if TYPE_CHECKING:
    from ci_sessions.cli.prepare import PreparedJob

__all__ = ["minutes_of"]


def minutes_of(prepared: PreparedJob, times: str | None) -> Estimate:
    """Return the estimate for a job. Raises CheckoutError without run_test.py."""
    folder = records_folder(None, prepared.root)
    recorded = RecordedTimes(read_runs(folder))
    file = None if times is None else Path(times)
    jobs = [job_to_json(prepared.plan.job)]
    with survey(prepared.root, prepared.checkout, jobs, file, AnswerCache(folder)) as found:
        selected = {(test.name, step.number) for test in prepared.plan.tests for step in test.steps}
        steps = [s for s in found.jobs[0].steps if (s.test, s.number) in selected]
        return Estimate.of(found.jobs[0], steps, recorded.minutes)
