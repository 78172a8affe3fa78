"""The order of things: set-up, each test's steps, clean-up whatever happens, a record of all.

test.sh stops at the first command that fails. So does this, but for tests that were added here,
whose failure only makes the job red at its end, and with ``keep_going``.
"""

from __future__ import annotations

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
from ci_sessions.run.descendants import adopt_orphans, descendants, end_descendants
from ci_sessions.run.signals import Interrupted, holding_signals, raising_on_signals
from ci_sessions.run.step_runner import CLEANUP, SETUP, Part, StepRunner, fault_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_sessions.plan.plan import Plan
    from ci_sessions.records.store import Journal
    from ci_sessions.run.machine import Machine
    from ci_sessions.run.output import Screen
    from ci_sessions.text import Redactor

__all__ = ["Executor", "Limits"]

RUNNER_FAULT = 70  # the exit code of a fault of the runner itself
_CLEANUP_LIMIT = 600.0  # seconds that a clean-up step may take, whatever is left of the job's limit


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds; None is none."""

    job: float | None = None
    step: float | None = None


class _StopJobError(Exception):
    """The job ends here; its clean-up is still to come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Executor:
    """Runs a plan. ``on_ci`` is strict about a checkout that was dirty before."""

    plan: Plan
    machine: Machine
    screen: Screen
    journal: Journal
    redact: Redactor
    limits: Limits = field(default_factory=Limits)
    keep_going: bool = False
    on_ci: bool = False

    def run(self, run: RunRecord) -> RunRecord:
        """Run the plan and return its record. Signals end the run, not this function."""
        runner = StepRunner(self.plan, self.machine, self.screen, self.journal, self.redact)
        return _Run(self, runner, clock.seconds()).whole(run)


@dataclass(slots=True)
class _Run:
    """One run as it goes on. ``began`` is the clock's, in seconds; ``faults`` are the runner's."""

    setting: Executor
    runner: StepRunner
    began: float
    faults: list[str] = field(default_factory=list)

    def whole(self, run: RunRecord) -> RunRecord:
        plan = self.setting.plan
        self.setting.journal.append(run.started_event())
        before = descendants()
        adopt_orphans()
        if plan.drops_core_dumps:
            process.no_core_dumps()
        stopped: Interrupted | None = None
        with raising_on_signals():
            try:
                self.all_tests()
            except Interrupted as signal:
                stopped = signal
            except _StopJobError:
                pass
            except Exception as error:  # noqa: BLE001 - a fault of ours must still clean up and be recorded
                self.faults.append(fault_of(error))
                logger.error("the runner failed: %s\n%s", error, traceback.format_exc())
            try:
                self.clean_up(CLEANUP, plan.cleanup)
            except Interrupted as signal:
                stopped = stopped or signal
        end_descendants(before)
        ended = self.ended(run, stopped)
        self.setting.journal.append(ended.ended_event())
        return ended

    def ended(self, run: RunRecord, stopped: Interrupted | None) -> RunRecord:
        ended = replace(
            run,
            ended=clock.stamp(),
            wall=clock.seconds() - self.began,
            note=self.setting.redact(self.faults[0]) if self.faults else "",
            steps=tuple(self.runner.steps),
        )
        if stopped is not None:
            return replace(ended, outcome=Outcome.INTERRUPTED, exit_code=stopped.exit_code)
        if self.faults:
            return replace(ended, outcome=Outcome.RUNNER_ERROR, exit_code=RUNNER_FAULT)
        if ended.bad_steps:
            return replace(ended, outcome=Outcome.FAILED, exit_code=ended.bad_steps[0].code or 1)
        if not ended.has_tested:
            return replace(ended, outcome=Outcome.NO_TEST, exit_code=2)
        return replace(ended, outcome=Outcome.PASSED, exit_code=0)

    def all_tests(self) -> None:
        plan, machine = self.setting.plan, self.setting.machine
        for step in plan.cleanup:  # they ask for the state to restore: ask before it changes
            if step.when is None or machine.holds(step.when):
                machine.argv(step)
        if not self.setting.on_ci:
            self.runner.dirty = self.changes()
        if not self.sequence(SETUP, plan.setup):
            return
        for test in plan.tests:
            is_good = self.test(test)
            if not is_good and not self.setting.keep_going and test.kind is not TestKind.ADDED:
                return

    def changes(self) -> frozenset[str]:
        """What git says is changed before anything ran: a developer's own edits are no fault."""
        steps = (step for test in self.setting.plan.tests for step in test.steps)
        check = next((s for s in steps if s.policy.expect is Expect.CLEAN_CHECKOUT), None)
        if check is None:
            return frozenset()
        machine = self.setting.machine
        line = ShellWriter().line(machine.placed(check))
        asked = process.capture(line, cwd=machine.root, env=machine.variables)
        return frozenset(asked.text.splitlines())

    def test(self, test: Test) -> bool:
        """Run one test and tell whether it passed; its ``always`` steps run even on a signal."""
        part, done = Part(test.name, test.kind), len(self.runner.steps)
        if test.skipped is not None:
            for step in test.steps:
                self.runner.skip(part, step, test.skipped)
            return True
        try:
            return self.sequence(part, test.steps)
        finally:
            records = self.runner.steps[done:]
            ran = {record.number for record in records}
            # Where nothing passed, nothing was changed that could be put back.
            if any(record.outcome is Outcome.PASSED for record in records):
                missed = [s for s in test.steps if s.policy.always and s.number not in ran]
                self.clean_up(part, missed)

    def sequence(self, part: Part, steps: Sequence[Step]) -> bool:
        """Run steps until one fails; a deferred failure counts after the next step."""
        is_good, is_deferred = True, False
        for step in steps:
            outcome = self.runner.run(part, step, self.limit())
            if outcome is Outcome.TIMED_OUT and self.is_out_of_time():
                raise _StopJobError
            is_bad, defers = outcome.is_bad, step.policy.defers_failure
            is_good = is_good and not is_bad
            goes_on = self.setting.keep_going and step.kind is Kind.TEST
            if (is_bad and not defers and not goes_on) or (is_deferred and not goes_on):
                return False
            is_deferred = is_bad and defers
        return is_good

    def limit(self) -> float | None:
        """The seconds that the next step may take: its own limit, or what is left of the job's."""
        limits = self.setting.limits
        elapsed = clock.seconds() - self.began
        left = None if limits.job is None else max(0.0, limits.job - elapsed)
        return min((limit for limit in (left, limits.step) if limit is not None), default=None)

    def is_out_of_time(self) -> bool:
        limit = self.setting.limits.job
        return limit is not None and clock.seconds() - self.began >= limit

    def clean_up(self, part: Part, steps: Iterable[Step]) -> None:
        """Put things back, all of them.

        The job's time limit does not hold here, a fault in one step does not keep the next from
        running, and a first signal waits until all are done.
        """
        limit = self.setting.limits.step or _CLEANUP_LIMIT
        with holding_signals():
            for step in steps:
                try:
                    self.runner.run(part, step, limit)
                except Exception as error:  # noqa: BLE001 - the other steps must still run
                    self.faults.append(f"clean-up: {fault_of(error)}")
                    logger.error("clean-up failed: %s\n%s", error, traceback.format_exc())
