"""``dispatch``: what CI calls. Ask the gate, run the route, go back to the shell if it must.

A failed test is a result and never a reason. Python's work is handed back to the shell only when
the runner itself could not do it, only while no test has begun, and only where the script knows the
job; after that a fault of the runner is exit code 70 and nothing is run again.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions import clock
from ci_sessions.catalogue.table import find_row
from ci_sessions.checkout.checkout import Checkout, locate_scripts
from ci_sessions.checkout.locate import find_checkout
from ci_sessions.cli.options import OptionParser, parse_options
from ci_sessions.cli.plan import show_plan
from ci_sessions.cli.prepare import Prepared, local_label
from ci_sessions.cli.run import RunOptions, check_run, execute, invocation_of
from ci_sessions.errors import CiSessionsError, InputError, InternalError
from ci_sessions.gate.gate import Flag, choose, read_flag
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.job import variables as v
from ci_sessions.job.build_environment import BuildEnvironment
from ci_sessions.job.job import Job, JobOptions, read_job
from ci_sessions.log import logger
from ci_sessions.plan.placeholders import literal
from ci_sessions.plan.plan import Plan, Test, TestKind
from ci_sessions.plan.step import Kind, Program, Step
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Attempt, Fallback, Reason, Route, Runner, Shadow
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.run.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.cli.options import Call
    from ci_sessions.job.environment import Environment

__all__ = ["main", "shell_plan"]


@dataclass(frozen=True, kw_only=True)
class DispatchOptions(RunOptions):
    """The options of ``dispatch``."""

    rollout: str | None = None

    @classmethod
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add the option of the gate."""
        add = parser.add_argument_group("the gate").add_argument
        add("--rollout", metavar="FILE", help="the roll-out file (else the one that is shipped)")


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why Python could not run the job."""

    code: str
    message: str
    trace: str = ""


def main(words: Sequence[str], call: Call) -> int:
    """Run the job that the environment names, in Python or by the shell, as the gate says.

    Raises InputError for a flag that says nothing known, and for a roll-out file that cannot be
    read when nothing may fall back; with a fallback the shell runs and the record says why.
    """
    environment = call.environment
    options = parse_options(DispatchOptions, words, call)
    try:
        flag = read_flag(environment[v.USE_PYTHON_TEST_RUNNER])
    except InputError:
        _take_over(environment)  # it is the caller's to mend, not to run past
        raise
    checkout = locate_scripts(find_checkout(options.checkout, Path.cwd()))
    named = options.job_options(keep_going=options.keep_going, default_label=local_label())
    job = _lenient_job(environment, named)
    path = Path(options.rollout) if options.rollout else None
    is_native, no_fallback = find_row(job).native, environment[v.NO_SHELL_FALLBACK]
    fault: _Fault | None = None
    try:
        route = choose(
            job,
            checkout,
            flag,
            lambda: read_rollout(path),
            is_native=is_native,
            no_fallback=no_fallback,
        )
    except InputError as error:
        if no_fallback:
            raise
        logger.warning("falling back to the shell: %s", error)
        route = choose(job, checkout, Flag.OFF, read_rollout)
        fault = _Fault(error.reference, str(error))
    logger.info("%s: %s", job.config or f"no {v.TEST_CONFIG.name}", route.describe())
    one = _Dispatch(
        options=options, call=call, named=named, job=job, checkout=checkout, route=route
    )
    if options.dry_run:
        return one.show()
    _take_over(environment)
    return one.run(fault)


def _take_over(environment: Environment) -> None:
    """Leave the mark that tells a caller not to run the script itself."""
    if marker := environment[v.CI_SESSIONS_STARTED]:
        Path(marker).touch()


def _lenient_job(environment: Environment, options: JobOptions) -> Job:
    """Read a job for the gate; what is wrong with it is for the runner to say, or the script."""
    try:
        return read_job(environment, options)
    except InputError:
        config = options.config or environment[v.TEST_CONFIG]
        label = options.build_environment or environment[v.BUILD_ENVIRONMENT]
        return Job(config=config, build=BuildEnvironment.parse(label))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Dispatch:
    """One job on its way. ``named`` is what the options say of it."""

    options: DispatchOptions
    call: Call
    named: JobOptions
    job: Job
    checkout: Checkout
    route: Route

    def run(self, fault: _Fault | None) -> int:
        """Run the route; ``fault`` is what kept the gate from deciding, if anything did."""
        if fault is not None:
            return self.shell(self.fallback(fault))
        if self.route.runner is Runner.SHELL:
            shadow = self.shadow() if self.route.reason is Reason.SHADOW else None
            return self.shell(self.attempt(shadow=shadow))
        result = self.python()
        if isinstance(result, int):
            return result
        if not self.route.may_fall_back:
            why = self.no_way_back()
            logger.error("%s, and %s: %s", result.code, why, result.message)
            raise InternalError(f"Python could not run the job, and {why}: {result.message}")
        logger.warning("falling back to the shell: %s: %s", result.code, result.message)
        return self.shell(self.fallback(result))

    def no_way_back(self) -> str:
        if self.route.reason is Reason.NATIVE:
            return f"the script does not know {self.job.config}"
        return f"{v.NO_SHELL_FALLBACK.name}=1"

    def show(self) -> int:
        """Print the route, and the plan of it; run nothing."""
        out, options = self.call.out, self.options
        print(f"route: {self.route.describe()}", file=out)
        if self.route.runner is Runner.PYTHON:
            prepared = options.prepared(self.call.environment, with_added=False)
            return show_plan(prepared, out, as_json=options.json, as_script=options.shell)
        print(f"  {self.route.script}", file=out)
        return 0

    def attempt(self, shadow: Shadow | None = None) -> Attempt:
        """Return what a record says of the route."""
        environment = self.call.environment
        return Attempt(
            runner=self.route.runner,
            intended=self.route.runner,
            reason=self.route.reason,
            detail=self.route.detail,
            phase=self.route.phase,
            commit=environment[v.SHA1] or environment[v.GITHUB_SHA],
            is_partial=bool(self.options.test),
            shadow=shadow,
        )

    def fallback(self, fault: _Fault) -> Attempt:
        """Return what a record says of a job that Python should have run, and could not."""
        return replace(
            self.attempt(),
            runner=Runner.SHELL,
            intended=Runner.PYTHON,
            fallback=fault.code,
            error=fault.message,
            trace=fault.trace,
        )

    def python(self) -> int | _Fault:
        """Run in Python; return an exit code, or the fault that kept it from a first test."""
        try:
            prepared = self.options.prepared(self.call.environment, with_added=False)
            check_run(prepared, self.options)
        except CiSessionsError as error:
            return _Fault(error.reference, str(error), traceback.format_exc())
        except Exception as error:  # noqa: BLE001 - whatever is wrong with us, the script can run
            message = f"{type(error).__name__}: {error}"
            return _Fault(Fallback.BUG, message, traceback.format_exc())
        program = ("nox", "-s", f"ci(config={self.job.config!r})", "--")
        invocation = invocation_of(program, prepared.plan.job, self.options)
        try:
            run = execute(
                prepared,
                self.options,
                self.call.out,
                invocation=invocation,
                route=self.attempt(),
            )
        except CiSessionsError:
            raise
        except Exception as error:
            # Whether a test has begun is not known any more, so nothing may run again.
            raise InternalError(f"{type(error).__name__}: {error}") from error
        if run.outcome is Outcome.RUNNER_ERROR and not run.has_tested:
            return _Fault(Fallback.BUG_IN_RUN, run.note)
        return run.exit_code or 0

    def shell(self, route: Attempt) -> int:
        """Run the checkout's own script, its environment untouched but for what options say."""
        environment = self.call.environment
        root = find_checkout(self.options.checkout, Path.cwd())
        plan = shell_plan(self.job, self.route, self.overrides())
        prepared = Prepared(
            plan=plan,
            checkout=self.checkout,
            machine=Machine(root, environment.texts),
            environment=environment,
        )
        options = replace(self.options, step_timeout=None)
        run = execute(prepared, options, self.call.out, invocation=None, route=route)
        return run.exit_code or 0

    def overrides(self) -> dict[str, str]:
        """Return the variables that options replace."""
        texts = self.job.variables()
        shard = self.named.shard is not None
        said: dict[v.Variable[Any], bool] = {
            v.TEST_CONFIG: self.named.config is not None,
            v.BUILD_ENVIRONMENT: self.named.build_environment is not None,
            v.SHARD_NUMBER: shard,
            v.NUM_TEST_SHARDS: shard,
        }
        return {one.name: texts[one.name] for one, is_said in said.items() if is_said}

    def shadow(self) -> Shadow:
        """Compare the Python plan with the script, traced; never let it change the result."""
        began = clock.seconds()
        try:
            from ci_sessions.cli.parity import compare_one  # noqa: PLC0415 - only a shadow traces

            prepared = self.options.prepared(self.call.environment, with_added=False)
            verdict, detail = compare_one(prepared.plan.job, prepared.checkout)
        except CiSessionsError as error:
            verdict, detail = JobVerdict.NO_PLAN, str(error)
        except Exception as error:  # noqa: BLE001 - a shadow has no say
            verdict, detail = JobVerdict.ERROR, f"{type(error).__name__}: {error}"
        seconds = round(clock.seconds() - began, 3)
        found = Shadow(verdict=verdict, detail=detail, seconds=seconds)
        logger.info("shadow: the Python plan: %s (%.2f s)", found.describe(), seconds)
        return found


def shell_plan(job: Job, route: Route, variables: Mapping[str, str]) -> Plan:
    """Return the one-step plan around the checkout's own script."""
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
