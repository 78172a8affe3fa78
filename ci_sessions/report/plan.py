"""A plan for people: a dry run to read and to paste, and a script for bash."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_sessions.plan.plan import TestKind
from ci_sessions.plan.shell import ShellWriter, quote
from ci_sessions.plan.step import Expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.plan.plan import Plan, Test
    from ci_sessions.plan.step import Step

__all__ = ["describe_plan", "describe_suites", "plan_script"]

_EXPECTED = {
    Expect.SUCCESS: "",
    Expect.FAILURE: "must fail",
    Expect.ANYTHING: "may fail",
    Expect.CLEAN_CHECKOUT: "must print nothing new but ?? third_party",
    Expect.NO_OUTPUT: "must print nothing",
}
_PLACES = ("ROOT", "SITE", "TMP", "SHIMS", "RANDOM_NAME")


def describe_plan(plan: Plan, checkout: Checkout, devices: int, place: Callable[[str], str]) -> str:
    """Write a plan for a person, to be pasted into a shell from the first ``cd`` on.

    Places keep their short names (``$SITE``), which are set at the top. ``devices`` is how many
    this machine has.
    """
    writer = ShellWriter(plan.questions)
    lines = [
        plan.describe_job(),
        f"{plan.row} · {describe_suites(plan)}",
        f"checkout {checkout.describe()}",
        *(f"note: {notice}" for notice in plan.notices),
        "",
        "exported for the whole job",
        f"  cd {quote(str(checkout.root))}",
        *_indented(_places(plan, writer, place)),
        *_indented(_exports(plan, writer)),
    ]
    if plan.setup:
        lines += ["", "set-up", *_steps(plan.setup, writer)]
    for test in plan.tests:
        lines += ["", _test_heading(test), *_steps(test.steps, writer)]
    if plan.cleanup:
        lines += ["", "clean-up, whatever happens", *_steps(plan.cleanup, writer)]
    return "\n".join([*lines, "", f"{_needs(plan, devices)} · nothing was run"])


def describe_suites(plan: Plan) -> str:
    """Name the suites that a plan's parts come from."""
    return f"{'suite' if len(plan.suites) == 1 else 'suites'} {', '.join(plan.suites)}"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _places(plan: Plan, writer: ShellWriter, place: Callable[[str], str]) -> Iterator[str]:
    """Set the places that the plan's lines name, but for those that every shell has."""
    lines = [writer.guarded_line(step) for step in plan.steps()]
    lines += [writer.export(name, value) for name, value in plan.env.items()]
    named = set(re.findall(r"\$(\w+)", "\n".join(lines)))
    for name in _PLACES:
        if name in named:
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
    """Say what a shell line alone does not: when the step runs, and what makes it good."""
    policy = step.policy
    yield step.when, f"only if {step.when.name if step.when else ''}"
    yield policy.expect is not Expect.SUCCESS, _EXPECTED[policy.expect]
    yield policy.required_output, f"and print {policy.required_output!r}"
    yield policy.retry_waits, f"up to {len(policy.retry_waits) + 1} tries"
    yield policy.defers_failure, "a failure counts after the next step"
    yield policy.always, "runs whatever happens"
    yield policy.judge, f"its output is judged too ({policy.judge}), and it may run again"
    yield step.keeps_environment, "what it exports holds from here on"


def _needs(plan: Plan, devices: int) -> str:
    need = plan.needs
    if not need.count:
        return "needs no device"
    word = "device" if need.count == 1 else "devices"
    here = "none" if devices == 0 else str(devices)
    return f"needs {need.count} {need.device.upper()} {word} (this machine: {here})"


def plan_script(plan: Plan, checkout: Checkout, place: Callable[[str], str]) -> str:
    """Write a plan as a bash script that stops at the first failure.

    What only the runner does is not in it: further tries, clean-up after a failure, and looking
    into output.
    """
    writer = ShellWriter(plan.questions)
    lines = ["#!/bin/bash", f"# {plan.describe_job()}"]
    lines += ["# Tries, clean-up after a failure and looking into output are the runner's."]
    lines += ["set -e -o pipefail"]
    lines += [f"cd {quote(str(checkout.root))}", *_places(plan, writer, place)]
    lines += _exports(plan, writer)
    for title, steps, skipped in (
        ("set-up", plan.setup, None),
        *((test.name, test.steps, test.skipped) for test in plan.tests),
        ("clean-up", plan.cleanup, None),
    ):
        mark = "# " if skipped else ""
        lines += ["", f"# {title}" + (f": skipped, {skipped}" if skipped else "")]
        lines += [mark + writer.guarded_line(step) for step in steps]
    return "\n".join(lines)
