"""A plan as the text of a dry run, which can be pasted into a shell, and as a bash script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_sessions.plan.plan import TestKind
from ci_sessions.plan.shell import ShellWriter, quote
from ci_sessions.plan.step import Expect
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.plan.plan import Plan, Test
    from ci_sessions.plan.step import Step

__all__ = ["describe_plan", "describe_suites", "plan_script"]

_EXPECTATIONS = {
    Expect.SUCCESS: "",
    Expect.FAILURE: "must fail",
    Expect.ANYTHING: "may fail",
    Expect.CLEAN_CHECKOUT: "must print nothing new except ?? third_party",
    Expect.NO_OUTPUT: "must print nothing",
}
_PLACE_NAMES = ("ROOT", "SITE", "TMP", "SHIMS", "RANDOM_NAME")


def describe_plan(plan: Plan, checkout: Checkout, devices: int, place: Callable[[str], str]) -> str:
    """Return the text of a dry run, which can be pasted into a shell from the first ``cd`` on.

    Places keep their names (``$SITE``), which are set at the top. ``devices`` is the number of
    devices of this machine.
    """
    writer = ShellWriter(plan.questions)
    lines = [
        plan.describe_job(),
        f"{plan.row} · {describe_suites(plan)}",
        f"checkout {checkout.describe()}",
        *(f"note: {notice}" for notice in plan.notices),
        "",
        "environment of the job",
        f"  cd {quote(str(checkout.root))}",
        *_indented(_places(plan, writer, place)),
        *_indented(_exports(plan, writer)),
    ]
    if plan.setup:
        lines += ["", "setup", *_steps(plan.setup, writer)]
    for test in plan.tests:
        lines += ["", _test_heading(test), *_steps(test.steps, writer)]
    if plan.cleanup:
        lines += ["", "cleanup, which always runs", *_steps(plan.cleanup, writer)]
    return "\n".join([*lines, "", f"{_needs(plan, devices)} · nothing was run"])


def describe_suites(plan: Plan) -> str:
    """Return the names of the suites that a plan's tests come from."""
    return f"{'suite' if len(plan.suites) == 1 else 'suites'} {', '.join(plan.suites)}"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _places(plan: Plan, writer: ShellWriter, place: Callable[[str], str]) -> Iterator[str]:
    """Yield assignments of the places that the plan uses, except for those that every shell has."""
    lines = [writer.guarded_line(step) for step in plan.steps()]
    lines += [writer.export(name, value) for name, value in plan.env.items()]
    used = set(re.findall(r"\$(\w+)", "\n".join(lines)))
    for name in _PLACE_NAMES:
        if name in used:
            yield f"{name}={quote(place(name))}"


def _exports(plan: Plan, writer: ShellWriter) -> list[str]:
    lines = [writer.export(name, value) for name, value in plan.env.items()]
    return [*lines, *(["ulimit -c 0"] if plan.drops_core_dumps else [])]


_KINDS = {
    TestKind.ADDED: "added (not in test.sh)",
    TestKind.NATIVE: "native (test.sh does not know this configuration)",
}


def _test_heading(test: Test) -> str:
    kind = _KINDS.get(test.kind, f"replaces test.sh: {', '.join(test.replaces)}")
    return f"{test.name:40} {kind}" + (f"\n     skipped: {test.skipped}" if test.skipped else "")


def _steps(steps: tuple[Step, ...], writer: ShellWriter) -> list[str]:
    return [line for step in steps for line in _step(step, writer)]


def _step(step: Step, writer: ShellWriter) -> Iterator[str]:
    yield f"{step.number:3}  {writer.guarded_line(step)}"
    if step.skipped:
        yield f"     # skipped: {step.skipped}"
        return
    notes = [text for applies, text in _notes(step) if applies]
    if notes:
        yield f"     # {'; '.join(notes)}"


def _notes(step: Step) -> Iterator[tuple[object, str]]:
    """Yield what the shell line does not show: when the step runs and how it is evaluated."""
    policy = step.policy
    yield step.when, f"only if {step.when.description if step.when else ''}"
    yield policy.expect is not Expect.SUCCESS, _EXPECTATIONS[policy.expect]
    yield policy.required_output, f"must print {policy.required_output!r}"
    yield policy.retry_waits, f"up to {len(policy.retry_waits) + 1} tries"
    yield policy.defers_failure, "a failure counts after the next step"
    yield policy.always, "always runs"
    yield policy.skips_without_match, "only if a file matches"
    yield policy.imports, f"with other checks in one Python, which imports {policy.imports} once"
    yield policy.judge, f"its output is checked too ({policy.judge}), and it may run again"
    yield step.exports_variables, "its exports apply to later steps"


def _needs(plan: Plan, devices: int) -> str:
    need = plan.needs
    if not need.count:
        return "needs no device"
    here = "none" if devices == 0 else str(devices)
    return f"needs {count(need.count, f'{need.device.upper()} device')} (this machine: {here})"


def plan_script(plan: Plan, checkout: Checkout, place: Callable[[str], str]) -> str:
    """Return a plan as a bash script that stops at the first failure.

    Only the runner retries steps, cleans up after a failure and checks output.
    """
    writer = ShellWriter(plan.questions)
    lines = ["#!/bin/bash", f"# {plan.describe_job()}"]
    lines += ["# Only the runner retries steps, cleans up after a failure and checks output."]
    lines += ["set -e -o pipefail"]
    lines += [f"cd {quote(str(checkout.root))}", *_places(plan, writer, place)]
    lines += _exports(plan, writer)
    for title, steps, skipped in (
        ("setup", plan.setup, None),
        *((test.name, test.steps, test.skipped) for test in plan.tests),
        ("cleanup", plan.cleanup, None),
    ):
        mark = "# " if skipped else ""
        lines += ["", f"# {title}" + (f": skipped, {skipped}" if skipped else "")]
        lines += [mark + writer.guarded_line(step) for step in steps]
    return "\n".join(lines)
