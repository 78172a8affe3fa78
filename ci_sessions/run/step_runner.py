"""One step of a plan: whether it runs, its tries, what came of it. Each is recorded as it ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ci_sessions import clock
from ci_sessions.catalogue.judges import JUDGES, Decision
from ci_sessions.log import logger
from ci_sessions.plan.plan import TestKind
from ci_sessions.plan.shell import ShellWriter
from ci_sessions.plan.step import ForEach, Kind, Step
from ci_sessions.records.record import (
    Outcome,
    StepRecord,
    step_ended_event,
    step_started_event,
)
from ci_sessions.run import process
from ci_sessions.run.cases import read_cases, redacted_cases, reports_below
from ci_sessions.run.environment import saved_environment
from ci_sessions.run.judging import judge_step, needs_output
from ci_sessions.run.output import OutputCapture
from ci_sessions.run.signals import Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ci_sessions.plan.plan import Plan
    from ci_sessions.records.store import Journal
    from ci_sessions.run.machine import Machine
    from ci_sessions.run.output import Screen
    from ci_sessions.run.process import Ended
    from ci_sessions.text import Redactor

__all__ = ["CLEANUP", "SETUP", "Part", "StepRunner", "fault_of"]


class Part(NamedTuple):
    """The part of a plan that a step belongs to: set-up, a test, or clean-up."""

    name: str
    kind: TestKind


SETUP = Part("setup", TestKind.REPLACES)
CLEANUP = Part("cleanup", TestKind.REPLACES)


class _Result(NamedTuple):
    """What became of a command: its record, and its output where that is judged."""

    record: StepRecord
    text: str = ""


@dataclass(slots=True)
class StepRunner:
    """Runs steps of a plan one by one. ``steps`` are the records so far, in order.

    ``kept`` is what shell steps exported; ``dirty`` the lines of ``git status`` from before.
    """

    plan: Plan
    machine: Machine
    screen: Screen
    journal: Journal
    redact: Redactor
    dirty: frozenset[str] = frozenset()
    steps: list[StepRecord] = field(default_factory=list)
    kept: dict[str, str | None] = field(default_factory=dict)

    def run(self, part: Part, step: Step, limit: float | None) -> Outcome:
        """Run a step, for each of its executables where it has several; return its outcome.

        ``limit`` is in seconds, for each command that it takes; None is none.
        """
        record = self._record(part, step)
        if step.skipped is not None:
            return self._skip(record, step.skipped)
        if step.when is not None and not self.machine.holds(step.when):
            return self._skip(record, f"condition not met: {step.when.name}")
        if not isinstance(step.command, ForEach):
            return self._tries(step, record, limit)
        found = self.machine.found(step.command.executables, step.cwd)
        if not found:
            patterns = ", ".join(step.command.executables.patterns)
            return self._skip(record, f"no executable matches {patterns}")
        outcomes = []
        for path in found:
            one = replace(step, command=step.command.on(path))
            name = f"{record.id}.{path.rpartition('/')[2]}"
            outcomes.append(self._tries(one, replace(self._record(part, one), id=name), limit))
        return next((outcome for outcome in outcomes if outcome.is_bad), Outcome.PASSED)

    def skip(self, part: Part, step: Step, reason: str) -> Outcome:
        """Record a step that is not run."""
        return self._skip(self._record(part, step), reason)

    def _record(self, part: Part, step: Step) -> StepRecord:
        writer = ShellWriter(self.plan.questions)
        return StepRecord(
            id=self.plan.step_id(part.name, step.number),
            test=part.name,
            number=step.number,
            kind=str(step.kind),
            command=self.redact(writer.command(self.machine.placed(step).command)),
            test_kind=str(part.kind),
            is_test=step.is_test,
        )

    def _skip(self, record: StepRecord, reason: str) -> Outcome:
        skipped = replace(record, outcome=Outcome.SKIPPED, note=reason, started=clock.stamp())
        return self._finish(skipped)

    def _finish(self, record: StepRecord) -> Outcome:
        self.steps.append(record)
        self.journal.append(step_ended_event(record))
        self.screen.end(record)
        return record.outcome

    def _tries(self, step: Step, record: StepRecord, limit: float | None) -> Outcome:
        """Run a command, again after each wait of its policy while it fails."""
        if step.policy.judge is not None:
            return self._until_judged(step, record, limit, step.policy.judge)
        waits = list(step.policy.retry_waits)
        while True:
            result = self._once(step, record, limit)
            if result.record.outcome is not Outcome.FAILED or not waits:
                return self._finish(result.record)
            wait = waits.pop(0)
            logger.warning("%s failed: trying again in %g s", record.id, wait)
            self.screen.end(result.record)
            clock.sleep(wait)

    def _until_judged(
        self, step: Step, record: StepRecord, limit: float | None, judge: str
    ) -> Outcome:
        """Run a command as often as the judge of its output asks; each run has its record."""
        outputs: list[str] = []
        while True:
            number = len(outputs) + 1
            result = self._once(step, replace(record, id=f"{record.id}.run{number}"), limit)
            if result.record.outcome is not Outcome.PASSED:
                return self._finish(result.record)
            outputs.append(result.text)
            decision, why = JUDGES[judge](outputs)
            if decision is Decision.BAD:
                return self._finish(replace(result.record, outcome=Outcome.FAILED, note=why))
            self._finish(replace(result.record, note=why))
            if decision is Decision.GOOD:
                return Outcome.PASSED
            logger.warning("%s: %s", record.id, why)

    def _once(self, step: Step, record: StepRecord, limit: float | None) -> _Result:
        """Run a command once. What is cut off is recorded before the reason for it goes on."""
        env = self.machine.environment(self.plan.env, self.kept, step.env)
        with saved_environment(step, env, self.kept) as saves_to:
            argv = self.machine.argv(step, saves_to=saves_to)
            if step.kind is Kind.FILE and "ln" in argv[:2] and any("*" in word for word in argv):
                note = "no library matches the pattern"
                skipped = replace(record, outcome=Outcome.SKIPPED, note=note)
                return _Result(replace(skipped, started=clock.stamp()))
            started = replace(record, started=clock.stamp(), outcome=Outcome.ABORTED)
            try:
                return self._start(step, started, limit, argv, env)
            except Interrupted as signal:
                code = signal.exit_code
                self._finish(replace(started, outcome=Outcome.INTERRUPTED, code=code))
                raise
            except Exception as error:
                self._finish(replace(started, note=self.redact(fault_of(error))))
                raise

    def _start(
        self,
        step: Step,
        record: StepRecord,
        limit: float | None,
        argv: Sequence[str],
        env: dict[str, str],
    ) -> _Result:
        """Run a command that is known by all its words."""
        root = self.machine.root
        self.journal.append(step_started_event(record))
        self.screen.begin(record, sum(1 for _ in self.plan.steps()))
        reports = reports_below(root) if step.kind is Kind.TEST else {}
        capture = OutputCapture(self.screen, self.redact, keeps=needs_output(step.policy))
        try:
            ended = process.stream(
                argv,
                cwd=root / self.machine.render(step.cwd),
                env=env,
                emit=capture,
                limit=limit,
                on_tick=self.screen.tick,
            )
        finally:
            capture.flush()
        return self._result(step, record, ended, capture, reports)

    def _result(
        self,
        step: Step,
        record: StepRecord,
        ended: Ended,
        capture: OutputCapture,
        reports: dict[Path, int],
    ) -> _Result:
        render = self.machine.render
        outcome, note = judge_step(
            step.policy, ended, capture.text, dirty=self.dirty, render=render
        )
        cases = None
        if step.kind is Kind.TEST:
            cases = read_cases(self.machine.root, reports) or capture.scanner.cases()
        names_case = cases is not None and bool(cases.failed)
        done = replace(
            record,
            outcome=outcome,
            code=ended.code,
            wall=ended.wall,
            cpu=ended.cpu,
            peak=ended.peak,
            note=note,
            cases=redacted_cases(cases, self.redact),
            tail=capture.tail() if outcome.is_bad and not names_case else (),
        )
        return _Result(done, capture.text)


def fault_of(error: Exception) -> str:
    """Write an exception as records do."""
    return f"{type(error).__name__}: {error}"
