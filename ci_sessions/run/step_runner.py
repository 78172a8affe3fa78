"""Runs the steps of a plan one at a time, with retries, and records each when it ends."""

from __future__ import annotations

import functools
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
from ci_sessions.run.cases import complete_cases, read_cases
from ci_sessions.run.checks import Checks
from ci_sessions.run.environment import capture_exports
from ci_sessions.run.extras import extra
from ci_sessions.run.judging import judge_step, needs_output
from ci_sessions.run.output import OutputCapture
from ci_sessions.run.progress import Progress
from ci_sessions.run.reports import Limits, find_reports
from ci_sessions.run.signals import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ci_sessions.plan.plan import Plan
    from ci_sessions.records.logs import StepLog
    from ci_sessions.records.record import Cases
    from ci_sessions.records.store import Journal
    from ci_sessions.run.machine import Machine
    from ci_sessions.run.output import Screen
    from ci_sessions.run.process import ProcessResult
    from ci_sessions.run.signals import Signals
    from ci_sessions.text import Redactor

__all__ = ["CLEANUP", "SETUP", "Part", "StepRunner", "TimeLeft", "describe_exception"]

_TICK = 0.1  # seconds between checks for signals during a wait
_MAX_REPORT_TIME = 20.0  # seconds for reading a step's reports
_MIN_REPORT_TIME = 1.0  # the same if the step has used up its time limit


class TimeLeft(NamedTuple):
    """Functions that return the seconds left: for the next command, and for the job; or None."""

    command: Callable[[], float | None]
    job: Callable[[], float | None]


class Part(NamedTuple):
    """The part of a plan that a step belongs to: setup, a test, or cleanup."""

    name: str
    kind: TestKind


SETUP = Part("setup", TestKind.REPLACES)
CLEANUP = Part("cleanup", TestKind.REPLACES)


class _Result(NamedTuple):
    """The record of a command, and its output if the outcome depends on it."""

    record: StepRecord
    output: str = ""


@dataclass(slots=True)
class StepRunner:
    """Runs the steps of a plan one at a time. ``records`` are those of the steps so far, in order.

    ``exports`` are the variables that shell steps exported. ``dirty_before`` has the lines of
    ``git status`` from before the run, or is None if git failed.
    """

    plan: Plan
    machine: Machine
    screen: Screen
    journal: Journal
    redact: Redactor
    signals: Signals
    dirty_before: frozenset[str] | None = None
    records: list[StepRecord] = field(default_factory=list)
    exports: dict[str, str | None] = field(default_factory=dict)
    checks: Checks = field(default_factory=Checks)
    keeps_all_cases: bool = False

    def run(self, part: Part, step: Step, time_left: TimeLeft) -> Outcome:
        """Run a step, once for each of its executables if it has several; return its outcome.

        Raises ``Interrupted`` on a signal, after the step has been recorded.
        """
        record = self._record(part, step)
        if step.skipped is not None:
            return self._skip(record, step.skipped)
        if step.when is not None and not self.machine.evaluate(step.when):
            return self._skip(record, f"condition not met: {step.when.description}")
        unmatched = self.machine.unmatched(step) if step.policy.skips_without_match else None
        if unmatched is not None:
            return self._skip(record, f"no file matches {unmatched}")
        if not isinstance(step.command, ForEach):
            return self._run_with_retries(step, record, time_left)
        found = self.machine.find_executables(step.command.executables, step.cwd)
        if not found:
            patterns = ", ".join(step.command.executables.patterns)
            return self._skip(record, f"no executable matches {patterns}")
        outcomes = []
        for path in found:
            one = replace(step, command=step.command.on(path))
            name = f"{self.plan.step_id(part.name, step.number)}.{path.rpartition('/')[2]}"
            record = replace(self._record(part, one), id=name)
            outcomes.append(self._run_with_retries(one, record, time_left))
        return next((outcome for outcome in outcomes if outcome.is_failure), Outcome.PASSED)

    def skip(self, part: Part, step: Step, reason: str) -> Outcome:
        """Record a step as skipped."""
        return self._skip(self._record(part, step), reason)

    def _record(self, part: Part, step: Step) -> StepRecord:
        writer = ShellWriter(self.plan.questions)
        return StepRecord(
            id=self.plan.step_id(part.name, step.number),
            test=part.name,
            number=step.number,
            kind=str(step.kind),
            command=self.redact(writer.command(self.machine.fill_step(step).command)),
            test_kind=str(part.kind),
            is_test=step.is_test,
        )

    def _skip(self, record: StepRecord, reason: str) -> Outcome:
        skipped = replace(record, outcome=Outcome.SKIPPED, note=reason, started=clock.timestamp())
        return self._finish(skipped)

    def _finish(self, record: StepRecord) -> Outcome:
        self.records.append(record)
        event = step_ended_event(record)
        extra("record an event", lambda: self.journal.append(event), None)
        extra("show the result", lambda: self.screen.end(record), None)
        if record.outcome is Outcome.INTERRUPTED and record.code is not None:
            raise Interrupted(record.code - 128)
        return record.outcome

    def _run_with_retries(self, step: Step, record: StepRecord, time_left: TimeLeft) -> Outcome:
        """Run a command, with the retries of its policy."""
        if step.policy.judge is not None:
            return self._run_until_judged(step, record, time_left, step.policy.judge)
        waits = list(step.policy.retry_waits)
        while True:
            result = self._run_once(step, record, time_left.command())
            if result.record.outcome is not Outcome.FAILED or not waits:
                return self._finish(result.record)
            wait = waits.pop(0)
            logger.warning("%s failed: retrying in %g s", record.id, wait)
            try:
                has_time = self._wait(wait, time_left.job())
            except Interrupted:
                self._finish(result.record)
                raise
            if not has_time:
                note = "the job's time limit was reached before the next retry"
                late = replace(result.record, outcome=Outcome.TIMED_OUT, code=124, note=note)
                return self._finish(late)
            self.screen.end(result.record)

    def _wait(self, seconds: float, left: float | None) -> bool:
        """Wait, at most the time that is left to the job; return whether that was enough."""
        until = clock.monotonic() + min(seconds, seconds if left is None else left)
        while clock.monotonic() < until:
            self.signals.check()
            clock.sleep(min(_TICK, until - clock.monotonic()))
        return left is None or left > seconds

    def _run_until_judged(
        self, step: Step, record: StepRecord, time_left: TimeLeft, judge: str
    ) -> Outcome:
        """Run a command as often as the judge of its output asks; each run has its own record."""
        outputs: list[str] = []
        while True:
            number = len(outputs) + 1
            result = self._run_once(
                step, replace(record, id=f"{record.id}.run{number}"), time_left.command()
            )
            if result.record.outcome is not Outcome.PASSED:
                return self._finish(result.record)
            outputs.append(result.output)
            decision, why = JUDGES[judge](outputs)
            if decision is Decision.FAIL:
                return self._finish(replace(result.record, outcome=Outcome.FAILED, note=why))
            self._finish(replace(result.record, note=why))
            if decision is Decision.PASS:
                return Outcome.PASSED
            logger.warning("%s: %s", record.id, why)

    def _run_once(self, step: Step, record: StepRecord, timeout: float | None) -> _Result:
        """Run a command once. If an error stops it, record that before the error propagates."""
        env = self.machine.environment(self.plan.env, self.exports, step.env)
        with capture_exports(step, env, self.exports) as env_file:
            argv = self.machine.argv(step, env_file=env_file)
            current = replace(record, started=clock.timestamp(), outcome=Outcome.ABORTED)
            self._announce(current)
            logger.debug("%s", self.machine.describe_environment(step, env))
            log = self.journal.open_log(record.id)
            current = replace(current, log=str(log.path or ""))
            before = self._find_reports(step)
            try:
                capture, result = self._execute(step, timeout, argv, env, log)
                current = replace(
                    current, code=result.code, wall=result.wall, cpu=result.cpu, peak=result.peak
                )
                cases = self._read_cases(before, capture, timeout, result.wall)
                finished = self._judge(step, current, result, capture, cases)
            except Exception as error:
                self._finish(replace(current, note=self.redact(describe_exception(error))))
                raise
        self.redact.learn({name: value or "" for name, value in self.exports.items()})
        return finished

    def _announce(self, record: StepRecord) -> None:
        """Record and show that a step starts."""
        total = sum(1 for _ in self.plan.steps())
        extra("record an event", lambda: self.journal.append(step_started_event(record)), None)
        extra("show the step", lambda: self.screen.begin(record, total), None)

    def _find_reports(self, step: Step) -> dict[Path, int] | None:
        """Return the reports that exist before a test step; None if they are not to be read."""
        if step.kind is not Kind.TEST:
            return None
        return extra("find reports", lambda: find_reports(self.machine.root), None)

    def _execute(
        self,
        step: Step,
        timeout: float | None,
        argv: Sequence[str],
        env: dict[str, str],
        log: StepLog,
    ) -> tuple[OutputCapture, ProcessResult]:
        """Run a command whose arguments and environment are complete."""
        capture = OutputCapture(
            self.screen,
            self.redact,
            Progress(self.machine.root),
            keep_text=needs_output(step.policy),
            log=log.write,
        )
        run = process.stream
        try:
            if step.policy.imports is None:
                self.checks.close()
            else:
                run = functools.partial(self.checks.run, module=step.policy.imports)
            result = run(
                argv,
                cwd=self.machine.root / self.machine.render(step.cwd),
                env=env,
                emit=capture,
                timeout=timeout,
                on_tick=lambda elapsed: self.screen.tick(elapsed, lambda: capture.progress.doing),
                is_ready=lambda: self.screen.is_ready,
                signals=self.signals,
            )
        finally:
            capture.flush()
            log.close()
        return capture, result

    def _judge(
        self,
        step: Step,
        record: StepRecord,
        result: ProcessResult,
        capture: OutputCapture,
        cases: Cases | None,
    ) -> _Result:
        """Determine the outcome of a command that has ended."""
        outcome, note = judge_step(
            step.policy,
            result,
            capture.text,
            dirty_before=self.dirty_before,
            render=self.machine.render,
        )
        note, tail = _explain(note, outcome, result, capture, cases)
        done = replace(
            record,
            outcome=outcome,
            note=self.redact(note),
            cases=complete_cases(cases, self.redact, self.machine.root),
            tail=tuple(map(self.redact, tail)),
        )
        return _Result(done, capture.text)

    def _read_cases(
        self,
        before: dict[Path, int] | None,
        capture: OutputCapture,
        timeout: float | None,
        wall: float,
    ) -> Cases | None:
        """Return the test cases in the reports that a step wrote, or else in its output.

        Reports are not read if another run may have written them.
        """
        in_output = extra("find test cases in the output", capture.scanner.cases, None)
        if before is None:
            return in_output
        if not extra("look for other runs", self.journal.is_alone, default=True):
            logger.warning("another run is active here: test cases are read from the output only")
            return in_output
        left = _MAX_REPORT_TIME if timeout is None else timeout - wall
        limits = Limits(seconds=min(max(left, _MIN_REPORT_TIME), _MAX_REPORT_TIME))
        in_reports = extra(
            "read reports",
            lambda: read_cases(self.machine.root, before, limits, keeps_all=self.keeps_all_cases),
            None,
        )
        return in_reports or in_output


def describe_exception(error: Exception) -> str:
    """Return an exception as records store it: its type and message."""
    return f"{type(error).__name__}: {error}"


def _explain(
    note: str, outcome: Outcome, result: ProcessResult, capture: OutputCapture, cases: Cases | None
) -> tuple[str, tuple[str, ...]]:
    """Return the note of a step, and the last lines of output if nothing else explains a failure.

    If the step was cut off, the note names the test that was running.
    """
    if result.is_cut_off and outcome.is_failure:
        running = extra("find the test that was running", capture.running_test, "")
        notes = [part for part in (note, running and f"{running} was running") if part]
        nothing: tuple[str, ...] = ()
        logged = extra("read the log of run_test.py", capture.progress.tail, nothing)
        return "; ".join(notes), logged or capture.tail()
    has_cases = cases is not None and bool(cases.failed)
    return note, capture.tail() if outcome.is_failure and not has_cases else ()
