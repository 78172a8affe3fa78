"""Judges of what a step printed, where its exit code is not enough; a policy names its judge.

Unbacked parity: the benchmark prints a section a model and a table of times. A model that fails is
a failure. That some model is slower by more than ``SLOWER`` percent is noise until most of
``RUNS`` runs say so, of the same model or not: the script counts runs.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["JUDGES", "UNBACKED_PARITY", "Decision", "Judgement"]

SLOWER = 3.0  # percent; below, it is timing noise
RUNS = 3
MAJORITY = RUNS // 2 + 1
_SECTION = re.compile(r"^---\s+([\w./-]+)\s+---")
_FAULT = re.compile(r"\b(un)?backed\b.*(FAILED|TIMEOUT|ERROR)")
_ROW = re.compile(r"^\s+([\w./-]+)\s+[\d.]+\s+[\d.]+\s+\+([\d.]+)%")


class Decision(enum.Enum):
    """What follows from the output of the runs so far."""

    GOOD = "good"
    BAD = "bad"
    AGAIN = "again"


class Judgement(NamedTuple):
    """A decision, and why."""

    decision: Decision
    why: str = ""


Judge = Callable[[Sequence[str]], Judgement]
"""Takes the outputs of the runs so far, all of which ended with exit code 0, oldest first."""


def unbacked_parity(outputs: Sequence[str]) -> Judgement:
    """Judge the comparison of backed and unbacked dynamic shapes."""
    if failed := failed_models(outputs[-1]):
        return Judgement(Decision.BAD, f"failed without backing: {', '.join(failed)}")
    slow = [models for models in map(slower_models, outputs) if models]
    if not slow:
        return Judgement(Decision.GOOD)  # a first run without fault settles it
    why = f"slower in {len(slow)} of {len(outputs)} runs: {', '.join(slow[-1])}"
    if len(slow) >= MAJORITY:
        return Judgement(Decision.BAD, why)
    return Judgement(Decision.AGAIN if len(outputs) < RUNS else Decision.GOOD, why)


def failed_models(output: str) -> list[str]:
    """Name the models whose unbacked run failed, whether or not the backed one did too."""
    failed: dict[str, None] = {}
    model = ""
    for line in output.splitlines():
        if section := _SECTION.match(line):
            model = section[1]
        elif (fault := _FAULT.search(line)) and fault[1] and model:
            failed[model] = None
    return list(failed)


def slower_models(output: str) -> list[str]:
    """Name the models that are slower by more than the threshold, with by how much."""
    rows = (_ROW.match(line) for line in output.splitlines())
    return [f"{row[1]} +{row[2]}%" for row in rows if row and float(row[2]) > SLOWER]


UNBACKED_PARITY = "unbacked-parity"
JUDGES: Mapping[str, Judge] = MappingProxyType({UNBACKED_PARITY: unbacked_parity})
