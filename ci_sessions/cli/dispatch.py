"""``dispatch``: the command that CI calls. It asks the gate how to run the job, and runs it.

If Python cannot run a job, it falls back to the script, but only if the runner itself failed, no
test has started, and the script knows the job. A failed test never causes a fallback. If the runner
fails after a test has started, the exit code is 70, and nothing runs again.
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
from ci_sessions.cli.prepare import PreparedJob, local_label
from ci_sessions.cli.run import RunOptions, build_invocation, check_run, execute
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
from ci_sessions.records.route import Fallback, Reason, Route, RouteRecord, Runner, Shadow
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.run.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.cli.options import Context
    from ci_sessions.job.environment import Environment

__all__ = ["main", "shell_plan"]


@dataclass(frozen=True, kw_only=True)
class DispatchOptions(RunOptions):
    """The options of ``dispatch``."""

    rollout: str | None = None

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the option for the gate."""
        add = parser.add_argument_group("gate").add_argument
        add("--rollout", metavar="FILE", help="rollout file (default: the bundled one)")


@dataclass(frozen=True, slots=True)
class _PythonFailure:
    """Why Python could not run the job."""

    code: str
    message: str
    trace: str = ""


def main(argv: Sequence[str], context: Context) -> int:
    """Run the job in Python or with its script, as the gate decides; return the exit code.

    Raises InputError if the flag is invalid, or if the rollout file is and no fallback is allowed.
    Otherwise the script runs, and the record contains the reason.
    """
    environment = context.environment
    options = parse_options(DispatchOptions, argv, context)
    try:
        flag = read_flag(environment[v.USE_PYTHON_TEST_RUNNER])
    except InputError:
        _mark_started(environment)  # the caller must fix the flag, rather than run the script
        raise
    checkout = locate_scripts(find_checkout(options.checkout, Path.cwd()))
    given = options.job_options(keep_going=options.keep_going, default_label=local_label())
    job = _read_job_leniently(environment, given)
    path = Path(options.rollout) if options.rollout else None
    is_native, no_fallback = find_row(job).native, environment[v.NO_SHELL_FALLBACK]
    failure: _PythonFailure | None = None
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
        failure = _PythonFailure(error.reference, str(error))
    logger.info("%s: %s", job.config or f"no {v.TEST_CONFIG.name}", route.describe())
    dispatch = _Dispatch(
        options=options, context=context, given=given, job=job, checkout=checkout, route=route
    )
    if options.dry_run:
        return dispatch.show()
    _mark_started(environment)
    return dispatch.run(failure)


def _mark_started(environment: Environment) -> None:
    """Create the file that tells the caller not to run the script itself."""
    if marker := environment[v.CI_SESSIONS_STARTED]:
        Path(marker).touch()


def _read_job_leniently(environment: Environment, options: JobOptions) -> Job:
    """Read a job for the gate; leave it to the runner or the script to report problems."""
    try:
        return read_job(environment, options)
    except InputError:
        config = options.config or environment[v.TEST_CONFIG]
        label = options.build_environment or environment[v.BUILD_ENVIRONMENT]
        return Job(config=config, build=BuildEnvironment.parse(label))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Dispatch:
    """One job and its route. ``given`` has the options that identify the job."""

    options: DispatchOptions
    context: Context
    given: JobOptions
    job: Job
    checkout: Checkout
    route: Route

    def run(self, failure: _PythonFailure | None) -> int:
        """Run the route; ``failure`` is why the gate could not decide, if it could not."""
        if failure is not None:
            return self.run_shell(self.fallback_record(failure))
        if self.route.runner is Runner.SHELL:
            shadow = self.compare_in_shadow() if self.route.reason is Reason.SHADOW else None
            return self.run_shell(self.route_record(shadow=shadow))
        result = self.run_python()
        if isinstance(result, int):
            return result
        if not self.route.may_fall_back:
            reason = self.no_fallback_reason()
            logger.error("%s: %s", result.code, result.message)
            raise InternalError(
                f"Python could not run the job, and there is no fallback ({reason}): "
                f"{result.message}"
            )
        logger.warning("falling back to the shell: %s: %s", result.code, result.message)
        return self.run_shell(self.fallback_record(result))

    def no_fallback_reason(self) -> str:
        if self.route.reason is Reason.NATIVE:
            return f"the script does not know {self.job.config}"
        return f"{v.NO_SHELL_FALLBACK.name}=1"

    def show(self) -> int:
        """Print the route, and the plan or the script that it runs."""
        out, options = self.context.out, self.options
        print(f"route: {self.route.describe()}", file=out)
        if self.route.runner is Runner.PYTHON:
            prepared = options.prepare(self.context.environment, with_added=False)
            return show_plan(prepared, out, as_json=options.json, as_script=options.shell)
        print(f"  {self.route.script}", file=out)
        return 0

    def route_record(self, shadow: Shadow | None = None) -> RouteRecord:
        """Return the route for the record of the run."""
        environment = self.context.environment
        return RouteRecord(
            runner=self.route.runner,
            intended=self.route.runner,
            reason=self.route.reason,
            detail=self.route.detail,
            phase=self.route.phase,
            commit=environment[v.SHA1] or environment[v.GITHUB_SHA],
            is_partial=bool(self.options.test),
            shadow=shadow,
        )

    def fallback_record(self, failure: _PythonFailure) -> RouteRecord:
        """Return the route for the record of a job that Python should have run, but could not."""
        return replace(
            self.route_record(),
            runner=Runner.SHELL,
            intended=Runner.PYTHON,
            fallback=failure.code,
            error=failure.message,
            trace=failure.trace,
        )

    def run_python(self) -> int | _PythonFailure:
        """Run in Python; return the exit code, or the failure if no test has started."""
        try:
            prepared = self.options.prepare(self.context.environment, with_added=False)
            check_run(prepared, self.options)
        except CiSessionsError as error:
            return _PythonFailure(error.reference, str(error), traceback.format_exc())
        except Exception as error:  # noqa: BLE001 - whatever fails here, the script can run
            message = f"{type(error).__name__}: {error}"
            return _PythonFailure(Fallback.BUG, message, traceback.format_exc())
        program = ("nox", "-s", f"ci(config={self.job.config!r})", "--")
        invocation = build_invocation(program, prepared.plan.job, self.options)
        try:
            run = execute(
                prepared,
                self.options,
                self.context.out,
                invocation=invocation,
                route=self.route_record(),
            )
        except CiSessionsError:
            raise
        except Exception as error:
            # It is unknown whether a test has started, so nothing may run again.
            raise InternalError(f"{type(error).__name__}: {error}") from error
        if run.outcome is Outcome.RUNNER_ERROR and not run.has_run_tests:
            return _PythonFailure(Fallback.BUG_IN_RUN, run.note)
        return run.exit_code or 0

    def run_shell(self, route: RouteRecord) -> int:
        """Run the checkout's own script, in the same environment except for given options."""
        environment = self.context.environment
        root = find_checkout(self.options.checkout, Path.cwd())
        plan = shell_plan(self.job, self.route, self.overrides())
        prepared = PreparedJob(
            plan=plan,
            checkout=self.checkout,
            machine=Machine(root, environment.variables),
            environment=environment,
        )
        options = replace(self.options, step_timeout=None)
        run = execute(prepared, options, self.context.out, invocation=None, route=route)
        return run.exit_code or 0

    def overrides(self) -> dict[str, str]:
        """Return the variables that options replace."""
        variables = self.job.variables()
        shard = self.given.shard is not None
        is_given: dict[v.Variable[Any], bool] = {
            v.TEST_CONFIG: self.given.config is not None,
            v.BUILD_ENVIRONMENT: self.given.build_environment is not None,
            v.SHARD_NUMBER: shard,
            v.NUM_TEST_SHARDS: shard,
        }
        return {one.name: variables[one.name] for one, given in is_given.items() if given}

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
