"""``plan_job`` turns a job and the facts of a checkout into a plan."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.catalogue.devices import needs_of
from ci_sessions.catalogue.differences import differences_for
from ci_sessions.catalogue.exports import job_exports
from ci_sessions.catalogue.questions import QUESTIONS
from ci_sessions.catalogue.setup import cleanup_steps, setup_steps
from ci_sessions.catalogue.table import TABLE, find_row
from ci_sessions.checkout.features import Feature
from ci_sessions.job.variables import (
    CONTINUE_THROUGH_ERROR,
    LD_LIBRARY_PATH,
    LD_PRELOAD,
    OMP_NUM_THREADS,
    PYTORCH_TEST_RERUN_DISABLED_TESTS,
)
from ci_sessions.plan.placeholders import literal
from ci_sessions.plan.plan import Plan, assemble
from ci_sessions.plan.step import Kind, ShellFunction, Step

if TYPE_CHECKING:
    from ci_sessions.catalogue.table import Row
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft, Item

__all__ = ["describe_row", "plan_job"]

_HELPERS = {
    "install_torchcomms": Feature.TORCHCOMMS,
    "install_spmd_types": Feature.SPMD_TYPES,
    "setup_torch_trace": Feature.TORCH_TRACE,
    "collect_tlparse_output": Feature.TORCH_TRACE,
}
_EXTENDED = (LD_PRELOAD, LD_LIBRARY_PATH, OMP_NUM_THREADS)


def plan_job(job: Job, checkout: Checkout) -> Plan:
    """Plan a job. Raises InputError where the script would silently run something else."""
    row = find_row(job)
    differences = differences_for(job)
    # User input is data: a $ in it must not begin a placeholder.
    escaped = replace(job, inputs=job.inputs.mapped(literal))
    plan = Plan(
        job=job,
        row=describe_row(row),
        suites=row.suites,
        env=MappingProxyType(job_exports(escaped, checkout)),
        setup=tuple(setup_steps(escaped, checkout)),
        tests=(),
        cleanup=tuple(cleanup_steps()),
        needs=needs_of(job, row.devices),
        # A run that continues after crashes must not fill the disk.
        drops_core_dumps=job[CONTINUE_THROUGH_ERROR] or job[PYTORCH_TEST_RERUN_DISABLED_TESTS],
        notices=tuple(item.notice for item in differences),
        questions=QUESTIONS,
    )
    drafts = [
        _without_missing_functions(draft, checkout)
        for part in row.parts
        for draft in part(escaped, checkout)
    ]
    before = {variable.name: escaped[variable] for variable in _EXTENDED if escaped[variable]}
    assembled = assemble(plan, drafts, before=before, scripts=checkout.scripts)
    return assembled.mapped(_skip_on_sample) if checkout.is_sample else assembled


def describe_row(row: Row) -> str:
    """Return the row's number in the table and its condition."""
    return f"row {TABLE.index(row) + 1} of {len(TABLE)}: {row.match.text}"


def _without_missing_functions(draft: Draft, checkout: Checkout) -> Draft:
    """Return a test without the steps that need a function which the checkout does not have."""
    items = tuple(item for item in draft.items if _is_helped(item, checkout))
    return draft if len(items) == len(draft.items) else replace(draft, items=items)


def _is_helped(item: Item, checkout: Checkout) -> bool:
    """Return whether the scripts of the checkout have the function that a step calls.

    Older releases lack some, and do without.
    """
    is_call = isinstance(item, Step) and isinstance(item.command, ShellFunction)
    feature = _HELPERS.get(item.argv[0]) if is_call else None  # type: ignore[union-attr]
    return feature is None or checkout.has(feature)


def _skip_on_sample(step: Step) -> Step:
    """Skip installs and checks of torch, which the sample checkout does not have."""
    if step.kind not in (Kind.INSTALL, Kind.PREFLIGHT):
        return step
    return replace(step, skipped="the sample checkout has no torch and installs nothing")
