"""Test cases, CPU time and memory of single runs: what a comparison of two runs needs.

A summary leaves them out, because reading every step of every run is slow. They are read for the
runs of pairs only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions.records.query import event_of, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci_sessions.records.query import Summary

__all__ = ["RunDetails", "read_details"]

_START, _STEP = b'"run started"', b'"step ended"'
_LARGEST = 1 << 50  # more bytes or seconds than any run has; a test may have written the value


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDetails:
    """A run's test cases, its CPU time in seconds and its peak memory in bytes.

    ``total`` and ``skipped`` count cases; -1 if no step has recorded any. ``failed`` are the names
    of failed cases; ``is_complete``: none is left out. ``cpu`` and ``peak`` are 0 if not known.
    """

    total: int = -1
    skipped: int = 0
    failed: frozenset[str] = frozenset()
    is_complete: bool = True
    cpu: float = 0.0
    peak: int = 0

    @property
    def has_cases(self) -> bool:
        """Whether the cases are known, including the name of each that failed."""
        return self.total >= 0 and self.is_complete


def read_details(runs: Iterable[Summary]) -> dict[str, RunDetails]:
    """Return the details of runs by their IDs; runs that cannot be read again have none."""
    wanted: dict[str, set[str]] = {}
    found: dict[str, RunDetails] = {}
    for run in runs:
        if run.place >= 0:
            found |= _read_file(Path(run.path), {run.id}, run.place)
        else:
            wanted.setdefault(run.path, set()).add(run.id)
    for path, ids in wanted.items():
        if path:
            found |= _read_file(Path(path), ids)
    return found


def _read_file(path: Path, wanted: set[str], begin: int = -1) -> dict[str, RunDetails]:
    """Read the details of runs in a file, or only those of the run that begins at a place."""
    steps: dict[str, list[dict[str, Any]]] = {}
    current: list[dict[str, Any]] | None = None  # events of steps do not name their run
    for line in lines_of(path, [], max(0, begin)):
        if _START not in line and (current is None or _STEP not in line):
            continue
        event = event_of(line) or {}
        if event.get("event") == "run started":
            if begin >= 0 and current is not None:
                break  # the next run
            current = steps.setdefault(event["id"], []) if event["id"] in wanted else None
        elif event.get("event") == "step ended" and current is not None:
            current.append(event)
    return {name: _details(events) for name, events in steps.items()}


def _details(steps: list[dict[str, Any]]) -> RunDetails:
    """Add up the steps. A case that failed in several steps is one case."""
    counted = [cases for step in steps if isinstance(cases := step.get("cases"), dict)]
    failed = [name for cases in counted for name in _names(cases.get("failed"))]

    def total(name: str) -> int:
        return sum(int(_number(cases.get(name))) for cases in counted)

    return RunDetails(
        total=total("total") if counted else -1,
        skipped=total("skipped"),
        failed=frozenset(failed),
        is_complete=len(failed) >= total("failures") + total("errors"),
        cpu=sum(_number(step.get("cpu")) for step in steps),
        peak=max((int(_number(step.get("peak"))) for step in steps), default=0),
    )


def _names(failed: object) -> list[str]:
    """Return the names of the cases in a list of them; a test may have changed the list."""
    cases = failed if isinstance(failed, list) else []
    names = [case.get("name") for case in cases if isinstance(case, dict)]
    return [name for name in names if isinstance(name, str)]


def _number(value: object) -> float:
    """Return a number from a record, or 0 for what is none."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _LARGEST else 0.0  # type: ignore[arg-type,operator]
