"""Whole records of single runs among many, read again from their places in the files.

A test may have changed a record. So values that no run has are left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import RecordError
from ci_sessions.records.query import event_of, lines_of
from ci_sessions.records.record import Case, Cases, StepRecord, run_from_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.records.query import Summary
    from ci_sessions.records.record import RunRecord

__all__ = ["read_whole"]

_MOST_EVENTS = 20_000  # of a run; a real one has some dozens
_LONGEST_STEP = 1e7  # seconds
_LARGEST = 1 << 50  # bytes, cases, or the line of a file


def read_whole(run: Summary) -> RunRecord | None:
    """Return the record of a run with all of its steps; None if it cannot be read again.

    Its end may be after the start of another run, if two wrote to one file. So how it ended is
    taken from the summary.
    """
    if run.place < 0:
        return None
    try:
        found = run_from_events(_events(run))
    except RecordError:
        return None
    if found.id != run.id:
        return None
    steps = tuple(_plausible(step) for step in found.steps)
    return replace(found, outcome=run.outcome, wall=run.wall, steps=steps)


def _events(run: Summary) -> Iterator[dict[str, Any]]:
    """Yield the events of a run until its end, or the start of the next one."""
    lines = lines_of(Path(run.path), [], run.place)
    for number, line in enumerate(lines):
        event = event_of(line)
        if event is None:
            continue
        name = event.get("event")
        if number >= _MOST_EVENTS or (name == "run started" and number):
            return
        yield event
        if name == "run ended":
            return


def _plausible(step: StepRecord) -> StepRecord:
    """Return a step without the values that no step has."""
    cases = step.cases
    return replace(
        step,
        wall=_within(step.wall, _LONGEST_STEP),
        cpu=_within(step.cpu, _LONGEST_STEP),
        peak=int(_within(step.peak, _LARGEST)),
        cases=cases if cases is not None and _are_cases(cases) else None,
        tail=tuple(line for line in step.tail if isinstance(line, str)),
        log=step.log if isinstance(step.log, str) else "",
    )


def _within(number: float, most: float) -> float:
    return number if 0 <= number < most else 0.0


def _are_cases(cases: Cases) -> bool:
    counts = (cases.total, cases.failures, cases.errors, cases.skipped)
    return all(map(_is_count, counts)) and all(map(_is_case, cases.failed))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < _LARGEST


def _is_case(case: Case) -> bool:
    texts = (case.name, case.fault, case.message, case.file, case.test_file)
    return all(isinstance(text, str) for text in texts) and _is_count(case.line)
