"""Runs a plan in order: setup, the steps of each test, and cleanup in every case.

Like test.sh, it stops at the first command that fails, except with ``keep_going``, and except for
added tests, which only make the job fail at its end.
"""

from __future__ import annotations

import functools
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.log import logger
from ci_sessions.plan.plan import Test, TestKind
from ci_sessions.plan.shell import ShellWriter
from ci_sessions.plan.step import Expect, Kind, Step
from ci_sessions.records.record import Outcome, RunRecord
from ci_sessions.run import process
from ci_sessions.run.descendants import adopt_orphans, descendants, terminate_descendants
from ci_sessions.run.extras import extra
from ci_sessions.run.signals import Interrupted, Signals, note_signals, raise_on_signals
from ci_sessions.run.step_runner import (
    CLEANUP,
    SETUP,
    Part,
    StepRunner,
    TimeLeft,
    describe_exception,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ci_sessions.plan.plan import Plan
    from ci_sessions.records.record import Event
    from ci_sessions.records.store import Journal
    from ci_sessions.run.machine import Machine
    from ci_sessions.run.output import Screen
    from ci_sessions.text import Redactor

__all__ = ["Executor", "Limits"]

RUNNER_ERROR_CODE = 70  # the exit code if the runner itself fails
_GIT_TIMEOUT = 60.0  # seconds for the state of the checkout before the run
_CLEANUP_TIMEOUT = 600.0  # seconds for a cleanup step, which the job's time limit does not affect
# After these, a step may have changed what an ``always`` step restores; test.sh's own commands
# change nothing when they fail.
_MAY_HAVE_CHANGES = (Outcome.PASSED, Outcome.TIMED_OUT, Outcome.INTERRUPTED, Outcome.ABORTED)


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds; None is no limit."""

    job: float | None = None
    step: float | None = None


class _StopJobError(Exception):
    """Stops the job; its cleanup still runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Executor:
    """Runs a plan. ``on_ci``: a checkout that was dirty before the run is a failure too.

    ``requires_test``: a run in which no test ran is not a success. ``requires_case``: nor is one
    whose tests report that no case ran. ``keeps_all_cases``: the record that is returned also has
    the cases that passed; the one that is written does not.
    """

    plan: Plan
    machine: Machine
    screen: Screen
    journal: Journal
    redact: Redactor
    limits: Limits = field(default_factory=Limits)
    keep_going: bool = False
    on_ci: bool = False
    requires_test: bool = True
    requires_case: bool = False
    keeps_all_cases: bool = False

    def run(
        self, run: RunRecord, before: Callable[[RunRecord], RunRecord] = lambda run: run
    ) -> RunRecord:
        """Run the plan and return its record, also if a signal interrupts the run.

        ``before`` runs first, and may return a changed record.
        """
        with note_signals() as signals:
            self.machine.signals = signals
            runner = StepRunner(
                plan=self.plan,
                machine=self.machine,
                screen=self.screen,
                journal=self.journal,
                redact=self.redact,
                signals=signals,
                keeps_all_cases=self.keeps_all_cases,
            )
            return _Run(self, runner, signals, clock.monotonic()).execute(run, before)


@dataclass(slots=True)
class _Run:
    """One run in progress. ``start`` is monotonic time; ``errors`` are those of the runner."""

    executor: Executor
    runner: StepRunner
    signals: Signals
    start: float
    errors: list[str] = field(default_factory=list)
    stopped: Interrupted | None = None

    def execute(self, run: RunRecord, before: Callable[[RunRecord], RunRecord]) -> RunRecord:
        plan = self.executor.plan
        self.record(run.started_event())
        others = extra("list processes", descendants, None)
        extra("adopt processes", adopt_orphans, None)
        if plan.drops_core_dumps:
            process.disable_core_dumps()
        try:
            with raise_on_signals():
                run = before(run)
            self.run_tests()
        except Interrupted as signal:
            self.stopped = signal
        except _StopJobError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever fails, clean up and record it
            self.add_error("", error)
        extra("end the checks", self.runner.checks.close, None)
        self.clean_up(CLEANUP, plan.cleanup)
        if others is not None:
            terminate = functools.partial(terminate_descendants, others, self.signals.is_impatient)
            extra("terminate the processes that the tests left running", terminate, 0)
        extra("close the output", self.executor.screen.close, None)
        ended = self.finish(run)
        self.record(ended.ended_event())
        return ended

    def note(self) -> str:
        return self.executor.redact(self.errors[0]) if self.errors else ""

    def record(self, event: Event) -> None:
        extra("record an event", functools.partial(self.executor.journal.append, event), None)

    def add_error(self, where: str, error: Exception) -> None:
        """Note an error in the runner itself."""
        self.errors.append(f"{where}{describe_exception(error)}")
        logger.error("the runner failed: %s\n%s", self.errors[-1], traceback.format_exc())

    def finish(self, run: RunRecord) -> RunRecord:
        ended = replace(
            run,
            ended=clock.timestamp(),
            wall=clock.monotonic() - self.start,
            note=extra("redact a note", self.note, ""),
            steps=tuple(self.runner.records),
        )
        if self.stopped is not None:
            return replace(ended, outcome=Outcome.INTERRUPTED, exit_code=self.stopped.exit_code)
        if self.errors:
            return replace(ended, outcome=Outcome.RUNNER_ERROR, exit_code=RUNNER_ERROR_CODE)
        if ended.failed_steps:
            return replace(ended, outcome=Outcome.FAILED, exit_code=ended.failed_steps[0].code or 1)
        if self.executor.requires_test and not ended.has_run_tests:
            return replace(ended, outcome=Outcome.NO_TEST, exit_code=2)
        if self.executor.requires_case and ended.has_no_cases:
            return replace(ended, outcome=Outcome.NO_TEST, exit_code=2)
        return replace(ended, outcome=Outcome.PASSED, exit_code=0)

    def run_tests(self) -> None:
        plan, machine = self.executor.plan, self.executor.machine
        for step in plan.cleanup:  # ask the questions about the original state before it changes
            if step.when is None or machine.evaluate(step.when):
                machine.argv(step)
        self.runner.dirty_before = self.changed_files()
        if not self.run_steps(SETUP, plan.setup):
            return
        for test in plan.tests:
            is_ok = self.run_test(test)
            if not is_ok and not self.executor.keep_going and test.kind is not TestKind.ADDED:
                return

    def changed_files(self) -> frozenset[str] | None:
        """Return the changes in the checkout before the run, which tests are not to blame for.

        Returns None if git fails. On CI no changes are expected, so none are returned.
        """
        steps = (step for test in self.executor.plan.tests for step in test.steps)
        check = next((s for s in steps if s.policy.expect is Expect.CLEAN_CHECKOUT), None)
        if check is None:
            return None
        machine = self.executor.machine
        line = "git rev-parse --git-dir"
        if not self.executor.on_ci:
            line = ShellWriter().line(machine.fill_step(check))
        time_left = self.command_time()
        output = process.capture(
            line,
            cwd=machine.root,
            env=machine.variables,
            timeout=_GIT_TIMEOUT if time_left is None else min(_GIT_TIMEOUT, time_left),
            signals=self.signals,
        )
        if output.code:
            return None
        return frozenset() if self.executor.on_ci else frozenset(output.text.splitlines())

    def run_test(self, test: Test) -> bool:
        """Run one test; return whether it passed. Its ``always`` steps run even after a signal."""
        part, first = Part(test.name, test.kind), len(self.runner.records)
        if test.skipped is not None:
            for step in test.steps:
                self.runner.skip(part, step, test.skipped)
            return True
        try:
            return self.run_steps(part, test.steps)
        finally:
            records = self.runner.records[first:]
            ran = {record.number for record in records}
            if any(record.outcome in _MAY_HAVE_CHANGES for record in records):
                missed = [s for s in test.steps if s.policy.always and s.number not in ran]
                self.clean_up(part, missed)

    def run_steps(self, part: Part, steps: Sequence[Step]) -> bool:
        """Run steps until one fails; a deferred failure counts after the next step."""
        is_ok, is_deferred = True, False
        for step in steps:
            self.signals.check()
            outcome = self.runner.run(part, step, TimeLeft(self.command_time, self.job_time))
            if outcome is Outcome.TIMED_OUT and self.job_time() == 0:
                raise _StopJobError
            is_failure, defers = outcome.is_failure, step.policy.defers_failure
            is_ok = is_ok and not is_failure
            continues = self.executor.keep_going and step.kind is Kind.TEST
            if (is_failure and not defers and not continues) or (is_deferred and not continues):
                return False
            is_deferred = is_failure and defers
        return is_ok

    def job_time(self) -> float | None:
        """Return the seconds left until the job's time limit, or None."""
        limit = self.executor.limits.job
        return None if limit is None else max(0.0, limit - (clock.monotonic() - self.start))

    def command_time(self) -> float | None:
        """Return the timeout of the next command: its own limit, or the rest of the job's."""
        limits = (self.job_time(), self.executor.limits.step)
        return min((limit for limit in limits if limit is not None), default=None)

    def clean_up(self, part: Part, steps: Iterable[Step]) -> None:
        """Run cleanup steps.

        The job's time limit does not apply, and an error in one step does not stop the others. The
        first signal is deferred until all are done; a second one terminates the current step.
        """
        timeout = self.executor.limits.step or _CLEANUP_TIMEOUT
        time_left = TimeLeft(lambda: timeout, lambda: None)
        with self.signals.defer_one():
            for step in steps:
                try:
                    self.runner.run(part, step, time_left)
                except Interrupted as signal:
                    self.stopped = self.stopped or signal
                except Exception as error:  # noqa: BLE001 - the other steps must still run
                    self.add_error("cleanup: ", error)
        try:
            self.signals.check()
        except Interrupted as signal:
            self.stopped = self.stopped or signal
