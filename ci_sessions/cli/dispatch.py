"""``dispatch``: what CI calls. Ask the gate, run the route, go back to the shell if it must.

A failed test is a result and never a reason. Python's work is handed back to the shell only when
the runner itself could not do it, and only while no test has begun; after that a fault of the
runner is exit code 70 and nothing is run again.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ci_sessions import clock
from ci_sessions.checkout.checkout import Checkout, find_checkout, look_at
from ci_sessions.cli.commands import Prepared, execute, prepare_run, show_plan, with_options
from ci_sessions.cli.parity import shadow_of
from ci_sessions.errors import CheckoutError, CiSessionsError, InputError, InternalError
from ci_sessions.gate.gate import FLAG, Flag, Route, Runner, choose, read_flag
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.job.build_environment import BuildEnvironment
from ci_sessions.job.environment import Environment, process_environment
from ci_sessions.job.job import Job, Shard
from ci_sessions.log import logger
from ci_sessions.plan.plan import Kind, Plan, Step, Test
from ci_sessions.records.record import Outcome
from ci_sessions.report.parity import describe_job
from ci_sessions.run.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_sessions.cli.options import Options

__all__ = ["MARKER", "dispatch_job", "shell_plan"]

MARKER = "CI_SESSIONS_STARTED"
"""Names a file that is made once dispatch has taken the job over: a caller that finds none after a
failure knows that nothing has run, and calls the script itself."""

BUG_IN_RUN = "bug-in-run"
"""A fallback whose Python attempt left a record of its own."""

_NAMES = ("TEST_CONFIG", "BUILD_ENVIRONMENT", "SHARD_NUMBER", "NUM_TEST_SHARDS")


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why Python could not run the job."""

    reason: str
    message: str
    trace: str = ""


@dataclass(slots=True)
class _Dispatch:
    options: Options
    out: TextIO
    environment: Environment
    job: Job
    checkout: Checkout
    route: Route
    more: Mapping[str, str]  # what else the record says of the route

    def run(self) -> int:
        if self.route.runner is Runner.SHELL:
            shadow = self.shadow() if self.route.reason == "shadow" else {}
            return self.shell(self.details(**shadow))
        fault = self.python()
        if isinstance(fault, int):
            return fault
        if not self.route.may_fall_back:
            logger.error("%s, and NO_SHELL_FALLBACK=1: %s", fault.reason, fault.message)
            raise InternalError(f"Python could not run the job: {fault.message}")
        logger.warning("falling back to the shell: %s: %s", fault.reason, fault.message)
        return self.shell(
            self.details(
                runner="shell", fallback=fault.reason, error=fault.message, trace=fault.trace
            )
        )

    def show(self) -> int:
        """Print the route, and the plan of it; run nothing."""
        print(f"route: {self.route.describe()}", file=self.out)
        if self.route.runner is Runner.PYTHON:
            return show_plan(self.options, self.out, self.environment)
        print(f"  {self.route.script}", file=self.out)
        return 0

    def details(self, **more: str | float) -> dict[str, Any]:
        """Return what a record says of the route."""
        return {
            "runner": str(self.route.runner),
            "intended": str(self.route.runner),
            "reason": str(self.route.reason),
            "detail": self.route.detail,
            "phase": self.route.phase,
            "is_partial": bool(self.options.test),
            "commit": self.environment.get("SHA1") or self.environment.get("GITHUB_SHA"),
            **self.more,
            **more,
        }

    def python(self) -> int | _Fault:
        """Run in Python; return an exit code, or the fault that kept it from a first test."""
        try:
            prepared = prepare_run(self.options, self.environment)
        except CiSessionsError as error:
            return _Fault(error.reference, str(error), traceback.format_exc())
        except Exception as error:  # noqa: BLE001 - whatever is wrong with us, the script can run
            return _Fault("bug", f"{type(error).__name__}: {error}", traceback.format_exc())
        repeat = ("nox", "-s", f"ci(config={self.job.config!r})", "--")
        try:
            run, has_tested = execute(
                prepared, self.options, self.out, repeat=repeat, route=self.details()
            )
        except CiSessionsError:
            raise
        except Exception as error:
            # Whether a test has begun is not known any more, so nothing may run again.
            raise InternalError(f"{type(error).__name__}: {error}") from error
        if run.outcome is Outcome.RUNNER_ERROR and not has_tested:
            return _Fault(BUG_IN_RUN, run.note)
        return run.exit_code or 0

    def shell(self, details: Mapping[str, Any]) -> int:
        """Run the checkout's own script, its environment untouched."""
        asked = with_options(self.environment, self.options)
        own = {name: asked.get(name) for name in _NAMES if asked.source(name).startswith("--")}
        machine = Machine(_root(self.checkout), self.environment.as_variables())
        plan = shell_plan(self.job, self.route, own)
        prepared = Prepared(plan, self.checkout, machine, self.environment)
        options = replace(self.options, step_timeout=None)
        run, _ = execute(prepared, options, self.out, repeat=(), route=details)
        return run.exit_code or 0

    def shadow(self) -> dict[str, str | float]:
        """Compare the Python plan with the script, traced; never let it change the result."""
        began = clock.seconds()
        try:
            prepared = prepare_run(replace(self.options, hardware_check=False), self.environment)
            proof = shadow_of(prepared.plan.job, prepared.checkout, prepared.environment)
            found = proof.standing.value
            if proof.standing.is_bad:
                found += f": {describe_job(proof)}"
        except Exception as error:  # noqa: BLE001 - a shadow has no say
            found = f"{type(error).__name__}: {error}"
        took = clock.seconds() - began
        logger.info("shadow: the Python plan: %s (%.2f s)", found, took)
        return {"shadow": found, "shadow_seconds": round(took, 3)}


def shell_plan(job: Job, route: Route, variables: Mapping[str, str]) -> Plan:
    """Return the one-step plan around the checkout's own script."""
    step = Step(kind=Kind.TEST, argv=(route.script,), env=dict(variables))
    name = Path(route.script).stem.replace("-", "_").replace("test", "test_sh")
    return Plan(
        job=job,
        row=route.describe(),
        suite="shell",
        phase=route.phase,
        env={},
        setup=(),
        tests=(Test(name=name, items=(step,), replaces=(route.script,)),),
    )


def _root(checkout: Checkout) -> Path:
    if checkout.root is None:  # pragma: no cover - only the recorded checkout has none
        raise CheckoutError("a recorded checkout cannot be run.")
    return checkout.root


def dispatch_job(options: Options, out: TextIO, environment: Environment | None = None) -> int:
    """Run the job that the environment names, in Python or by the shell, as the gate says.

    Raises InputError for a flag that says nothing known, and for a roll-out file that cannot be
    read when nothing may fall back; with a fallback the shell runs and the record says why.
    """
    environment = environment or process_environment()
    try:
        flag = read_flag(environment.get(FLAG))
    except InputError:
        _take_over(environment)  # it is the caller's to mend, not to run past
        raise
    no_fallback = environment.get("NO_SHELL_FALLBACK") == "1"
    checkout = look_at(find_checkout(options.checkout, Path.cwd()))
    job = _lenient_job(with_options(environment, options))
    path = Path(options.rollout) if options.rollout else None
    more: dict[str, str] = {}
    try:
        route = choose(job, checkout, flag, lambda: read_rollout(path), no_fallback=no_fallback)
    except InputError as error:
        if no_fallback:
            raise
        logger.warning("falling back to the shell: %s", error)
        route = choose(job, checkout, Flag.OFF, read_rollout)
        more = {"intended": "python", "fallback": error.reference, "error": str(error)}
    logger.info("%s: %s", job.config or "no TEST_CONFIG", route.describe())
    one = _Dispatch(options, out, environment, job, checkout, route, more)
    if options.dry_run:
        return one.show()
    _take_over(environment)
    return one.run()


def _take_over(environment: Environment) -> None:
    """Leave the mark that tells a caller not to run the script itself."""
    if marker := environment.get(MARKER):
        Path(marker).touch()


def _lenient_job(environment: Environment) -> Job:
    """Read a job for the gate; what is wrong with it is for the runner to say, or the script."""
    try:
        return Job.from_environment(environment)
    except InputError:
        build = BuildEnvironment.parse(environment.get("BUILD_ENVIRONMENT"))
        return Job(config=environment.get("TEST_CONFIG"), build=build, shard=Shard())
