"""Shows which jobs run a test: as a table, and as JSON for other tools."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from ci_sessions.catalogue.narrow import narrow
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.job.variables import (
    BUILD_ENVIRONMENT,
    BY_NAME,
    NUM_TEST_SHARDS,
    SHARD_NUMBER,
    TEST_CONFIG,
)
from ci_sessions.plan.placeholders import literal, render
from ci_sessions.plan.shell import quote, quote_all
from ci_sessions.plan.step import Kind, Program, Step
from ci_sessions.report.repeat import Invocation
from ci_sessions.text import count, for_log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.inventory.jobs import JobInventory
    from ci_sessions.inventory.where import Occurrence

__all__ = ["describe_where", "repeat_command", "where_to_json"]

_MAX_ROWS = 40
_HEADS = ("workflow", "build", "config", "shard", "part", "minutes", "")


def repeat_command(
    occurrence: Occurrence,
    program: Sequence[str],
    case: str,
    checkout: str | None,
    tree: Checkout = RECORDED,
) -> str:
    """Return the command that runs the test as the job does, and nothing else of the job.

    ``checkout`` is the option that selects ``tree``, if it was given.
    """
    job, step = occurrence.job, occurrence.step
    if step.env is not None:
        return _plain_command(occurrence, case, checkout, tree)
    file = ["--file", occurrence.file] if step.question is not None else []
    argv = (
        *program,
        job.config,
        *("--build-environment", job.build_environment),
        *(("--shard", f"{job.shard}/{job.num_shards}") if job.num_shards > 1 else ()),
        *(("--checkout", checkout) if checkout is not None else ()),
    )
    inputs = _inputs(job)
    more = ["--test", step.test, "--step", str(step.number), *file]
    return Invocation(argv=argv, inputs=inputs).line(*more, *(["--case", case] if case else []))


def _inputs(job: JobInventory) -> dict[str, str]:
    """Return the variables of a job's workflow that a run needs to be the same."""
    return {n: text for n, text in job.env.items() if n in BY_NAME and BY_NAME[n].is_repeated}


def _plain_command(occurrence: Occurrence, case: str, checkout: str | None, tree: Checkout) -> str:
    """Return the command of a traced script with only this file, in the job's environment."""
    job, step = occurrence.job, occurrence.step
    program = Program(tuple(map(literal, step.argv)))
    if step.question is not None:
        traced = Step(kind=Kind.TEST, command=program)
        argv = narrow(traced, [occurrence.file], [case] if case else [], tree).argv
        program = Program(argv)
    shared = {
        TEST_CONFIG.name: job.config,
        BUILD_ENVIRONMENT.name: job.build_environment,
        SHARD_NUMBER.name: str(job.shard),
        NUM_TEST_SHARDS.name: str(job.num_shards),
    }
    # What names a place of the traced machine ($SITE …) has another value here.
    variables = {**shared, **_inputs(job), **(step.env or {})}
    sets = [f"{name}={quote(text)}" for name, text in variables.items() if "$" not in text]
    words = quote_all(render(word, lambda piece: piece.name) for word in program.argv)
    return f"(cd {quote(checkout or '.')} && env {' '.join(sets)} {words})"


def where_to_json(found: Sequence[Occurrence], commands: Sequence[str]) -> list[dict[str, Any]]:
    """Return an object for each part of a test file in each job of each workflow."""
    return [
        {
            "file": one.file,
            "workflow": workflow,
            "build_environment": one.job.build_environment,
            "config": one.job.config,
            "shard": one.job.shard,
            "num_shards": one.job.num_shards,
            "part": one.part,
            "parts": one.parts,
            "minutes": one.minutes,
            "command": command,
        }
        for one, command in zip(found, commands, strict=True)
        for workflow in (one.job.workflows or (None,))
    ]


def describe_where(
    found: Sequence[Occurrence],
    commands: Sequence[str],
    jobs: int,
    *,
    missing: Mapping[str, str],
    every: bool = False,
) -> str:
    """Return a table for each test file, with the command that runs it as the first job does.

    ``missing`` has the reason for each file that no job runs. ``every``: also long tables whole.
    """
    by_file: dict[str, list[tuple[Occurrence, str]]] = defaultdict(list)
    for pair in zip(found, commands, strict=True):
        by_file[pair[0].file].append(pair)
    lines: list[str] = []
    for file, pairs in sorted(by_file.items()):
        pairs.sort(key=lambda pair: bool(pair[0].step.unknown))
        lines += [*_table(file, [one for one, _ in pairs], jobs, every=every), ""]
        first, command = pairs[0]
        lines += [f"Run it as the first of them does{_note(first)}:", f"  {command}", ""]
    for file, reason in sorted(missing.items()):
        lines += [f"{file} runs in none of {count(jobs, 'scheduled job')}", f"  {reason}", ""]
    return for_log("\n".join(lines).rstrip("\n"))


def _note(first: Occurrence) -> str:
    return "" if first.parts == 1 else ", but all parts of the file"


def _table(file: str, group: Sequence[Occurrence], jobs: int, *, every: bool) -> list[str]:
    by_job: dict[int, list[Occurrence]] = defaultdict(list)
    for one in group:
        by_job[id(one.job)].append(one)
    rows = [_row(parts) for parts in by_job.values()]
    shown = rows if every else rows[:_MAX_ROWS]
    widths = [max(len(row[n]) for row in [_HEADS, *shown]) for n in range(len(_HEADS))]
    lines = [f"{file} runs in {len(rows):,} of {count(jobs, 'scheduled job')}"]
    for row in [_HEADS, *shown]:
        cells = [cell.ljust(width) for cell, width in zip(row[:5], widths, strict=False)]
        lines.append("  " + "  ".join([*cells, row[5].rjust(widths[5]), *row[6:]]).rstrip())
    if len(rows) > len(shown):
        lines.append(f"  … {count(len(rows) - len(shown), 'more job')}: --every shows all")
    return lines


def _row(parts: Sequence[Occurrence]) -> tuple[str, ...]:
    """Return the row of a job, in which several steps may run parts of the file."""
    job, steps = parts[0].job, {(one.step.test, one.step.number) for one in parts}
    minutes = [one.minutes for one in parts if one.minutes is not None]
    numbers = sorted({one.part for one in parts})
    unknown = sorted({option for one in parts for option in one.step.unknown})
    notes = [f"in {count(len(steps), 'step')}"] if len(steps) > 1 else []
    notes += [f"run_test.py does not know {', '.join(unknown)}"] if unknown else []
    return (
        ", ".join(name.removesuffix(".yml") for name in job.workflows) or "-",
        job.build_environment,
        job.config,
        f"{job.shard}/{job.num_shards}",
        f"{_ranges(numbers)}/{parts[0].parts}",
        f"{sum(minutes):.1f}" if minutes else "-",
        "; ".join(notes),
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers with ranges: ``1-3,7``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
