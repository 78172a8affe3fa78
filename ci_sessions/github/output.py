"""A run on GitHub Actions: a step summary in Markdown, and an annotation for each failed case."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_sessions.records.record import Outcome
from ci_sessions.text import (
    duration,
    for_annotation,
    for_annotation_title,
    for_markdown,
    for_markdown_block,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.records.record import RunRecord, StepRecord

__all__ = ["annotate", "step_summary"]

_MARKS = {Outcome.PASSED: "✅", Outcome.SKIPPED: "⏭️"}
_MAX_CASES = 50


def step_summary(run: RunRecord, repeat: str) -> str:
    """Return the summary: each test with its result and time, the failures, a command to repeat."""
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
        lines.append("")
    lines += ["| test | result | time | share | cases |", "| --- | --- | ---: | ---: | ---: |"]
    lines += [_row(run, name) for name in dict.fromkeys(step.test for step in run.steps)]
    failures = [line for step in run.failed_steps for line in _failures(step)]
    if failures:
        lines += ["", "#### Failures", "", *failures]
    if repeat and run.failed_steps:
        lines += ["", "Repeat the first failed step:", ""]
        lines += for_markdown_block(repeat.splitlines()[:1], "sh")
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
    code = f", exit {bad[0].code}" if bad and bad[0].code else ""
    result = f"{_mark(outcome)} {outcome}{code}"
    return f"| {_title(name)} | {result} | {duration(wall)} | {share} | {cases or ''} |"


def _failures(step: StepRecord) -> Iterator[str]:
    yield f"**{for_markdown(step.test)}**, step {step.number}: {_code(step.command)}"
    yield ""
    for line in step.note.splitlines():
        yield f"> {for_markdown(line)}"
    cases = step.cases.failed if step.cases else ()
    for case in cases[:_MAX_CASES]:
        yield f"- {_code(case.name)} {for_markdown(case.message)}"
    if len(cases) > _MAX_CASES:
        yield f"- … and {len(cases) - _MAX_CASES} more"
    if step.tail and not cases:
        yield from for_markdown_block(step.tail)
    yield ""


def _code(text: str) -> str:
    return f"<code>{for_markdown(text)}</code>"


def annotate(run: RunRecord) -> list[str]:
    """Return an ``::error`` command for each failed case, or for a failed step without cases."""
    lines: list[str] = []
    for step in run.failed_steps:
        cases = step.cases.failed[:_MAX_CASES] if step.cases else ()
        lines += [
            _annotation(f"{step.test}: {case.name}", case.message or case.fault) for case in cases
        ]
        if not cases:
            what = step.note or f"{step.command}: exit {step.code}"
            lines.append(_annotation(f"{step.test}, step {step.number}", what))
    return lines


def _annotation(title: str, message: str) -> str:
    return f"::error title={for_annotation_title(title)}::{for_annotation(message)}"
