"""The jobs that ``parity`` compares: from a file, from options, or from the workflows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci_sessions.catalogue.table import find_row, listed_configs
from ci_sessions.cli.prepare import local_label, read_job_file, read_known_job
from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.gate.gate import Flag, choose
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.github.workflows import Schedule, file_name, read_schedule, workflow_files
from ci_sessions.job.job_json import job_from_json, job_to_json, job_variables, merge_jobs
from ci_sessions.job.variables import TEST_CONFIG
from ci_sessions.log import logger
from ci_sessions.parity.revision import files_at
from ci_sessions.parity.schedule import JobInEnvironments
from ci_sessions.parity.verdict import JobComparison
from ci_sessions.records.route import Reason, Runner
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.cli.parity import ParityOptions
    from ci_sessions.job.environment import Environment
    from ci_sessions.records.route import Route

__all__ = ["Selection", "earlier_jobs", "other_script", "root_of", "select_jobs"]

_WORKFLOWS = ".github/workflows"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The selected jobs, and those of the workflows that cannot be read.

    ``workflow`` is the file name of the only workflow that counts, if one was given;
    ``is_scheduled`` is whether the jobs come from workflows.
    """

    jobs: list[JobInEnvironments]
    faults: tuple[JobComparison, ...] = ()
    workflow: str | None = None
    is_scheduled: bool = False


def select_jobs(options: ParityOptions, environment: Environment, checkout: Checkout) -> Selection:
    """Return the selected jobs: those in a file, a single one, or all that are scheduled."""
    if options.jobs is not None:
        return _plain(merge_jobs(_check_jobs(read_job_file(options.jobs))))
    if options.config is not None or environment[TEST_CONFIG]:
        given = options.job_options(default_label=local_label())
        return _plain([job_to_json(read_known_job(environment, given))])
    if checkout.is_sample:
        label = options.build_environment or "linux-jammy-py3.10-gcc11"
        return _plain(
            [
                {"build_environment": label, "config": config, "shard": 1, "num_shards": 1}
                for config in listed_configs()
            ]
        )
    name = None if options.workflow is None else file_name(options.workflow)
    schedule = read_schedule(workflow_files(root_of(checkout)), checkout.script, name)
    jobs = _jobs_of(schedule, name)
    if name is not None and not jobs and not schedule.faults:
        known = sorted({workflow for job in schedule.jobs for workflow in job["workflows"]})
        raise InputError(
            f"--workflow is {shown(options.workflow)}, but no such workflow runs "
            f"{checkout.script}: choose from {', '.join(known)}."
        )
    faults = tuple(_fault(**fault) for fault in schedule.faults)
    return Selection(jobs=jobs, faults=faults, workflow=name, is_scheduled=True)


def earlier_jobs(selection: Selection, checkout: Checkout, revision: str) -> Selection:
    """Return the jobs that the workflows of a revision schedule, selected in the same way.

    Jobs that do not come from workflows are the same at any revision.
    """
    if not selection.is_scheduled:
        return selection
    try:
        files = files_at(root_of(checkout), revision, _WORKFLOWS)
    except CheckoutError as error:
        logger.warning("only the script is compared, not the workflows: %s", error)
        return selection
    workflows = {
        path.rpartition("/")[2]: data
        for path, data in sorted(files.items())
        if path.endswith((".yml", ".yaml")) and path.count("/") == _WORKFLOWS.count("/") + 1
    }
    schedule = read_schedule(workflows, checkout.script, selection.workflow)
    return Selection(jobs=_jobs_of(schedule, selection.workflow), is_scheduled=True)


def _plain(jobs: Sequence[dict[str, Any]]) -> Selection:
    return Selection(jobs=[JobInEnvironments(job) for job in jobs])


def _jobs_of(schedule: Schedule, workflow: str | None) -> list[JobInEnvironments]:
    return [
        JobInEnvironments.from_schedule(job, workflow)
        for job in schedule.jobs
        if workflow is None or workflow in job["workflows"]
    ]


def _fault(workflow: str, job: str, reason: str) -> JobComparison:
    return JobComparison(
        job={"config": "", "workflows": [workflow]},
        label=f"job {job} of {workflow}",
        verdict=JobVerdict.ERROR,
        reason=reason,
    )


def _check_jobs(jobs: Sequence[Any]) -> list[dict[str, Any]]:
    for job in jobs:
        if isinstance(job, InputError):
            raise job
        job_variables(job)
    return list(jobs)


def root_of(checkout: Checkout) -> Path:
    """Return a checkout's root. Raises CheckoutError if it has none."""
    if checkout.root is None:  # pragma: no cover - only the recorded checkout has no root
        raise CheckoutError("the recorded checkout has no script to trace.")
    return checkout.root


def other_script(data: dict[str, Any], checkout: Checkout) -> JobComparison | None:
    """Return the result for a job that CI runs with another script; None if it runs test.sh."""
    route = _find_route(data, checkout)
    if route is None or (route.script == checkout.script and route.runner is Runner.SHELL):
        return None
    reason = f"CI runs {route.script} for it"
    if route.reason is Reason.NATIVE:
        reason = "the configuration exists only in ci_sessions"
    return JobComparison(job=data, verdict=JobVerdict.OTHER_SCRIPT, reason=reason)


def _find_route(data: dict[str, Any], checkout: Checkout) -> Route | None:
    try:
        job = job_from_json(data)
    except InputError:  # planning the job reports the error
        return None
    return choose(job, checkout, Flag.OFF, read_rollout, is_native=find_row(job).native)
