"""The commands that repeat a run, from its record alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.checkout.locate import sample_checkout
from ci_sessions.cli.execution import build_invocation
from ci_sessions.cli.program import run_program
from ci_sessions.cli.run import RunOptions
from ci_sessions.errors import CiSessionsError
from ci_sessions.job.job_json import job_from_json, job_variables
from ci_sessions.plan.shell import quote_all
from ci_sessions.records.route import Runner
from ci_sessions.report.repeat import recorded_commands

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.plan.plan import Plan
    from ci_sessions.records.record import RunRecord

__all__ = ["RecordCommands"]


@dataclass(slots=True)
class RecordCommands:
    """Finds the commands for many runs. ``program`` is how ``report`` was called."""

    program: tuple[str, ...]
    _plans: dict[str, Plan | None] = field(default_factory=dict)

    def repeat(self, run: RunRecord) -> Mapping[str, Sequence[str]]:
        """Return the commands that repeat the first failed step; none if the job is not known."""
        if not run.failed_steps:
            return {}
        try:
            if run.runner is Runner.SHELL:
                return _script_command(run)
            plan = self._plan(run.job)
        except CiSessionsError:
            return {}
        if plan is None:
            return {}
        program = run_program(self.program, "report", plan.job.config)
        options = RunOptions(checkout=_checkout(run))
        return recorded_commands(plan, run, build_invocation(program, plan.job, options))

    def _plan(self, job: Mapping[str, Any]) -> Plan | None:
        """Return the plan of a job, as far as commands need it: not for the run's own checkout."""
        key = json.dumps(job, sort_keys=True)
        if key not in self._plans:
            self._plans[key] = None  # if this raises an error
            self._plans[key] = plan_job(job_from_json(dict(job), config_facts), RECORDED)
        return self._plans[key]


def _script_command(run: RunRecord) -> dict[str, list[str]]:
    variables = [f"{name}={value}" for name, value in job_variables(dict(run.job)).items()]
    return {"the script": [f"{quote_all(['env', *variables])} {run.failed_steps[0].command}"]}


def _checkout(run: RunRecord) -> str | None:
    """Return the run's checkout if it is on this machine, and not the sample."""
    path = Path(run.checkout)
    is_here = path.is_absolute() and path.is_dir() and path != sample_checkout()
    return run.checkout if is_here else None
