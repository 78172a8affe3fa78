"""The terminal: what a dry run prints, the screen of a run, and the report at its end."""

from __future__ import annotations

import secrets
import shlex
import shutil
import textwrap
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TextIO

from colorlog.escape_codes import escape_codes

from ci_sessions.plan.placeholders import QUESTIONS, as_shell_word, questions_in
from ci_sessions.plan.plan import Expect, Kind, command_line, shell_line
from ci_sessions.records.record import Outcome
from ci_sessions.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.plan.plan import Plan, Step, Test, Variables
    from ci_sessions.records.record import Case, RunRecord, StepRecord

__all__ = [
    "ConsoleScreen",
    "describe_plan",
    "describe_run",
    "plan_script",
    "repeat_command",
]

_MARKS = {Outcome.PASSED: "✓", Outcome.SKIPPED: "-"}
_COLORS = {Outcome.PASSED: "green", Outcome.SKIPPED: "thin_white"}
_SHOWN_CASES = 5
_UNSHOWN = frozenset({"TERM", "PYTHONUNBUFFERED", "PATH"})


# --- a dry run


def describe_plan(plan: Plan, checkout: Checkout, devices: int, place: Callable[[str], str]) -> str:
    """Write a plan for a person, to be pasted into a shell from the first ``cd`` on.

    Places keep their short names (``$SITE``), which are set at the top.
    """
    lines = [
        plan.job.describe(),
        f"{plan.row} · suite {plan.suite} · phase {plan.phase}",
        f"checkout {checkout.describe()}",
        *(f"note: {notice}" for notice in plan.notices),
        "",
        "exported for the whole job",
        f"  cd {shlex.quote(str(checkout.root))}",
        *_places(plan, place),
        *_exports(plan),
    ]
    if plan.setup:
        lines += ["", "set-up"]
        lines += _steps(plan.setup)
    for test in plan.tests:
        lines += ["", _test_heading(test), *_steps(test.steps)]
    if plan.cleanup:
        lines += ["", "clean-up, whatever happens"]
        lines += _steps(plan.cleanup)
    return "\n".join([*lines, "", f"{_needs(plan, devices)} · nothing was run"])


def _places(plan: Plan, place: Callable[[str], str]) -> Iterator[str]:
    """Set the places that the plan's lines name, but for those that every shell has."""
    steps = [*plan.setup, *(step for test in plan.tests for step in test.steps), *plan.cleanup]
    text = "\n".join([*map(shell_line, steps), *(value or "" for value in plan.env.values())])
    for name in ("ROOT", "SITE", "TMP", "SHIMS"):
        if f"${name}" in text:
            yield f"  {name}={shlex.quote(place(name))}"


def _exports(plan: Plan) -> list[str]:
    lines = [f"  {_export(name, value)}" for name, value in plan.env.items()]
    if plan.drops_core_dumps:
        lines.append("  ulimit -c 0")
    return lines


def _export(name: str, value: str | None) -> str:
    if value is None:
        return f"unset {name}"
    asked = questions_in(value)
    if asked and QUESTIONS[asked[0]].is_optional:  # without an answer, the caller's value stays
        return f'{name}_="$({QUESTIONS[asked[0]].shell})"; export {name}="${{{name}_:-${name}}}"'
    return f"export {_assign(name, value)}"


def _assign(name: str, value: str) -> str:
    return f"{name}={as_shell_word(value)}"


def _test_heading(test: Test) -> str:
    if test.origin == "added":
        origin = "added (not in test.sh)"
    else:
        origin = f"replaces test.sh: {', '.join(test.replaces)}"
    return f"{test.name:40} {origin}" + (f"\n     skipped: {test.skipped}" if test.skipped else "")


def _steps(steps: tuple[Step, ...]) -> list[str]:
    return [line for number, step in enumerate(steps, 1) for line in _step(number, step)]


def _step(number: int, step: Step) -> Iterator[str]:
    yield f"{number:3}  {shell_line(step)}"
    if step.skipped:
        yield f"     # skipped: {step.skipped}"
        return
    notes = [text for applies, text in _notes(step) if applies]
    if notes:
        yield f"     # {'; '.join(notes)}"


def _notes(step: Step) -> Iterator[tuple[object, str]]:
    """Say what a shell line alone does not: when the step runs, and what makes it good."""
    yield step.when, f"only if {step.when}"
    yield step.expect is not Expect.SUCCESS, _EXPECTED[step.expect]
    yield step.output, f"and print {step.output!r}"
    yield step.retry, f"up to {len(step.retry) + 1} tries"
    yield step.holds, "a failure counts after the next step"
    yield step.always, "runs whatever happens"
    yield step.keeps_env, "what it exports holds from here on"


_EXPECTED = {
    Expect.SUCCESS: "",
    Expect.FAILURE: "must fail",
    Expect.ANYTHING: "may fail",
    Expect.CLEAN_CHECKOUT: "must print nothing new but ?? third_party",
    Expect.NO_OUTPUT: "must print nothing",
}


def _needs(plan: Plan, devices: int) -> str:
    if not plan.devices:
        return "needs no device"
    word = "device" if plan.devices == 1 else "devices"
    here = "none" if devices == 0 else str(devices)
    return (
        f"needs {plan.devices} {str(plan.job.build.device).upper()} {word} (this machine: {here})"
    )


def plan_script(plan: Plan, checkout: Checkout, place: Callable[[str], str]) -> str:
    """Write a plan as a bash script that stops at the first failure.

    What only the runner does is not in it: further tries, clean-up after a failure, and looking
    into output.
    """
    lines = ["#!/bin/bash", f"# {plan.job.describe()}"]
    lines += ["# Tries, clean-up after a failure and looking into output are the runner's."]
    lines += ["set -e -o pipefail"]
    lines += [f"cd {shlex.quote(str(checkout.root))}", *_strip(_places(plan, place))]
    lines += _strip(_exports(plan))
    for title, steps, skipped in (
        ("set-up", plan.setup, None),
        *((test.name, test.steps, test.skipped) for test in plan.tests),
        ("clean-up", plan.cleanup, None),
    ):
        mark = "# " if skipped else ""
        lines += ["", f"# {title}" + (f": skipped, {skipped}" if skipped else "")]
        lines += [mark + shell_line(step) for step in steps]
    return "\n".join(lines)


def _strip(lines: Iterable[str]) -> list[str]:
    return [line.strip() for line in lines]


# --- a run


@dataclass(slots=True)
class ConsoleScreen:
    """Shows steps as they run: a heading or a GitHub group each, a live line on a terminal.

    Under GitHub Actions the output of a step stands between ``::stop-commands::`` marks, so that
    nothing a test prints can act as a workflow command.
    """

    stream: TextIO
    on_github: bool = False
    _number: int = 0
    _total: int = 0
    _name: str = ""
    _mark: str = ""
    _status: str = ""
    _at_line_start: bool = True
    _is_gone: bool = False
    _colors: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Colour is for people at a terminal."""
        self._colors = dict(escape_codes) if self.stream.isatty() else {}

    def begin(self, step: StepRecord, total: int) -> None:
        """Open a step."""
        self._total = total
        title = f"[{self._number + 1}/{total}] {step.id}"
        self._name = title
        if self.on_github:
            self._mark = secrets.token_hex(16)
            self._line(f"::group::{title} · {step.command}")
            self._line(f"::stop-commands::{self._mark}")
        else:
            self._line(self._paint("bold_cyan", f"── {title}"))
            self._line(self._paint("thin_white", f"   $ {step.command}"))

    def write(self, text: str) -> None:
        """Show output of the step."""
        self._clear()
        self._put(text)
        self._at_line_start = text.endswith("\n")

    def tick(self, elapsed: float) -> None:
        """Keep the last line of a terminal up to date."""
        if not self.stream.isatty() or not self._at_line_start:
            return
        width = shutil.get_terminal_size().columns - 1
        status = f"{self._name}  {duration(int(elapsed))}"[:width]
        if status != self._status:
            self._clear()
            self._put(status)
            self._status = status

    def end(self, step: StepRecord) -> None:
        """Close a step that ended, or name one that was not run."""
        self._number += 1
        self._clear()
        if self._mark:
            self._line(f"::{self._mark}::")
            self._line("::endgroup::")
            self._mark = ""
        mark = _MARKS.get(step.outcome, "✗")
        color = _COLORS.get(step.outcome, "red")
        if step.outcome is Outcome.SKIPPED:
            text = f"{mark} {step.id} skipped: {step.note}"
        else:
            code = "" if step.code in (None, 0) else f", exit {step.code}"
            text = f"{mark} {step.id} {step.outcome}{code} in {duration(step.wall)}"
            text += f" · {step.note}" if step.note else ""
        self._line(self._paint(color, text))

    def _line(self, text: str) -> None:
        self._put(("" if self._at_line_start else "\n") + text + "\n")
        self._at_line_start = True

    def _clear(self) -> None:
        if self._status:
            self._put("\r\x1b[K")
            self._status = ""

    def _put(self, text: str) -> None:
        """Write, until the reader has gone: the run goes on, and so does its record."""
        if self._is_gone:
            return
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            self._is_gone = True

    def _paint(self, color: str, text: str) -> str:
        if not self._colors:
            return text
        return f"{self._colors.get(color, '')}{text}{self._colors['reset']}"


# --- its end


def describe_run(run: RunRecord, repeat: str, record: str) -> str:
    """Write the last screenful: what failed, where, and the one command that repeats it."""
    job = run.job
    shard = f"shard {job['shard']} of {job['num_shards']}"
    where = f"{job['config']} on {job['build_environment']}, {shard}"
    tests = list(dict.fromkeys(step.test for step in run.steps if step.test not in _NOT_TESTS))
    bad = list(dict.fromkeys(step.test for step in run.bad_steps))
    counts = f"{len(tests)} tests" if len(tests) != 1 else "1 test"
    counts += f", {len(bad)} failed" if bad else ""
    lines = ["", f"{_verdict(run)}  {where} · {counts} · {duration(run.wall)}", *_route(run), ""]
    for name in dict.fromkeys(step.test for step in run.steps):
        lines += _test_lines([step for step in run.steps if step.test == name])
    if run.note:
        lines += ["", f"the runner failed: {run.note}"]
    if run.outcome is Outcome.NO_TEST:
        lines += ["", "no test ran, so this is not a success: a dry run shows why each is skipped."]
    if run.bad_steps and repeat:
        lines += ["", "Repeat just this step:", textwrap.indent(repeat, "  ")]
    return "\n".join([*lines, "", f"record: {record}", ""])


def _route(run: RunRecord) -> list[str]:
    """Say who ran the job and why, where the gate was asked."""
    if not run.route:
        return []
    detail = f", {run.route['detail']}" if run.route.get("detail") else ""
    back = f" (Python could not: {run.route['fallback']})" if run.route.get("fallback") else ""
    return [f"route: {run.runner}: {run.route.get('reason')}{detail}{back}"]


_NOT_TESTS = ("setup", "cleanup")


def _verdict(run: RunRecord) -> str:
    words = {Outcome.PASSED: "PASSED", Outcome.INTERRUPTED: "INTERRUPTED"}
    return words.get(run.outcome, "FAILED")


def _test_lines(steps: list[StepRecord]) -> list[str]:
    """One line for a test that went well; for another, also its bad steps and failed cases."""
    name, wall = steps[0].test, sum(step.wall for step in steps)
    bad = [step for step in steps if step.outcome.is_bad]
    ran = [step for step in steps if step.outcome is not Outcome.SKIPPED]
    if not ran and name in _NOT_TESTS:
        return []
    if not ran:
        reasons = dict.fromkeys(step.note for step in steps)
        return [f" - {name:28} skipped: {'; '.join(reasons)}"]
    if not bad:
        if name in _NOT_TESTS:
            return []
        return [f" ✓ {name:28} exit 0   {duration(wall):>12}{_case_counts(steps)}"]
    lines = []
    for step in bad:
        word = "" if step.outcome is Outcome.FAILED else f" ({step.outcome})"
        code = f"exit {step.code}" if step.code else "failed"
        head = f" ✗ {name:28} {code}{word}   {duration(step.wall):>12}"
        lines.append(head + _case_counts([step]))
        lines.append(f"     step {step.number}: {step.command}")
        lines += [f"     {line}" for line in step.note.splitlines()]
        lines += [f"       {line}" for line in step.tail if line.strip() not in step.note]
        lines += _failed_cases(step)
    return lines


def _case_counts(steps: list[StepRecord]) -> str:
    cases = [step.cases for step in steps if step.cases]
    total = sum(case.total for case in cases)
    kinds = (
        (sum(case.failures for case in cases), "failures"),
        (sum(case.errors for case in cases), "errors"),
        (sum(case.skipped for case in cases), "skipped"),
    )
    named = ", ".join(f"{number:,} {word}" for number, word in kinds if number)
    if total:
        return f"   {total:,} cases" + (f": {named}" if named else "")
    return f"   {named}" if named else ""


def _failed_cases(step: StepRecord) -> list[str]:
    """Show a few failed cases, those with the same message together."""
    if step.cases is None:
        return []
    by_message: dict[str, list[Case]] = {}
    for case in step.cases.failed:
        by_message.setdefault(case.message, []).append(case)
    counted = Counter({message: len(cases) for message, cases in by_message.items()})
    lines: list[str] = []
    common = counted.most_common()
    for message, number in common[:_SHOWN_CASES]:
        lines.append(f"     {by_message[message][0].name}")
        if message:
            lines.append(f"       {message}")
        if number > 1:
            where = f" ({step.cases.source})" if step.cases.source else ""
            lines.append(f"     … {number - 1} more, the same{where}")
    rest = sum(number for _, number in common[_SHOWN_CASES:])
    if rest:
        lines.append(f"     … and {rest} more ({step.cases.source})")
    return lines


def repeat_command(  # noqa: PLR0913 - what a command is repeated with
    plan: Plan,
    run: RunRecord,
    words: Sequence[str],
    *,
    checkout: Checkout,
    env: Variables,
    inputs: Variables | None = None,
) -> str:
    """Write the commands that repeat the first bad step: with this tool, and without.

    ``words`` call this tool, after ``inputs`` that no option can give; without words there is only
    the plain command, in ``env``.
    """
    bad = next(iter(run.bad_steps), None)
    if bad is None:
        return ""
    options = list(words)
    test = next((test for test in plan.tests if test.name == bad.test), None)
    if test is not None:
        options += ["--test", test.name, "--step", str(bad.number)]
    steps = plan.cleanup if bad.test == "cleanup" else test.steps if test else plan.setup
    step = steps[bad.number - 1] if 0 < bad.number <= len(steps) else None
    if step is not None and step.each:  # the executable that failed, of several
        step = replace(step, argv=tuple(shlex.split(bad.command)), each=None)
    given = [_assign(name, value) for name, value in (inputs or {}).items() if value is not None]
    lines = [" ".join([*given, *map(as_shell_word, options)])] if words else []
    if step is not None and step.kind is not Kind.PROBE:
        folder = shlex.quote(str(checkout.root))
        settings = [word for name, value in env.items() if value is None for word in ("-u", name)]
        settings += [
            _assign(name, value)
            for name, value in env.items()
            if value is not None and name not in _UNSHOWN
        ]
        line = command_line(step)
        if step.cwd != "." or any(value is None for value in step.env.values()):
            line = f"bash -c {shlex.quote(line)}"
        plain = f"(cd {folder} && {' '.join(['env', *settings, line])})"
        lines.append(f"or without it: {plain}" if words else plain)
    return "\n".join(lines)
