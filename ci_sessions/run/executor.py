"""The order of things: set-up, each test's steps, clean-up whatever happens, a record of all.

test.sh stops at the first command that fails. So does this, but for tests that were added here,
whose failure only makes the job red at its end, and with ``keep_going``.
"""

from __future__ import annotations

import contextlib
import tempfile
import traceback
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ci_sessions import clock
from ci_sessions.catalogue.verdicts import MAJORITY, RUNS, failed_models, slower_models
from ci_sessions.log import logger
from ci_sessions.plan.placeholders import GLOBS
from ci_sessions.plan.plan import Expect, Kind, Plan, Step, Test
from ci_sessions.records.record import (
    Cases,
    Outcome,
    RunRecord,
    StepRecord,
    step_ended_event,
    step_started_event,
)
from ci_sessions.run import process
from ci_sessions.run.cases import CaseScanner, read_cases, reports_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_sessions.records.store import Journal
    from ci_sessions.run.machine import Machine
    from ci_sessions.text import Redactor

__all__ = ["Executor", "Limits", "Screen"]

RUNNER_FAULT = 70
_TAIL = 8  # lines of output kept of a step that failed without saying which case
_WIDEST = 300
_RESTORE = 600.0  # seconds that a clean-up step may take, whatever is left of the job's limit
_OURS = frozenset({"_", "SHLVL", "PWD", "OLDPWD", "CI_SESSIONS_ENV"})
_UNTRACKED_THIRD_PARTY = "?? third_party"


class Screen(Protocol):
    """Where a person watches."""

    def begin(self, step: StepRecord, total: int) -> None:
        """A step starts; ``total`` is the number of steps of the whole run."""

    def write(self, text: str) -> None:
        """Show output of the step."""

    def tick(self, elapsed: float) -> None:
        """Time passes, in seconds since the step's start."""

    def end(self, step: StepRecord) -> None:
        """Close the step, which ended or was not run."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds; None is none."""

    job: float | None = None
    step: float | None = None


class _StopJobError(Exception):
    """The job ends here; its clean-up is still to come."""


@dataclass(slots=True)
class Executor:
    """Runs one plan, once. ``on_ci`` is strict about a checkout that was dirty before."""

    plan: Plan
    machine: Machine
    screen: Screen
    journal: Journal
    redact: Redactor
    limits: Limits = field(default_factory=Limits)
    keep_going: bool = False
    on_ci: bool = False
    steps: list[StepRecord] = field(default_factory=list)
    _kept: dict[str, str | None] = field(default_factory=dict)
    _dirty: frozenset[str] = frozenset()
    _began: float = 0.0
    has_tested: bool = False
    _heard: str = ""
    _is_restoring: bool = False
    _restore_fault: str = ""

    def run(self, run: RunRecord) -> RunRecord:
        """Run the plan and return its record. Signals end the run, not this function."""
        self._began = clock.seconds()
        self.journal.append(run.started_event())
        before = process.descendants()
        process.adopt_orphans()
        if self.plan.drops_core_dumps:
            process.no_core_dumps()
        stopped: process.Interrupted | None = None
        fault = ""
        with process.raising_on_signals():
            try:
                self._all_tests()
            except process.Interrupted as signal:
                stopped = signal
            except _StopJobError:
                pass
            except Exception as error:  # noqa: BLE001 - a fault of ours must still clean up and be recorded
                fault = f"{type(error).__name__}: {error}"
                logger.error("the runner failed: %s\n%s", error, traceback.format_exc())
            try:
                self._restore(None, list(enumerate(self.plan.cleanup, 1)))
            except process.Interrupted as signal:
                stopped = stopped or signal
        process.end_descendants(before)
        ended = self._ended(run, stopped, fault or self._restore_fault)
        self.journal.append(ended.ended_event())
        return ended

    def _ended(self, run: RunRecord, stopped: process.Interrupted | None, fault: str) -> RunRecord:
        bad = [step for step in self.steps if step.outcome.is_bad]
        if stopped is not None:
            outcome, code = Outcome.INTERRUPTED, stopped.exit_code
        elif fault:
            outcome, code = Outcome.RUNNER_ERROR, RUNNER_FAULT
        elif bad:
            outcome, code = Outcome.FAILED, bad[0].code or 1
        elif not self.has_tested:
            outcome, code = Outcome.NO_TEST, 2
        else:
            outcome, code = Outcome.PASSED, 0
        return replace(
            run,
            ended=clock.stamp(),
            wall=clock.seconds() - self._began,
            outcome=outcome,
            exit_code=code,
            note=self.redact(fault),
            steps=tuple(self.steps),
        )

    def _all_tests(self) -> None:
        for step in self.plan.cleanup:  # they ask for the state to restore: ask before it changes
            if step.when is None or self.machine.holds(step.when):
                self.machine.argv(step)
        self._dirty = frozenset() if self.on_ci else self._changes()
        if not self._sequence(None, self.plan.setup):
            return
        for test in self.plan.tests:
            if not self._test(test) and not self.keep_going and test.origin == "test.sh":
                return

    def _changes(self) -> frozenset[str]:
        """What git says is changed before anything ran: a developer's own edits are no fault."""
        checks = [
            step
            for test in self.plan.tests
            for step in test.steps
            if step.expect is Expect.CLEAN_CHECKOUT
        ]
        if not checks:
            return frozenset()
        line = checks[0].as_shell()
        asked = process.capture(line, cwd=self.machine.root, env=self.machine.variables)
        return frozenset(asked.text.splitlines())

    def _test(self, test: Test) -> bool:
        """Run one test and tell whether it passed; its ``always`` steps run even on a signal."""
        done = len(self.steps)
        try:
            return self._sequence(test, test.steps)
        finally:
            ran = {step.number for step in self.steps[done:]}
            missed = [
                (number, step)
                for number, step in enumerate(test.steps, 1)
                if step.always and number not in ran
            ]
            if any(step.outcome is Outcome.PASSED for step in self.steps[done:]):
                self._restore(test, missed)  # else nothing was changed that could be put back

    def _sequence(self, test: Test | None, steps: Sequence[Step]) -> bool:
        """Run steps until one fails; a held failure counts after the next step."""
        is_good, is_held = True, False
        for number, step in enumerate(steps, 1):
            if test is not None and test.skipped is not None:
                self._skip(test, number, step, test.skipped)
                continue
            outcome = self._step(test, number, step)
            if outcome is Outcome.TIMED_OUT and self._is_out_of_time():
                raise _StopJobError
            is_good = is_good and not outcome.is_bad
            goes_on = self.keep_going and step.kind is Kind.TEST
            if (outcome.is_bad and not step.holds and not goes_on) or (is_held and not goes_on):
                return False
            is_held = outcome.is_bad and step.holds
        return is_good

    def _is_out_of_time(self) -> bool:
        return self.limits.job is not None and self._elapsed() >= self.limits.job

    def _elapsed(self) -> float:
        return clock.seconds() - self._began

    def _restore(self, test: Test | None, steps: list[tuple[int, Step]]) -> None:
        """Put things back, all of them.

        The job's time limit does not hold here, a fault in one step does not keep the next from
        running, and a first signal waits until all are done.
        """
        self._is_restoring = True
        with process.holding_signals():
            for number, step in steps:
                self._try_to_restore(test, number, step)
        self._is_restoring = False

    def _try_to_restore(self, test: Test | None, number: int, step: Step) -> None:
        try:
            self._step(test, number, step, name="cleanup")
        except Exception as error:  # noqa: BLE001 - the other steps must still run
            self._restore_fault = f"clean-up: {type(error).__name__}: {error}"
            logger.error("clean-up failed: %s\n%s", error, traceback.format_exc())

    def _step(self, test: Test | None, number: int, step: Step, name: str = "setup") -> Outcome:
        record = self._record(test, number, step, name)
        if step.skipped is not None:
            return self._not_run(record, step.skipped)
        if step.when is not None and not self.machine.holds(step.when):
            return self._not_run(record, f"not so here: {step.when}")
        if step.each is None:
            return self._try(record, step)
        found = self.machine.found(step.each, step.cwd)
        if not found:
            where = ", ".join(GLOBS[step.each].patterns)
            return self._not_run(record, f"no executable matches {where}")
        outcomes = [
            self._try(self._one_of(record, path, one), one)
            for path, one in ((path, step.for_each(path)) for path in found)
        ]
        return next((outcome for outcome in outcomes if outcome.is_bad), Outcome.PASSED)

    def _one_of(self, record: StepRecord, path: str, one: Step) -> StepRecord:
        """Return the record of one executable of several."""
        name = f"{record.id}.{path.rpartition('/')[2]}"
        return replace(record, id=name, command=self.redact(one.as_shell()))

    def _record(self, test: Test | None, number: int, step: Step, name: str) -> StepRecord:
        label = test.name if test else name
        return StepRecord(
            id=f"{self.plan.job.config}.{label}.{number}",
            test=label,
            number=number,
            kind=str(step.kind),
            command=self.redact(step.as_shell()),
            origin=test.origin if test else "test.sh",
        )

    def _skip(self, test: Test, number: int, step: Step, reason: str) -> None:
        self._not_run(self._record(test, number, step, ""), reason)

    def _not_run(self, record: StepRecord, reason: str) -> Outcome:
        self._finish(replace(record, outcome=Outcome.SKIPPED, note=reason, started=clock.stamp()))
        return Outcome.SKIPPED

    def _finish(self, record: StepRecord) -> None:
        self.steps.append(record)
        self.journal.append(step_ended_event(record))
        self.screen.end(record)

    def _try(self, record: StepRecord, step: Step) -> Outcome:
        """Run a step, again after each wait of its ``retry`` while it fails."""
        if step.verdict is not None:
            return self._by_majority(record, step)
        waits = iter((*step.retry, None))
        while True:
            outcome = self._once(record, step)
            wait = next(waits)
            if wait is None or outcome is not Outcome.FAILED:
                return outcome
            logger.warning("%s failed: trying again in %g s", record.id, wait)
            self.steps.pop()
            clock.sleep(wait)

    def _by_majority(self, record: StepRecord, step: Step) -> Outcome:
        """Run a comparison until its output is clear: none is slower, or most runs say one is."""
        slow: list[str] = []
        for number in range(1, RUNS + 1):
            outcome = self._once(replace(record, id=f"{record.id}.run{number}"), step)
            if outcome.is_bad:
                return outcome
            models = ", ".join(slower_models(self._heard))
            slow += [models] if models else []
            if not slow:
                return outcome  # a first run without fault settles it
            if len(slow) >= MAJORITY:
                note = f"slower in {len(slow)} of {number} runs: {models}"
                self._finish(replace(record, outcome=Outcome.FAILED, code=1, note=note))
                return Outcome.FAILED
            logger.warning("%s: slower in %d of %d runs", record.id, len(slow), number)
        return Outcome.PASSED

    def _once(self, record: StepRecord, step: Step) -> Outcome:
        env = self.machine.environment(self.plan.env, self._kept, step.env)
        argv = self.machine.argv(step)
        if step.kind is Kind.FILE and "ln" in argv[:2] and any("*" in word for word in argv):
            return self._not_run(record, "no library matches the pattern")
        self.has_tested = self.has_tested or step.is_test  # from here on, nothing may be rerun
        started = replace(record, started=clock.stamp(), outcome=Outcome.ABORTED)
        self.journal.append(step_started_event(started))
        self.screen.begin(started, self._total())
        reports = reports_below(self.machine.root) if step.kind is Kind.TEST else {}
        heard = _Heard(self.screen, self.redact, keeps=_is_judged_by_output(step))
        with self._kept_environment(step, argv, env) as asked:
            try:
                ended = process.stream(
                    asked,
                    cwd=self.machine.root / step.cwd,
                    env=env,
                    emit=heard,
                    limit=self._limit(),
                    on_tick=self.screen.tick,
                )
            except process.Interrupted as signal:
                heard.flush()
                code = signal.exit_code
                self._finish(replace(started, outcome=Outcome.INTERRUPTED, code=code))
                raise
        heard.flush()
        self._heard = heard.text
        outcome, note = self._judge(step, ended, heard.text)
        cases = None
        if step.kind is Kind.TEST:
            cases = read_cases(self.machine.root, reports) or heard.scanner.cases()
        self._finish(
            replace(
                started,
                outcome=outcome,
                code=ended.code,
                wall=ended.wall,
                cpu=ended.cpu,
                peak=ended.peak,
                note=note,
                cases=self._redacted(cases),
                tail=heard.tail() if outcome.is_bad and not (cases and cases.failed) else (),
            )
        )
        return outcome

    def _redacted(self, cases: Cases | None) -> Cases | None:
        if cases is None:
            return None
        failed = tuple(
            replace(
                case,
                name=self.redact(case.name),
                message=self.redact(case.message)[:_WIDEST],  # cut what is redacted, not before
            )
            for case in cases.failed
        )
        return replace(cases, failed=failed)

    def _total(self) -> int:
        tests = sum(len(test.steps) for test in self.plan.tests)
        return len(self.plan.setup) + tests + len(self.plan.cleanup)

    def _limit(self) -> float | None:
        """The seconds that the next step may take: its own limit, or what is left of the job's."""
        if self._is_restoring:
            return self.limits.step or _RESTORE
        left = None if self.limits.job is None else max(0.0, self.limits.job - self._elapsed())
        return min((limit for limit in (left, self.limits.step) if limit is not None), default=None)

    def _judge(self, step: Step, ended: process.Ended, text: str) -> tuple[Outcome, str]:
        """Decide what a step's end means, and say it where the exit code alone does not."""
        note = f"{ended.left_behind} processes left behind: ended" if ended.left_behind else ""
        if ended.reason == "timeout":
            return Outcome.TIMED_OUT, f"ended after {ended.wall:.0f} s, its time limit"
        if step.verdict is not None and (models := failed_models(text)):
            return Outcome.FAILED, f"failed without backing: {', '.join(models)}"
        verdict = _verdict(step, ended.code, text, self._dirty)
        if verdict is None:
            return Outcome.PASSED, note
        return Outcome.FAILED, verdict or note

    @contextlib.contextmanager
    def _kept_environment(
        self, step: Step, argv: tuple[str, ...], env: dict[str, str]
    ) -> Iterator[tuple[str, ...]]:
        """Let a shell step write down its environment at its end, for the steps after it."""
        if not step.keeps_env:
            yield argv
            return
        with tempfile.TemporaryDirectory(prefix="ci-sessions-") as folder:
            path = Path(folder) / "environment"
            env["CI_SESSIONS_ENV"] = str(path)
            bash, option, script, *words = argv
            yield (bash, option, script + '; env -0 > "$CI_SESSIONS_ENV"', *words)
            if path.is_file():
                self._kept.update(_changed(env, path.read_bytes()))


def _is_judged_by_output(step: Step) -> bool:
    by_text = step.output is not None or step.verdict is not None
    return by_text or step.expect in (Expect.CLEAN_CHECKOUT, Expect.NO_OUTPUT)


def _changed(before: dict[str, str], after: bytes) -> dict[str, str | None]:
    """Return the variables that a shell set or removed."""
    pairs = (item.partition("=") for item in after.decode(errors="replace").split("\0") if item)
    now = {name: value for name, _, value in pairs}
    ours = {name for name in now if name.startswith("BASH_FUNC_")} | _OURS
    new: dict[str, str | None] = {
        name: value for name, value in now.items() if before.get(name) != value and name not in ours
    }
    gone = {name: None for name in before if name not in now and name not in ours}
    return {**new, **gone}


def _verdict(step: Step, code: int, text: str, dirty: frozenset[str]) -> str | None:
    """Return None for a good step, else why it is bad ("" where its exit code says it all)."""
    is_good, why = code == 0, ""
    if step.expect is Expect.ANYTHING:
        is_good = True
    elif step.expect is Expect.FAILURE:
        is_good = code != 0 and (step.output or "") in text
        why = "it was expected to fail, and did not"
        if code != 0:
            why = f"it failed as expected, but without {step.output!r} in what it printed"
    elif step.expect is Expect.NO_OUTPUT:
        is_good = code == 0 and not text.strip()
        why = f"not empty:\n{text.rstrip()}"
    elif step.expect is Expect.CLEAN_CHECKOUT:
        # Outside a repository git fails, and there is nothing to compare; test.sh sees it so too.
        lines = [line for line in text.splitlines() if line not in dirty] if code == 0 else []
        left = [line for line in lines if _UNTRACKED_THIRD_PARTY not in line]
        is_good, why = not left, "\n".join(["the checkout was left dirty:", *left])
    return None if is_good else why


class _Heard:
    """Takes a child's output: redacts it, shows it, and looks in it for failed cases."""

    def __init__(self, screen: Screen, redact: Redactor, *, keeps: bool) -> None:
        self.text = ""
        self.scanner = CaseScanner()
        self._screen = screen
        self._redact = redact
        self._keeps = keeps
        self._held = ""
        self._last: deque[str] = deque(maxlen=_TAIL + 1)

    def __call__(self, text: str) -> None:
        # Whole secrets go first: the tail that is held back is then only ever half a one.
        text, self._held = self._redact.split_safely(self._redact(self._held + text))
        self._show(text)

    def flush(self) -> None:
        """Show what was held back for fear of half a secret."""
        self._show(self._held)
        self._held = ""

    def tail(self) -> tuple[str, ...]:
        """Return the last lines that say something."""
        return tuple(line[:_WIDEST] for line in self._last if line.strip())[-_TAIL:]

    def _show(self, text: str) -> None:
        if not text:
            return
        shown = self._redact(text)
        if self._keeps:
            self.text += shown
        self.scanner.feed(shown)
        begun = self._last.pop() if self._last else ""
        self._last.extend((begun + shown).split("\n"))
        self._screen.write(shown)
