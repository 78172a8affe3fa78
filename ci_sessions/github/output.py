"""A run on GitHub Actions: a step summary in Markdown, and an annotation for each failed case."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_sessions.records.record import Outcome
from ci_sessions.text import (
    duration,
    exit_status,
    for_annotation,
    for_annotation_title,
    for_markdown,
    for_markdown_block,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ci_sessions.records.record import RunRecord, StepRecord

__all__ = ["annotate", "step_summary"]

_MARKS = {Outcome.PASSED: "✅", Outcome.SKIPPED: "⏭️"}
_MAX_GROUPS = 50  # messages of failed cases in a summary
_MAX_ANNOTATIONS = 10  # per step of a workflow; GitHub ignores more


def step_summary(run: RunRecord, repeat: Mapping[str, Sequence[str]]) -> str:
    """Return the summary: each test with its result and time, the failures, commands to repeat."""
    job = run.job
    shard = f"shard {job['shard']} of {job['num_shards']}"
    title = f"{_title(job['config'])} on {_title(job['build_environment'])}, {shard}"
    lines = [f"### {_mark(run.outcome)} {title}", ""]
    if run.route:
        detail = f" ({run.route.detail})" if run.route.detail else ""
        lines += [f"Run by **{run.runner}**: `{run.route.reason}`{detail}"]
        if run.route.fallback:
            error = for_markdown(run.route.error)
            lines += ["", f"⚠️ Python could not run it: `{run.route.fallback}` {error}"]
        if run.route.shadow:
            lines += ["", f"Plan and script compared: {for_markdown(run.route.shadow.describe())}"]
        lines.append("")
    lines += ["| test | result | time | share | cases |", "| --- | --- | ---: | ---: | ---: |"]
    lines += [_row(run, name) for name in dict.fromkeys(step.test for step in run.steps)]
    failures = [line for step in run.failed_steps for line in _failures(step)]
    if failures:
        lines += ["", "#### Failures", "", *failures]
    for what, commands in repeat.items():
        lines += ["", f"Repeat {what}:", "", *for_markdown_block(commands, "sh")]
    return "\n".join([*lines, ""])


def _title(text: str) -> str:
    """Return a name for a heading; ordinary names need no escapes."""
    return text if re.fullmatch(r"[\w.+-]+", text, re.ASCII) else for_markdown(text)


def _mark(outcome: Outcome) -> str:
    return _MARKS.get(outcome, "❌")


def _row(run: RunRecord, name: str) -> str:
    steps = [step for step in run.steps if step.test == name]
    bad = [step for step in steps if step.outcome.is_failure]
    ran = [step for step in steps if step.outcome is not Outcome.SKIPPED]
    outcome = bad[0].outcome if bad else Outcome.PASSED if ran else Outcome.SKIPPED
    wall = sum(step.wall for step in steps)
    share = f"{100 * wall / run.wall:.0f} %" if run.wall else ""
    cases = sum(step.cases.total for step in steps if step.cases)
    code = f", {exit_status(bad[0].code)}" if bad and bad[0].code else ""
    result = f"{_mark(outcome)} {outcome}{code}"
    return f"| {_title(name)} | {result} | {duration(wall)} | {share} | {cases or ''} |"


def _failures(step: StepRecord) -> Iterator[str]:
    yield f"**{for_markdown(step.test)}**, step {step.number}: {_code(step.command)}"
    yield ""
    for line in step.note.splitlines():
        yield f"> {for_markdown(line)}"
    groups = step.cases.groups() if step.cases else []
    for case, number in groups[:_MAX_GROUPS]:
        place = f" ({for_markdown(f'{case.file}:{case.line}')})" if case.file else ""
        more = f", and {number - 1} more with this message" if number > 1 else ""
        yield f"- {_code(case.name)}{place} {for_markdown(case.message)}{more}"
    if rest := groups[_MAX_GROUPS:]:
        yield f"- … and {sum(number for _, number in rest)} more"
    if step.tail and not groups:
        yield from for_markdown_block(step.tail)
    yield ""


def _code(text: str) -> str:
    return f"<code>{for_markdown(text)}</code>"


def annotate(run: RunRecord) -> list[str]:
    """Return an ``::error`` command for each message of failed cases, or for each failed step.

    It is attached to the line of the checkout's file that failed, if that is known.
    """
    lines: list[str] = []
    for step in run.failed_steps:
        groups = step.cases.groups()[:_MAX_ANNOTATIONS] if step.cases else []
        for case, number in groups:
            more = f" and {number - 1} more" if number > 1 else ""
            place = {"file": case.file, "line": str(case.line)} if case.file else {}
            title = f"{step.test}: {case.name}{more}"
            lines.append(_annotation(case.message or case.fault, **place, title=title))
        if not groups:
            what = step.note or f"{step.command}: {exit_status(step.code or 1)}"
            lines.append(_annotation(what, title=f"{step.test}, step {step.number}"))
    return lines


def _annotation(message: str, **properties: str) -> str:
    shown = ",".join(f"{name}={for_annotation_title(v)}" for name, v in properties.items())
    return f"::error {shown}::{for_annotation(message)}"
