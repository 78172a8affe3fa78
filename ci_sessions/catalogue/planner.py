"""``plan_job``: from a job and the facts of a checkout to the plan of what it runs."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.catalogue.devices import needs_of
from ci_sessions.catalogue.differences import departures_of
from ci_sessions.catalogue.exports import job_exports
from ci_sessions.catalogue.questions import QUESTIONS
from ci_sessions.catalogue.setup import cleanup_steps, setup_steps
from ci_sessions.catalogue.table import TABLE, find_row
from ci_sessions.job.variables import (
    CONTINUE_THROUGH_ERROR,
    LD_LIBRARY_PATH,
    LD_PRELOAD,
    OMP_NUM_THREADS,
    PYTORCH_TEST_RERUN_DISABLED_TESTS,
)
from ci_sessions.plan.placeholders import literal
from ci_sessions.plan.plan import Plan, assemble
from ci_sessions.plan.step import Kind, Step

if TYPE_CHECKING:
    from ci_sessions.catalogue.table import Row
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job

__all__ = ["describe_row", "plan_job"]

_EXTENDED = (LD_PRELOAD, LD_LIBRARY_PATH, OMP_NUM_THREADS)


def plan_job(job: Job, checkout: Checkout) -> Plan:
    """Plan a job. Raises InputError where the script would silently run something else."""
    found = find_row(job)
    departures = departures_of(job)
    # What a user typed is data: from here on, every text of the job is a template of itself.
    own = replace(job, inputs=job.inputs.mapped(literal))
    plan = Plan(
        job=job,
        row=describe_row(found),
        suites=found.suites,
        env=MappingProxyType(job_exports(own, checkout)),
        setup=tuple(setup_steps(own, checkout)),
        tests=(),
        cleanup=tuple(cleanup_steps()),
        needs=needs_of(job, found.devices),
        # A run that outlives crashes must not fill the disk.
        drops_core_dumps=job[CONTINUE_THROUGH_ERROR] or job[PYTORCH_TEST_RERUN_DISABLED_TESTS],
        notices=tuple(item.notice for item in departures),
        questions=QUESTIONS,
    )
    drafts = [draft for part in found.parts for draft in part(own, checkout)]
    before = {one.name: own[one] for one in _EXTENDED if own[one]}
    whole = assemble(plan, drafts, before=before, scripts=checkout.scripts)
    return whole.mapped(_as_on_the_sample) if checkout.is_sample else whole


def describe_row(found: Row) -> str:
    """Say which row of the table decides, and by which condition."""
    return f"row {TABLE.index(found) + 1} of {len(TABLE)}: {found.match.text}"


def _as_on_the_sample(step: Step) -> Step:
    """Show installs and checks of torch, and run none: the sample checkout has no torch."""
    if step.kind not in (Kind.INSTALL, Kind.PREFLIGHT):
        return step
    return replace(step, skipped="the sample checkout has no torch and installs nothing")
