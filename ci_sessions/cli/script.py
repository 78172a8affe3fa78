"""Runs a job with the checkout's own script.

Here the script is what matters. Records, screen, shadow comparison and log are extras: whatever
fails in them, the script runs exactly once, and its exit code is the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.cli.execution import Execution
from ci_sessions.cli.prepare import PreparedJob
from ci_sessions.errors import CiSessionsError
from ci_sessions.log import logger
from ci_sessions.plan.placeholders import literal
from ci_sessions.plan.plan import Plan, Test, TestKind
from ci_sessions.plan.step import Kind, Program, Step
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Reason, Shadow
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.run import process
from ci_sessions.run.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.cli.options import Context
    from ci_sessions.cli.run import RunOptions
    from ci_sessions.job.job import Job
    from ci_sessions.records.record import RunRecord
    from ci_sessions.records.route import Route, RouteRecord

__all__ = ["ScriptRun"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptRun:
    """One job that its script runs. ``overrides`` are variables that options replace."""

    job: Job
    route: Route
    record: RouteRecord
    checkout: Checkout
    options: RunOptions
    context: Context
    overrides: Mapping[str, str]

    def run(self) -> int:
        """Run the script and return its exit code."""
        try:
            execution = self.execution()
            executor, record = execution.prepare()
        except Exception as error:  # noqa: BLE001 - the script can run without what has failed
            return self.run_plainly(f"{type(error).__name__}: {error}")
        run = execution.execute(executor, record, self.add_shadow)
        if run.outcome is not Outcome.RUNNER_ERROR:
            return run.exit_code or 0
        if not run.has_run_tests:
            return self.run_plainly(run.note)
        code = run.steps[-1].code
        logger.warning("the record of the script is incomplete: %s", run.note)
        return run.exit_code or 0 if code is None else code

    def execution(self) -> Execution:
        """Return the execution of a plan that has the script as its only step."""
        root = self.checkout.root or Path()
        prepared = PreparedJob(
            plan=shell_plan(self.job, self.route, self.overrides),
            checkout=self.checkout,
            machine=Machine(root, self.context.environment.variables),
            environment=self.context.environment,
        )
        return Execution(
            prepared=prepared,
            options=replace(self.options, step_timeout=None),
            context=self.context,
            invocation=None,
            route=self.record,
        )

    def run_plainly(self, reason: str) -> int:
        """Run the script without this package's streams and records."""
        logger.warning("running %s without a record: %s", self.route.script, reason)
        env = {**self.context.environment.variables, **self.overrides}
        self.context.out.drain()
        root = self.checkout.root or Path()
        return process.run_attached([f"./{self.route.script}"], cwd=root, env=env)

    def add_shadow(self, run: RunRecord) -> RunRecord:
        """Add the result of the shadow comparison to the record, if there is to be one."""
        if self.route.reason is not Reason.SHADOW or run.route is None:
            return run
        return replace(run, route=replace(run.route, shadow=self.compare_in_shadow()))

    def compare_in_shadow(self) -> Shadow:
        """Compare the Python plan with the traced script; this never affects the result."""
        start = clock.monotonic()
        try:
            from ci_sessions.cli.parity import compare_one  # noqa: PLC0415 - only a shadow traces

            prepared = self.options.prepare(self.context.environment, with_added=False)
            verdict, detail = compare_one(prepared.plan.job, prepared.checkout)
        except CiSessionsError as error:
            verdict, detail = JobVerdict.NO_PLAN, str(error)
        except Exception as error:  # noqa: BLE001 - a shadow run must not affect the result
            verdict, detail = JobVerdict.ERROR, f"{type(error).__name__}: {error}"
        seconds = round(clock.monotonic() - start, 3)
        found = Shadow(verdict=verdict, detail=detail, seconds=seconds)
        logger.info("shadow: plan and script compared: %s (%.2f s)", found.describe(), seconds)
        return found


def shell_plan(job: Job, route: Route, variables: Mapping[str, str]) -> Plan:
    """Return a plan with one step that runs the checkout's own script."""
    step = Step(
        kind=Kind.TEST,
        command=Program((literal(route.script),)),
        env={name: literal(text) for name, text in variables.items()},
        is_test=True,
        number=1,
    )
    name = Path(route.script).stem.replace("-", "_").replace("test", "test_sh")
    replaces = (route.script,)
    test = Test(name=name, kind=TestKind.REPLACES, steps=(step,), replaces=replaces)
    return Plan(job=job, row=route.describe(), suites=("shell",), env={}, setup=(), tests=(test,))
