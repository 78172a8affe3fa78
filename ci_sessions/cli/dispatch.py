"""``dispatch``: the command that CI calls. It asks the gate how to run the job, and runs it.

If Python cannot run a job, it falls back to the script, but only if no test has started. That may
be a failure of the runner, a missing tool or device, or a configuration that the table does not
have (yet); only configurations that exist only here never fall back. A failed test never causes a
fallback. If the runner fails after a test has started, the exit code is 70, and nothing runs again.

``--probe`` does everything up to the plan and starts nothing: ``resources/dispatch.sh`` uses it to
find out whether dispatch works at all, before a test could influence that.
"""

from __future__ import annotations

import traceback
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions.catalogue.table import find_row
from ci_sessions.checkout.checkout import Checkout, locate_scripts
from ci_sessions.checkout.locate import find_checkout
from ci_sessions.cli.execution import Execution, build_invocation, check_run, lock_for_run
from ci_sessions.cli.options import OptionParser, parse_options
from ci_sessions.cli.plan import show_plan
from ci_sessions.cli.prepare import local_label
from ci_sessions.cli.program import run_program
from ci_sessions.cli.run import RunOptions
from ci_sessions.cli.script import ScriptRun
from ci_sessions.errors import CiSessionsError, InputError, InternalError
from ci_sessions.gate.gate import Flag, choose, fallback_route, read_flag
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.job import variables as v
from ci_sessions.job.build_environment import BuildEnvironment
from ci_sessions.job.job import Job, JobOptions, Shard, read_job
from ci_sessions.log import logger
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Fallback, Reason, Route, RouteRecord, Runner
from ci_sessions.text import for_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Context
    from ci_sessions.cli.prepare import PreparedJob
    from ci_sessions.job.environment import Environment

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class DispatchOptions(RunOptions):
    """The options of ``dispatch``."""

    rollout: str | None = None
    probe: bool = False

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options for the gate."""
        add = parser.add_argument_group("gate").add_argument
        add("--rollout", metavar="FILE", help="rollout file (default: the bundled one)")
        add("--probe", action="store_true", help="only check that dispatch can run the job")

    def check_for_shell(self, route: Route) -> None:
        """Raise InputError for options that the script cannot honour."""
        for is_given, option in (
            (self.test, "--test"),
            (self.file, "--file"),
            (self.case, "--case"),
            (self.setup, "--setup"),
            (self.added is not None, "--added"),
            (not self.install, "--no-install"),
            (self.step_timeout, "--step-timeout"),
        ):
            if is_given:
                raise InputError(
                    f"{option} works only for a job that runs in Python, but the gate's route is "
                    f"{route.describe()}: leave it out, or use the command run."
                )


@dataclass(frozen=True, slots=True)
class _PythonFailure:
    """Why Python could not run the job."""

    code: str
    message: str
    trace: str = ""

    @classmethod
    def of(cls, error: Exception) -> _PythonFailure:
        """Return the failure for an exception; unexpected ones are bugs, and allow a fallback."""
        trace = traceback.format_exc()
        if isinstance(error, CiSessionsError):
            return cls(error.reference, str(error), trace)
        return cls(Fallback.BUG, f"{type(error).__name__}: {error}", trace)


def main(argv: Sequence[str], context: Context) -> int:
    """Run the job in Python or with its script, as the gate decides; return the exit code.

    Raises InputError if the flag or an option is invalid, or if the rollout file is and no fallback
    is allowed. Otherwise the script runs, and the record contains the reason.
    """
    try:
        return _main(argv, context)
    except CiSessionsError:
        if "--probe" in argv:  # dispatch itself will report it
            return 0
        raise


def _main(argv: Sequence[str], context: Context) -> int:
    options = parse_options(DispatchOptions, argv, context)
    flag = read_flag(context.environment[v.USE_PYTHON_TEST_RUNNER])
    checkout = locate_scripts(
        find_checkout(options.checkout, sample=options.is_dry_run or options.probe)
    )
    dispatch = _Dispatch(options=options, context=context, checkout=checkout, flag=flag)
    try:
        return dispatch.run()
    except CiSessionsError:
        raise
    except Exception as error:  # a bug in this package must not keep the script from running
        is_forbidden = options.is_partial or context.environment[v.NO_SHELL_FALLBACK]
        if dispatch.has_started or dispatch.is_shown or is_forbidden:
            raise
        return dispatch.run_script_after(error)


@dataclass(kw_only=True, slots=True)
class _Dispatch:
    """One job on its way. ``has_started``: something that must not run twice may be running."""

    options: DispatchOptions
    context: Context
    checkout: Checkout
    flag: Flag
    has_started: bool = False
    job: Job = field(default_factory=lambda: Job(config="", build=BuildEnvironment.parse("")))

    @property
    def is_shown(self) -> bool:
        """Whether nothing is run."""
        return self.options.is_dry_run or self.options.probe

    def run(self) -> int:
        """Decide, and run the job."""
        self.job = _read_job_leniently(self.context.environment, self.given)
        route, failure = self.decide()
        if self.options.probe:
            return self.check(route)
        logger.info("%s: %s", self.job.config or f"no {v.TEST_CONFIG.name}", route.describe())
        if self.options.is_dry_run:
            return self.show(route)
        if failure is None and route.runner is Runner.SHELL:
            self.options.check_for_shell(route)
            return self.run_script(route, self.route_record(route))
        result = failure or self.run_python(route)
        return result if isinstance(result, int) else self.fall_back(route, result)

    def fall_back(self, route: Route, failure: _PythonFailure) -> int:
        """Run the script instead, unless that is forbidden or would run more than what is asked."""
        why = failure.message.removesuffix(f" [{failure.code}]")  # the error below has its own
        what = f"Python could not run the job, and there is no fallback: {why}"
        if self.options.is_partial:
            raise InputError(f"{what} (The script would run the whole job.)")
        if not route.may_fall_back:
            is_native = route.reason is Reason.NATIVE
            reason = "It exists only here." if is_native else f"{v.NO_SHELL_FALLBACK.name}=1."
            raise InternalError(f"{what} ({reason})")
        logger.warning("falling back to the shell: %s: %s", failure.code, failure.message)
        return self.run_script(route, self.fallback_record(route, failure))

    @property
    def given(self) -> JobOptions:
        """The options that identify the job."""
        options = self.options
        return options.job_options(keep_going=options.keep_going, default_label=local_label())

    def decide(self) -> tuple[Route, _PythonFailure | None]:
        """Ask the gate. Returns a route, and the failure if the rollout file cannot be read."""
        path = Path(self.options.rollout) if self.options.rollout else None
        no_fallback = self.context.environment[v.NO_SHELL_FALLBACK]
        try:
            route = choose(
                self.job,
                self.checkout,
                self.flag,
                lambda: read_rollout(path),
                is_native=find_row(self.job).native,
                no_fallback=no_fallback,
            )
        except InputError as error:
            if no_fallback:
                raise
            return self.fallback_route(), _PythonFailure.of(error)
        return route, None

    def fallback_route(self) -> Route:
        label = self.job.build.label
        return fallback_route(self.job.config, label, self.checkout, self.flag)

    def check(self, route: Route) -> int:
        """Plan the job if Python is to run it; problems are reported by the actual run."""
        if route.runner is Runner.PYTHON:
            self.prepare()
        return 0

    def show(self, route: Route) -> int:
        """Print the route, and the plan or the script that it runs."""
        out, options = self.context.out, self.options
        shown = {"runner": str(route.runner), "reason": str(route.reason), "detail": route.detail}
        if route.runner is Runner.PYTHON:
            prepared = self.prepare()
            if not (options.json or options.shell):
                print(f"route: {route.describe()}", file=out)
            return show_plan(
                prepared,
                self.context,
                as_json=options.json,
                as_script=options.shell,
                extra={"route": shown},
            )
        if options.json:
            print(for_json({"route": shown, "script": route.script}, indent=1), file=out)
        elif options.shell:
            print(f"#!/bin/bash\n./{route.script}", file=out)
        else:
            print(f"route: {route.describe()}\n  {route.script}", file=out)
        return 0

    def prepare(self) -> PreparedJob:
        return self.options.prepare(self.context.environment, with_added=False)

    def route_record(self, route: Route) -> RouteRecord:
        """Return the route for the record of the run."""
        environment = self.context.environment
        return RouteRecord(
            runner=route.runner,
            intended=route.runner,
            reason=route.reason,
            detail=route.detail,
            phase=route.phase,
            commit=environment[v.SHA1] or environment[v.GITHUB_SHA],
            is_partial=self.options.is_partial,
        )

    def fallback_record(self, route: Route, failure: _PythonFailure) -> RouteRecord:
        """Return the route for the record of a job that Python should have run, but could not."""
        return replace(
            self.route_record(route),
            runner=Runner.SHELL,
            intended=Runner.PYTHON,
            fallback=failure.code,
            error=failure.message,
            trace=failure.trace,
        )

    def run_python(self, route: Route) -> int | _PythonFailure:
        """Run in Python; return the exit code, or the failure if no test has started."""
        try:
            prepared = self.prepare()
            check_run(prepared, self.options)
            lock = lock_for_run(prepared, self.options)
        except Exception as error:  # noqa: BLE001 - whatever fails here, the script can run
            return _PythonFailure.of(error)
        config = prepared.plan.job.config
        program = run_program(self.context.program, "dispatch", config)
        self.has_started = True
        execution = Execution(
            prepared=prepared,
            options=self.options,
            context=self.context,
            invocation=build_invocation(program, prepared.plan.job, self.options),
            route=self.route_record(route),
        )
        with lock:
            run = execution.run()
        if run.outcome is Outcome.RUNNER_ERROR and not run.has_run_tests:
            return _PythonFailure(Fallback.BUG_IN_RUN, run.note)
        return run.exit_code or 0

    def run_script(self, route: Route, record: RouteRecord) -> int:
        """Run the checkout's own script, for which nothing of this package is essential."""
        self.has_started = True
        return ScriptRun(
            job=self.job,
            route=route,
            record=record,
            checkout=self.checkout,
            options=self.options,
            context=self.context,
            overrides=self.overrides(),
        ).run()

    def run_script_after(self, error: Exception) -> int:
        """Run the script after a bug before the start of the job."""
        failure = _PythonFailure.of(error)
        logger.warning("running the script: %s: %s\n%s", *asdict(failure).values())
        route = self.fallback_route()
        record = self.route_record(route)
        if self.flag in (Flag.ON, Flag.ROLLOUT):
            record = self.fallback_record(route, failure)
        return self.run_script(route, record)

    def overrides(self) -> dict[str, str]:
        """Return the variables that options replace."""
        options = self.options
        given: dict[v.Variable[Any], str | None] = {
            v.TEST_CONFIG: options.config,
            v.BUILD_ENVIRONMENT: options.build_environment,
            v.CONTINUE_THROUGH_ERROR: "1" if options.keep_going else None,
        }
        if options.shard is not None:
            number, _, total = options.shard.partition("/")
            given |= {v.SHARD_NUMBER: number.strip(), v.NUM_TEST_SHARDS: total.strip()}
        return {one.name: value for one, value in given.items() if value is not None}


def _read_job_leniently(environment: Environment, options: JobOptions) -> Job:
    """Read a job for the gate; leave it to the runner or the script to report problems."""
    try:
        return read_job(environment, options)
    except InputError:
        config = options.config or environment[v.TEST_CONFIG]
        label = options.build_environment or environment[v.BUILD_ENVIRONMENT]
        return Job(
            config=config.strip(),
            build=BuildEnvironment.parse(label),
            shard=_shard(environment, options),
        )


def _shard(environment: Environment, options: JobOptions) -> Shard:
    """Return the shard as given, even if there is no such shard; 1 of 1 if it is no number."""
    number, _, total = (options.shard or "").partition("/")
    if not options.shard:
        number, total = (environment.get(one.name) for one in (v.SHARD_NUMBER, v.NUM_TEST_SHARDS))
    try:
        return Shard(v.SHARD_NUMBER.parse(number or "1"), v.NUM_TEST_SHARDS.parse(total or "1"))
    except ValueError:
        return Shard()
