"""Reads what ``run_test.py --dry-run`` prints, with what its own functions returned.

PyTorch 2 prints the parts of files with an estimate; 1.13 prints only names, and only with
``--verbose``, so there what its functions return counts.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ci_sessions.inventory.selection import Fault, Selection, TestPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_sessions.inventory.selection import Answer, Basis, Question

__all__ = ["derive_answer", "read_answer"]

_BATCH = re.compile(
    r"^Name: tests to run \(est\. time: ([\d.]+)min\)\n"
    r"  Serial tests \(\d+\):\n((?:    .*\n)*)"
    r"  Parallel tests \(\d+\):(?:\n((?:    .*(?:\n|\Z))*))?",
    re.MULTILINE,
)
_PART = re.compile(r"(.+) (\d+)/(\d+)")
_MAX_REASON = 200  # characters of an error message; that of an unknown test lists all tests
_BASES: tuple[tuple[str, Basis], ...] = (
    ("Found test time", "build"),
    ("default build env and default test config", "default"),
    ("default build env", "config"),
)


def read_answer(question: Question, data: Mapping[str, Any]) -> Answer:
    """Return the selection in a worker's answer, or why there is none."""
    if "unanswerable" in data:
        return Fault(f"run_test.py asks for {data['unanswerable']}, which only a build can answer")
    if "fault" in data:
        return Fault(f"run_test.py cannot be asked: {_short(data['fault'])}")
    text = str(data["text"])
    if data["code"]:
        return Fault(f"run_test.py refuses: {_reason(text)}", is_rejected=True)
    seconds = dict(_seconds(data.get("shards", ())))
    basis: Basis = next((basis for words, basis in _BASES if words in text), "none")
    batch = _BATCH.search(text)
    if batch is not None:
        found = [*_parts(batch[2], seconds, serial=True), *_parts(batch[3] or "", seconds)]
        minutes = float(batch[1]) if any(seconds.values()) else None
        return Selection(
            parts=tuple(found), minutes=minutes, basis=basis, processes=_processes(data)
        )
    return _from_functions(question, data, basis)


def derive_answer(question: Question, data: Mapping[str, Any], basis: Basis) -> Answer | None:
    """Return the answer for another shard of the same tests; None if it cannot be derived.

    run_test.py always divides the tests into all shards, and then takes one.
    """
    shards, shard = data.get("shards", ()), question.shard
    if shard is None or len(shards) != shard[1]:
        return None
    seconds, parts = shards[shard[0] - 1]
    serial = frozenset(data["serial"])
    found = [_part(name, value, serial) for name, value in parts]
    known = any(value for _, values in shards for _, value in values)
    return Selection(
        parts=tuple(sorted(found, key=lambda part: not part.serial)),
        minutes=round(seconds / 60, 2) if known else None,
        basis=basis,
        processes=_processes(data),
    )


def _processes(data: Mapping[str, Any]) -> int:
    return max(1, int(data.get("processes", 1)))


def _part(name: str, seconds: float | None, serial: frozenset[str]) -> TestPart:
    match = _PART.fullmatch(name)
    file, part, parts = match.groups() if match else (name, "1", "1")
    return TestPart(file, int(part), int(parts), file in serial, _minutes(seconds))


def _parts(lines: str, seconds: Mapping[str, Any], *, serial: bool = False) -> Iterator[TestPart]:
    for line in lines.splitlines():
        part = _part(line.strip(), seconds.get(line.strip()), frozenset())
        yield replace(part, serial=serial)


def _seconds(shards: Iterable[Any]) -> Iterator[tuple[str, float | None]]:
    return ((name, seconds) for _, parts in shards for name, seconds in parts)


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 60, 3)


def _from_functions(question: Question, data: Mapping[str, Any], basis: Basis) -> Answer:
    """Return the selection that its functions returned: whole files, in releases before 2."""
    if "selected" not in data:
        return Fault("run_test.py --dry-run printed no list of tests")
    selected, shards = data["selected"], data.get("shards", ())
    seconds = dict(_seconds(shards))
    serial = set(data.get("serial", selected))
    parts = tuple(TestPart(n, 1, 1, n in serial, _minutes(seconds.get(n))) for n in selected)
    number = (question.shard or (1, 1))[0]
    minutes = round(shards[number - 1][0] / 60, 2) if number <= len(shards) else None
    return Selection(parts=parts, minutes=minutes, basis=basis, processes=_processes(data))


def _reason(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    return _short(errors[-1] if errors else lines[-1] if lines else "no reason is printed")


def _short(text: str) -> str:
    text = text.partition(" (choose from")[0].strip().splitlines()[-1]
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}…"
