"""The commands that repeat the first failed step, with ci_sessions and without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ci_sessions.catalogue.narrow import can_narrow, is_comparison, narrow_test
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.errors import InputError
from ci_sessions.plan.shell import ShellWriter, quote, quote_all
from ci_sessions.plan.step import ForEach, Kind, Program
from ci_sessions.report.run import MAX_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ci_sessions.plan.plan import Plan
    from ci_sessions.plan.step import Step, Variables
    from ci_sessions.records.record import RunRecord, StepRecord

__all__ = ["Invocation", "recorded_commands", "repeat_commands"]

_HIDDEN = frozenset({"TERM", "PYTHONUNBUFFERED", "PATH"})  # not needed to repeat a step


@dataclass(frozen=True, kw_only=True, slots=True)
class Invocation:
    """The command line that runs a job: the command and the options that identify the job.

    ``inputs`` are the variables for which there are no options, ``narrowing`` the options that
    select test files and cases.
    """

    argv: tuple[str, ...]
    inputs: Mapping[str, str]
    narrowing: tuple[str, ...] = ()

    def line(self, *more: str) -> str:
        """Return the command line, with additional options."""
        variables = [f"{name}={quote(value)}" for name, value in self.inputs.items()]
        return " ".join([*variables, quote_all([*self.argv, *more])])


def repeat_commands(
    plan: Plan, run: RunRecord, invocation: Invocation | None, *, root: Path, env: Variables
) -> dict[str, list[str]]:
    """Return the commands that repeat the first failed step, under what each of them repeats.

    The places in ``plan`` must be filled in. ``env`` has the variables of the command without
    ci_sessions, which is the only one without an ``invocation``.
    """
    failed = next(iter(run.failed_steps), None)
    if failed is None:
        return {}
    step = _step_of(plan, failed)
    before = _steps_before(plan, failed)
    found = {} if invocation is None else _own_commands(plan, failed, invocation)
    if step is not None and _can_run_alone(step, before):
        steps = [*(one for one in before if one.is_preparation and not one.skipped), step]
        found["this step, without ci_sessions"] = [_plain_line(plan, steps, root, env)]
    return {what: lines for what, lines in found.items() if lines}


def recorded_commands(plan: Plan, run: RunRecord, invocation: Invocation) -> dict[str, list[str]]:
    """Return the commands of ``repeat_commands`` for which the record of a run is enough."""
    failed = next(iter(run.failed_steps), None)
    found = {} if failed is None else _own_commands(plan, failed, invocation)
    return {what: lines for what, lines in found.items() if lines}


def _own_commands(plan: Plan, failed: StepRecord, invocation: Invocation) -> dict[str, list[str]]:
    """Return the commands with ci_sessions."""
    step = _step_of(plan, failed)
    is_alone = step is None or _can_run_alone(step, _steps_before(plan, failed))
    found: dict[str, list[str]] = {}
    if step is not None and can_narrow(step):
        found["one case of each message"] = list(_case_lines(plan, failed, invocation))
    what, options = _step_options(failed, invocation.narrowing, is_alone=is_alone)
    line = invocation.line(*options)
    if [line] not in found.values():  # if the run was of this case
        found[what] = [line]
    return found


def _can_run_alone(step: Step, before: Sequence[Step]) -> bool:
    """Return whether a step does not depend on what earlier ones left.

    A probe and a comparison check that, and a test may need files that were changed.
    """
    changes_files = any(one.kind is Kind.FILE and not one.is_preparation for one in before)
    return step.kind is not Kind.PROBE and not is_comparison(step) and not changes_files


def _step_options(
    failed: StepRecord, narrowing: tuple[str, ...], *, is_alone: bool
) -> tuple[str, tuple[str, ...]]:
    """Return what is repeated, and the options for it."""
    if failed.test == "cleanup":
        return "the job", ()
    if not is_alone and not narrowing:
        return "this test", ("--test", failed.test)
    what = "this step, without the job's set-up (--setup adds it)"
    if failed.test == "setup":
        what = "this step of the job's set-up"
    number = ("--step", str(failed.number)) if failed.number else ()
    return what, ("--test", failed.test, *number, *narrowing)


def _case_lines(plan: Plan, failed: StepRecord, invocation: Invocation) -> Iterator[str]:
    """Yield a command for the first failed case of each message, if it can be selected."""
    groups = failed.cases.groups() if failed.cases else []
    tests = [test for test in plan.tests if test.name == failed.test]
    for case, _ in groups[:MAX_GROUPS]:
        files = (case.test_file,) if case.test_file else ()
        try:
            narrow_test(tests, failed.number, files, (case.name,), RECORDED)
        except InputError:
            continue
        options = ["--test", failed.test, "--step", str(failed.number)]
        options += ["--file", *files] if files else []
        yield invocation.line(*options, "--case", case.name)


def _steps_before(plan: Plan, failed: StepRecord) -> list[Step]:
    """Return the earlier steps of the same test."""
    tests = (test.steps for test in plan.tests if test.name == failed.test)
    return [step for steps in tests for step in steps if step.number < failed.number]


def _step_of(plan: Plan, failed: StepRecord) -> Step | None:
    parts = {"setup": plan.setup, "cleanup": plan.cleanup}
    parts.update({test.name: test.steps for test in plan.tests})
    step = next((one for one in parts.get(failed.test, ()) if one.number == failed.number), None)
    if step is not None and isinstance(step.command, ForEach):
        # The record's id ends with the name of the executable that failed.
        name = failed.id.rpartition(f".{failed.number}.")[2]
        pattern = step.command.executables.patterns[0]
        path = f"{pattern.rpartition('/')[0]}/{name}"
        return replace(step, command=step.command.on(path))
    return step


def _plain_line(plan: Plan, steps: Sequence[Step], root: Path, env: Variables) -> str:
    """Return a shell line that works in any folder, with the job's variables set.

    The last step is the one to repeat; those before it prepare it.
    """
    writer = ShellWriter(plan.questions)
    *preparation, step = steps
    unset = [word for name, value in env.items() if value is None for word in ("-u", name)]
    sets = [
        writer.assignment(name, value)
        for name, value in env.items()
        if value is not None and name not in _HIDDEN
    ]
    line = writer.line(step)
    is_compound = step.cwd != "." or any(value is None for value in step.env.values())
    if is_compound or not isinstance(step.command, Program):
        line = f"bash -c {quote(line)}"
    first = [f"cd {quote(str(root))}", *map(writer.guarded_line, preparation)]
    return f"({' && '.join(first)} && {' '.join(['env', *unset, *sets, line])})"
