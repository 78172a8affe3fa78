"""The commands that repeat the first step that failed: with this tool, and without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ci_sessions.plan.shell import ShellWriter, quote, quote_all
from ci_sessions.plan.step import ForEach, Kind, Program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_sessions.plan.plan import Plan
    from ci_sessions.plan.step import Step, Variables
    from ci_sessions.records.record import RunRecord, StepRecord

__all__ = ["Invocation", "repeat_lines"]

_UNSHOWN = frozenset({"TERM", "PYTHONUNBUFFERED", "PATH"})  # for clean logs only


@dataclass(frozen=True, kw_only=True, slots=True)
class Invocation:
    """How a person calls this tool for a job. ``words`` are the command and the job's options.

    ``inputs`` are variables that no option can give.
    """

    words: tuple[str, ...]
    inputs: Mapping[str, str]

    def line(self, *more: str) -> str:
        """Write the command with some more options."""
        given = [f"{name}={quote(text)}" for name, text in self.inputs.items()]
        return " ".join([*given, quote_all([*self.words, *more])])


def repeat_lines(
    plan: Plan, run: RunRecord, invocation: Invocation | None, *, root: Path, env: Variables
) -> str:
    """Write the commands that repeat the first bad step; nothing where there is none.

    ``plan`` has its places filled in. ``env`` are the variables of the plain command; without an
    ``invocation`` that is all there is.
    """
    bad = next(iter(run.bad_steps), None)
    if bad is None:
        return ""
    step = _step_of(plan, bad)
    lines = []
    if invocation is not None:
        is_of_test = any(test.name == bad.test for test in plan.tests)
        which = ("--test", bad.test, "--step", str(bad.number)) if is_of_test else ()
        lines.append(invocation.line(*which))
    if step is not None and step.kind is not Kind.PROBE:
        plain = _plain_line(plan, step, root, env)
        lines.append(plain if invocation is None else f"or without it: {plain}")
    return "\n".join(lines)


def _step_of(plan: Plan, bad: StepRecord) -> Step | None:
    parts = {"setup": plan.setup, "cleanup": plan.cleanup}
    parts.update({test.name: test.steps for test in plan.tests})
    step = next((one for one in parts.get(bad.test, ()) if one.number == bad.number), None)
    if step is not None and isinstance(step.command, ForEach):
        # The executable that failed, of several: its name ends the record's id.
        name = bad.id.rpartition(f".{bad.number}.")[2]
        pattern = step.command.executables.patterns[0]
        path = f"{pattern.rpartition('/')[0]}/{name}"
        return replace(step, command=step.command.on(path))
    return step


def _plain_line(plan: Plan, step: Step, root: Path, env: Variables) -> str:
    """Write one step for a shell in any folder, with the job's variables spelled out."""
    writer = ShellWriter(plan.questions)
    unset = [word for name, value in env.items() if value is None for word in ("-u", name)]
    sets = [
        writer.assignment(name, value)
        for name, value in env.items()
        if value is not None and name not in _UNSHOWN
    ]
    line = writer.line(step)
    is_compound = step.cwd != "." or any(value is None for value in step.env.values())
    if is_compound or not isinstance(step.command, Program):
        line = f"bash -c {quote(line)}"
    return f"(cd {quote(str(root))} && {' '.join(['env', *unset, *sets, line])})"
