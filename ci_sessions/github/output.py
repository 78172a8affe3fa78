"""A run on GitHub Actions: a step summary in Markdown, and an annotation for each failed case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.records.record import Outcome
from ci_sessions.text import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.records.record import RunRecord, StepRecord

__all__ = ["annotate", "step_summary"]

_MARKS = {Outcome.PASSED: "✅", Outcome.SKIPPED: "⏭️"}
_MAX_CASES = 50


def step_summary(run: RunRecord, repeat: str) -> str:
    """Return the summary: each test with its result and time, the failures, a command to repeat."""
    job = run.job
    title = f"{job['config']} on {job['build_environment']}, shard {job['shard']}"
    lines = [f"### {_mark(run.outcome)} {title} of {job['num_shards']}", ""]
    if run.route:
        detail = f" ({run.route.detail})" if run.route.detail else ""
        lines += [f"Run by **{run.runner}**: `{run.route.reason}`{detail}"]
        if run.route.fallback:
            error = _cell(run.route.error)
            lines += ["", f"⚠️ Python could not run it: `{run.route.fallback}` {error}"]
        lines.append("")
    lines += ["| test | result | time | share | cases |", "| --- | --- | ---: | ---: | ---: |"]
    lines += [_row(run, name) for name in dict.fromkeys(step.test for step in run.steps)]
    failures = [line for step in run.failed_steps for line in _failures(step)]
    if failures:
        lines += ["", "#### Failures", "", *failures]
    if repeat and run.failed_steps:
        lines += ["", "Repeat the first failed step:", "", "```sh", *repeat.splitlines()[:1], "```"]
    return "\n".join([*lines, ""])


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
    return f"| {name} | {result} | {duration(wall)} | {share} | {cases or ''} |"


def _failures(step: StepRecord) -> Iterator[str]:
    yield f"**{step.test}**, step {step.number}: `{_cell(step.command)}`"
    yield ""
    for line in step.note.splitlines():
        yield f"> {_cell(line)}"
    cases = step.cases.failed if step.cases else ()
    for case in cases[:_MAX_CASES]:
        yield f"- `{_cell(case.name)}` {_cell(case.message)}"
    if len(cases) > _MAX_CASES:
        yield f"- … and {len(cases) - _MAX_CASES} more"
    if step.tail and not cases:
        yield from ("```", *step.tail, "```")
    yield ""


def _cell(text: str) -> str:
    """Escape text for a Markdown table: one line, no cell separator, code or HTML."""
    flat = " ".join(text.split())
    for char, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'")):
        flat = flat.replace(char, safe)
    return flat


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
    title = _escaped(title).replace(":", "%3A").replace(",", "%2C")
    return f"::error title={title}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
