"""Runs a prepared job: shared by ``run`` and ``dispatch``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.catalogue.missing import missing_from, other_device
from ci_sessions.checkout.files import append_regular, replace_file
from ci_sessions.errors import HardwareError, NoTestsError
from ci_sessions.github.output import annotate, step_summary
from ci_sessions.job.job_json import job_to_json
from ci_sessions.job.variables import (
    BY_NAME,
    CI,
    CONTINUE_THROUGH_ERROR,
    GITHUB_ACTIONS,
    GITHUB_STEP_SUMMARY,
    NO_COLOR,
)
from ci_sessions.log import log_details, logger
from ci_sessions.plan.placeholders import literal
from ci_sessions.records.checkout_lock import WAIT, lock_checkout
from ci_sessions.records.folder import records_folder
from ci_sessions.records.record import RunRecord
from ci_sessions.records.route import Runner
from ci_sessions.records.store import create_journal, prune, usual_times
from ci_sessions.report.console import ConsoleScreen
from ci_sessions.report.repeat import Invocation, repeat_commands
from ci_sessions.report.run import color_verdict, describe_run
from ci_sessions.run.executor import Executor, Limits
from ci_sessions.run.extras import extra
from ci_sessions.run.machine import check_scripts, count_devices
from ci_sessions.text import count, for_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from ci_sessions.cli.options import Context, SelectionGroup
    from ci_sessions.cli.prepare import PreparedJob
    from ci_sessions.cli.run import RunOptions
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Plan
    from ci_sessions.plan.step import Step
    from ci_sessions.records.route import RouteRecord
    from ci_sessions.records.store import Journal

__all__ = ["Execution", "build_invocation", "check_run", "lock_for_run", "selected_step"]


def check_run(prepared: PreparedJob, options: RunOptions) -> None:
    """Raise an error if the job cannot run here, before anything runs."""
    plan, need = prepared.plan, prepared.plan.needs
    if options.step is not None:
        _check_step(plan, options)
    elif not options.is_one_step and not plan.has_tests:
        reasons = [*plan.notices, *(test.skipped for test in plan.tests if test.skipped)]
        reason = "; ".join(reasons) or "its plan is empty"
        raise NoTestsError(
            f"{plan.job.config} on {plan.job.build.label} has no tests to run ({reason}): choose "
            "another build, or remove the job."
        )
    if options.hardware_check and need.count:
        available = count_devices(need)
        if available < need.count:
            raise HardwareError(
                f"{plan.job.config} on {plan.job.build.label} needs "
                f"{count(need.count, f'{need.device} device')}, but this machine has {available}: "
                "run it on another machine, or add --no-hardware-check to skip this check."
            )
    check_scripts(plan, prepared.root)
    prepared.machine.require("bash", "git", "python")


def _check_step(plan: Plan, options: SelectionGroup) -> None:
    """Raise NoTestsError if the selected step is skipped: a green result would mean nothing."""
    step = selected_step(plan, options)
    reasons = (test.skipped for test in plan.tests if step in test.steps)
    reason = step and (step.skipped or next(reasons, None))
    if step and reason:
        name = options.test[0] if options.test else plan.job.config
        raise NoTestsError(
            f"step {step.number} of {name} does not run ({reason}): --dry-run lists all steps."
        )


def selected_step(plan: Plan, options: SelectionGroup) -> Step | None:
    """Return the step that the options select, and not one that only prepares it."""
    steps = [step for test in plan.tests for step in test.steps] or list(plan.setup)
    number = options.step
    return next(
        (one for one in steps if one.number == number or (not number and one.is_test)), None
    )


def lock_for_run(prepared: PreparedJob, options: RunOptions) -> ExitStack:
    """Lock the checkout for a run. Raises CheckoutInUseError if another run still uses it."""
    config = prepared.plan.job.config
    return lock_checkout(prepared.root, config, wait=WAIT if options.wait else 0.0)


def build_invocation(program: tuple[str, ...], job: Job, options: RunOptions) -> Invocation:
    """Return the command line that runs the same job anywhere, with its label and shard."""
    argv = [*program, "--build-environment", job.build.label]
    if job.shard.is_split:
        argv += ["--shard", f"{job.shard.number}/{job.shard.total}"]
    if options.checkout is not None:
        argv += ["--checkout", str(Path(options.checkout).expanduser().resolve())]
    for is_set, option in (
        (not options.hardware_check, "--no-hardware-check"),
        (not options.install, "--no-install"),
    ):
        argv += [option] if is_set else []
    narrowing = [
        word
        for option, names in (("--file", options.file), ("--case", options.case))
        for name in names
        for word in (option, name)
    ]
    return Invocation(argv=tuple(argv), inputs=_inputs(job, options), narrowing=tuple(narrowing))


def _inputs(job: Job, options: RunOptions) -> dict[str, str]:
    """Return the inputs that a command must set to repeat a job, since there are no options."""
    by_option = {CONTINUE_THROUGH_ERROR.name} if options.keep_going else set()
    return {
        name: value
        for name, value in job.inputs.raw.items()
        if BY_NAME[name].is_repeated and name not in by_option
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """Runs a plan, records it, and prints the summary.

    ``invocation`` is the command line that repeats the job; None if only the plain command does.
    ``route`` is stored in the record.
    """

    prepared: PreparedJob
    options: RunOptions
    context: Context
    invocation: Invocation | None
    route: RouteRecord | None = None

    def run(self) -> RunRecord:
        """Run the plan and return its record."""
        return self.execute(*self.prepare())

    def prepare(self) -> tuple[Executor, RunRecord]:
        """Create the journal and the screen, and a record without results; start nothing."""
        plan, environment = self.prepared.plan, self.context.environment
        if self.options.verbose:
            log_details()
        if self.prepared.checkout.is_sample:
            logger.info(
                "using the sample checkout %s: --checkout selects another one", self.prepared.root
            )
        extra("look for what the checkout lacks", self._warn, None)
        screen = ConsoleScreen(
            self.context.out,
            on_github=environment[GITHUB_ACTIONS],
            on_ci=environment[CI] or environment[GITHUB_ACTIONS],
            is_quiet=self.options.quiet,
            has_color=self._has_color,
            usual_times=self._usual_times(),
        )
        executor = Executor(
            plan=plan,
            machine=self.prepared.machine,
            screen=screen,
            journal=self._create_journal(),
            redact=self.context.redact,
            limits=Limits(job=self.options.timeout, step=self.options.step_timeout),
            keep_going=plan.job[CONTINUE_THROUGH_ERROR],
            on_ci=environment[CI],
            requires_test=self._requires_test(),
            requires_case=bool(self.options.case),
            keeps_all_cases=self.options.junit is not None,
        )
        extra("remove the JUnit report of an earlier run", self._remove_junit, None)
        started = clock.timestamp()
        record = RunRecord(
            id=f"{started}/{plan.job.id}/{os.urandom(4).hex()}",
            job=job_to_json(plan.job),
            started=started,
            checkout=str(self.prepared.root),
            runner=self.route.runner if self.route else Runner.PYTHON,
            route=self.route,
        )
        return executor, record

    def _requires_test(self) -> bool:
        """Return whether a test must run; a single step of the set-up may pass without one."""
        step = selected_step(self.prepared.plan, self.options)
        return self.options.step is None or bool(self.options.case or (step and step.is_test))

    def execute(
        self,
        executor: Executor,
        record: RunRecord,
        before: Callable[[RunRecord], RunRecord] = lambda run: run,
    ) -> RunRecord:
        """Run the plan and return its record. ``before`` runs first, and may change the record.

        Nothing that fails after the run changes its result.
        """
        run = executor.run(record, before)
        extra("complete the record", executor.journal.close, None)
        extra("write the JUnit report", lambda: self._write_junit(run), None)
        extra("print the summary", lambda: self._report(run, executor.journal), None)
        return run

    def _warn(self) -> None:
        """Warn of what the plan needs and the checkout or the build lacks."""
        plan = self.prepared.plan
        for doubt in (*other_device(plan), *missing_from(plan, self.prepared.root)):
            logger.warning("%s", doubt)

    @property
    def _has_color(self) -> bool:
        """Whether to use color: on a terminal, except with NO_COLOR (see no-color.org)."""
        return self.context.out.isatty() and not self.context.environment[NO_COLOR]

    def _usual_times(self) -> dict[str, float]:
        """Return how long each step took when it last passed here, in seconds, for a terminal."""
        if not self.context.out.isatty():
            return {}
        folder = records_folder(self.options.records, self.prepared.root)
        job = self.prepared.plan.job
        nothing: dict[str, float] = {}
        return extra("read usual times", lambda: usual_times(folder, job.config, job.id), nothing)

    def _create_journal(self) -> Journal:
        options, redact = self.options, self.context.redact
        folder = records_folder(options.records, self.prepared.root)
        if options.keep_days is not None:
            removed = prune(folder, options.keep_days, clock.now().timestamp())
            records, days = count(len(removed), "record"), count(options.keep_days, "day")
            logger.info("removed %s older than %s", records, days)
        return create_journal(folder, clock.timestamp(), self.prepared.plan.job.config, redact)

    def _remove_junit(self) -> None:
        """Remove an earlier run's report: it would be taken for this one's, if that is killed."""
        if self.options.junit is not None:
            Path(self.options.junit).unlink(missing_ok=True)

    def _write_junit(self, run: RunRecord) -> None:
        if self.options.junit is None:
            return
        from ci_sessions.report.junit import junit_lines  # noqa: PLC0415 - few runs write it

        text = "".join(f"{line}\n" for line in junit_lines(run, self.context.redact))
        path = Path(self.options.junit)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode("utf-8", "replace"))

    def _report(self, run: RunRecord, journal: Journal) -> None:
        redact, out = self.context.redact, self.context.out
        repeat = {what: [redact(one) for one in lines] for what, lines in self._repeat(run).items()}
        summary = for_log(redact(describe_run(run, repeat, str(journal.path))))
        out.write(f"{color_verdict(summary) if self._has_color else summary}\n")
        if self.context.environment[GITHUB_ACTIONS]:
            for line in annotate(run):
                out.raw(f"{line}\n")
            _append_summary(
                self.context.environment[GITHUB_STEP_SUMMARY], redact(step_summary(run, repeat))
            )

    def _repeat(self, run: RunRecord) -> dict[str, list[str]]:
        """Return the commands that repeat the first failed step."""
        plan = self.prepared.plan.filled(self.prepared.machine.resolve)
        variables = {name: literal(value) for name, value in plan.job.shown_variables().items()}
        env = variables if self.invocation is None else {**variables, **plan.env}
        return repeat_commands(plan, run, self.invocation, root=self.prepared.root, env=env)


def _append_summary(path: str, text: str) -> None:
    """Append to the job's step summary; if that fails, log a warning."""
    if not path:
        return
    try:
        append_regular(Path(path), text.encode(errors="backslashreplace"))
    except OSError as error:
        logger.warning("cannot write the step summary: %s", error)
