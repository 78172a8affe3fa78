"""The summary at the end of a run: what failed, where, and the command that repeats it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from colorlog.escape_codes import escape_codes

from ci_sessions.records.record import NOT_TESTS, Outcome
from ci_sessions.text import count, duration, exit_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.records.record import RunRecord, StepRecord

__all__ = ["MAX_GROUPS", "color_verdict", "describe_run"]

MAX_GROUPS = 5
"""How many groups of failed cases are shown."""
_VERDICTS = {Outcome.PASSED: "PASSED", Outcome.INTERRUPTED: "INTERRUPTED"}


def describe_run(run: RunRecord, repeat: Mapping[str, Sequence[str]], record: str) -> str:
    """Return the summary. ``repeat`` has the commands that repeat the first failed step."""
    job = run.job
    shard = f"shard {job['shard']} of {job['num_shards']}"
    where = f"{job['config']} on {job['build_environment']}, {shard}"
    tests = list(dict.fromkeys(step.test for step in run.steps if step.test not in NOT_TESTS))
    failed = list(dict.fromkeys(step.test for step in run.failed_steps))
    counts = count(len(tests), "test") + (f", {len(failed)} failed" if failed else "")
    verdict = _VERDICTS.get(run.outcome, "FAILED")
    lines = ["", f"{verdict}  {where} · {counts} · {duration(run.wall)}", *_route(run), ""]
    for name in dict.fromkeys(step.test for step in run.steps):
        lines += _test_lines([step for step in run.steps if step.test == name])
    if run.note:
        lines += ["", f"the runner failed: {run.note}"]
    if run.outcome is Outcome.NO_TEST:
        why = "--dry-run shows why each test is skipped"
        if run.has_run_tests:
            why = "no test case has the name that --case gives"
        lines += ["", f"no test ran, so the run failed: {why}."]
    lines += [""] if repeat else []
    for what, commands in repeat.items():
        lines += [f"Repeat {what}:", *(f"  {command}" for command in commands)]
    return "\n".join([*lines, "", f"record: {record}", ""])


def color_verdict(text: str) -> str:
    """Color the verdict in a summary for a terminal."""
    word = text.lstrip("\n").partition(" ")[0]
    color = "bold_green" if word == _VERDICTS[Outcome.PASSED] else "bold_red"
    return text.replace(word, f"{escape_codes[color]}{word}{escape_codes['reset']}", 1)


def _route(run: RunRecord) -> list[str]:
    """Return lines about the route and the shadow comparison, if the gate was asked."""
    route = run.route
    if route is None:
        return []
    detail = f", {route.detail}" if route.detail else ""
    fallback = f" (Python could not run it: {route.fallback})" if route.fallback else ""
    lines = [f"route: {run.runner}: {route.reason}{detail}{fallback}"]
    if route.shadow is not None:
        lines.append(f"shadow: plan and script compared: {route.shadow.describe()}")
    return lines


def _test_lines(steps: list[StepRecord]) -> list[str]:
    """Return one line for a test that passed, or the failed steps and cases of one that did not."""
    name, wall = steps[0].test, sum(step.wall for step in steps)
    failed = [step for step in steps if step.outcome.is_failure]
    ran = [step for step in steps if step.outcome is not Outcome.SKIPPED]
    if not failed and name in NOT_TESTS:
        return []
    if not ran:
        reasons = dict.fromkeys(step.note for step in steps)
        return [f" - {name:28} skipped: {'; '.join(reasons)}"]
    if not failed:
        return [f" ✓ {name:28} exit 0   {duration(wall):>12}{_case_counts(steps)}"]
    return [line for step in failed for line in _failed_step(step)]


def _failed_step(step: StepRecord) -> list[str]:
    outcome = "" if step.outcome is Outcome.FAILED else f" ({step.outcome})"
    code = exit_status(step.code) if step.code else "failed"
    head = f" ✗ {step.test:28} {code}{outcome}   {duration(step.wall):>12}"
    return [
        head + _case_counts([step]),
        f"     step {step.number}: {step.command}",
        *(f"     {line}" for line in step.note.splitlines()),
        *_failed_cases(step),
        *(f"       {line}" for line in step.tail if line.strip() not in step.note),
        *([f"     log: {step.log}"] if step.log else []),
    ]


def _case_counts(steps: list[StepRecord]) -> str:
    cases = [step.cases for step in steps if step.cases]
    total = sum(case.total for case in cases)
    failures, errors = sum(case.failures for case in cases), sum(case.errors for case in cases)
    skipped = sum(case.skipped for case in cases)
    named = ", ".join(
        text
        for number, text in (
            (failures, count(failures, "failure")),
            (errors, count(errors, "error")),
            (skipped, f"{skipped:,} skipped"),
        )
        if number
    )
    if total:
        return f"   {count(total, 'case')}" + (f": {named}" if named else "")
    return f"   {named}" if named else "   no test case ran" if cases else ""


def _failed_cases(step: StepRecord) -> list[str]:
    """Return lines for the failed cases: one case of each message, the most frequent first."""
    if step.cases is None:
        return []
    groups = step.cases.groups()
    where = f" ({step.cases.source})" if step.cases.source else ""
    lines: list[str] = []
    for case, number in groups[:MAX_GROUPS]:
        place = f"{case.file}:{case.line}" if case.file else ""
        lines.append(f"     {case.name:66} {place}".rstrip())
        if case.message:
            lines.append(f"       {case.message}")
        if number > 1:
            lines.append(f"     … {number - 1} more with this message{where}")
    rest = groups[MAX_GROUPS:]
    if rest:
        lines.append(f"     … and {sum(number for _, number in rest)} more{where}")
    return lines
