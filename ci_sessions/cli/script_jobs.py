"""The steps of jobs from the checkout's own script, traced as ``parity`` does.

Plans are for the release that the table of configurations is for. What an older tree runs, only its
own script knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci_sessions.inventory.jobs import ScriptCommand, script_inventory
from ci_sessions.job.environment import process_environment
from ci_sessions.job.job_json import job_variables
from ci_sessions.log import logger
from ci_sessions.parity.pool import Cache, trace_jobs
from ci_sessions.parity.profile import read_profile
from ci_sessions.parity.staging import read_stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.inventory.jobs import JobInventory
    from ci_sessions.inventory.survey import Planner
    from ci_sessions.parity.recording import Recording

__all__ = ["script_planner"]


def script_planner(root: Path, checkout: Checkout) -> Planner:
    """Return a function that traces the script for jobs. Raises CheckoutError without a script."""
    profile = read_profile()
    stage = read_stage(root, checkout.script, profile)
    cache = Cache(process_environment().cache_folder() / "traces")

    def plan(jobs: Sequence[Mapping[str, Any]], run_test: str) -> list[JobInventory]:
        variables = [job_variables(job) for job in jobs]
        recordings = trace_jobs(variables, stage, profile, cache=cache)
        return [
            script_inventory(job, _commands(job, recording), run_test)
            for job, recording in zip(jobs, recordings, strict=True)
        ]

    return plan


def _commands(job: Mapping[str, Any], recording: Recording) -> list[ScriptCommand]:
    if recording.fault is not None:
        logger.warning(
            "%s cannot be traced to its end: %s", job.get("config"), recording.fault.text
        )
    return [
        ScriptCommand(
            argv=one.argv,
            cwd=one.cwd,
            env={name: text for name, text in one.env.items() if text is not None},
            place=one.lines[0].rpartition("/")[2] if one.lines else "script",
        )
        for one in recording.commands
        if one.kind == "test"
    ]
