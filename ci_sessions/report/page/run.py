"""One run as a page shows it: why it is red, its steps, and the commands that repeat it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.records.record import NOT_TESTS, Outcome
from ci_sessions.report.page.timeline import lanes, length, slices, status_of, ticks, tone_of
from ci_sessions.text import clock_duration, count, duration, exit_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.records.record import Cases, RunRecord, StepRecord
    from ci_sessions.report.page.rollout import Tone
    from ci_sessions.report.page.timeline import Lane, Slice

__all__ = ["RunView", "view_run"]

_MOST_CASES = 12  # names in a group of failed cases
_MOST_GROUPS = 20
_MEGABYTE = 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Failed cases with the same message: their number, and the first names with their places."""

    message: str
    number: int
    cases: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StepView:
    """A step, with all that its record says about it."""

    id: str
    test: str
    number: int
    command: str
    outcome: str
    tone: Tone
    status: str
    wall: str
    cpu: str
    peak: str
    note: str
    cases: str
    groups: tuple[Group, ...]
    more_groups: int
    tail: str
    log: str
    is_failure: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """A run. ``commands`` repeat what failed, under what each repeats."""

    id: str
    config: str
    build: str
    shard: str
    outcome: str
    tone: Tone
    started: str
    wall: str
    headline: str
    facts: tuple[tuple[str, str], ...]
    note: str
    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    slices: tuple[Slice, ...]
    failed: tuple[StepView, ...]
    steps: tuple[StepView, ...]
    commands: Mapping[str, Sequence[str]]


def view_run(run: RunRecord, commands: Mapping[str, Sequence[str]], path: str) -> RunView:
    """Return what a page shows of a run. ``path`` is the file of its record."""
    steps = tuple(_step(step) for step in run.steps)
    total = length(run)
    return RunView(
        id=run.id,
        config=_text(run.job.get("config")),
        build=_text(run.job.get("build_environment")),
        shard=f"shard {run.job.get('shard', 1)} of {run.job.get('num_shards', 1)}",
        outcome=str(run.outcome),
        tone=tone_of(run.outcome),
        started=run.started[:19].replace("T", " ") + " UTC",
        wall=duration(run.wall or total),
        headline=_headline(run),
        facts=tuple(_facts(run, path)),
        note=run.note,
        lanes=tuple(lanes(run, total)),
        ticks=ticks(total),
        slices=tuple(slices(run, total)),
        failed=tuple(step for step in steps if step.is_failure),
        steps=steps,
        commands=commands,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _headline(run: RunRecord) -> str:
    """Return in one line why the run ended as it did."""
    failed = run.failed_steps
    if not failed:
        tests = dict.fromkeys(step.test for step in run.steps if step.test not in NOT_TESTS)
        reasons = {
            Outcome.PASSED: f"{count(len(tests), 'test')} passed",
            Outcome.ABORTED: "its record has no end: the run was killed, or is still running",
            Outcome.NO_TEST: "no test ran",
            Outcome.RUNNER_ERROR: "the runner failed, not a test",
        }
        return reasons.get(run.outcome, str(run.outcome))
    step = failed[0]
    bad = step.cases.failures + step.cases.errors if step.cases else 0
    what = f"{count(bad, 'case')} failed" if bad else status_of(step)
    names = dict.fromkeys(one.test for one in failed)
    more = f", and {count(len(names) - 1, 'more test')} failed" if len(names) > 1 else ""
    return f"{step.test}: {what}{more}"


def _facts(run: RunRecord, path: str) -> list[tuple[str, str]]:
    route, code = run.route, run.exit_code
    found = [
        ("exit code", "" if code is None else exit_status(code).removeprefix("exit ")),
        ("runner", str(run.runner)),
        ("route", ", ".join(filter(None, (str(route.reason), route.detail))) if route else ""),
        ("fallback", f"{route.fallback}: {route.error}" if route and route.fallback else ""),
        ("shadow", route.shadow.describe() if route and route.shadow else ""),
        ("commit", route.commit if route else ""),
        ("checkout", run.checkout),
        ("record", path),
    ]  # fmt: skip
    return [(name, value) for name, value in found if value]


# --- steps


def _step(step: StepRecord) -> StepView:
    groups = step.cases.groups() if step.cases else []
    is_skipped = step.outcome is Outcome.SKIPPED
    return StepView(
        id=step.id,
        test=step.test,
        number=step.number,
        command=step.command,
        outcome=str(step.outcome),
        tone=tone_of(step.outcome),
        status=status_of(step),
        wall="" if is_skipped else clock_duration(step.wall),
        cpu=clock_duration(step.cpu) if step.cpu else "",
        peak=f"{step.peak / _MEGABYTE:,.0f} MB" if step.peak else "",
        note=step.note,
        cases=_case_counts(step.cases),
        groups=tuple(
            Group(
                message=case.message,
                number=number,
                cases=tuple(_members(step.cases, case.message, case.name)),
            )
            for case, number in groups[:_MOST_GROUPS]
        ),
        more_groups=max(0, len(groups) - _MOST_GROUPS),
        tail="\n".join(step.tail),
        log=step.log,
        is_failure=step.outcome.is_failure,
    )


def _members(cases: Cases | None, message: str, name: str) -> list[tuple[str, str]]:
    """Return the first cases of a group, each with its place in the checkout."""
    found = [
        one
        for one in (cases.failed if cases else ())
        if (one.message == message if message else one.name == name)
    ]
    return [(one.name, f"{one.file}:{one.line}" if one.file else "") for one in found[:_MOST_CASES]]


def _case_counts(cases: Cases | None) -> str:
    if cases is None:
        return ""
    parts = [
        count(cases.total, "case"),
        count(cases.failures, "failure") if cases.failures else "",
        count(cases.errors, "error") if cases.errors else "",
        f"{cases.skipped:,} skipped" if cases.skipped else "",
    ]
    return ", ".join(part for part in parts if part)
