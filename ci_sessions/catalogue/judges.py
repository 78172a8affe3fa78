"""Judges decide by a step's output when its exit code is not enough. A policy names its judge.

Unbacked parity: the benchmark prints a section for each model and a table of times. A model that
fails is a failure. A model that is more than ``SLOWER`` percent slower counts as noise unless most
of ``RUNS`` runs have one, not necessarily the same model: the script counts runs.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["JUDGES", "UNBACKED_PARITY", "Decision", "Judgement"]

SLOWER = 3.0  # percent; less is timing noise
RUNS = 3
MAJORITY = RUNS // 2 + 1
_SECTION = re.compile(r"^---\s+([\w./-]+)\s+---")
_MODE = re.compile(r"\b(un)?backed\b")
_FAULT = re.compile(r"FAILED|TIMEOUT|ERROR")
_ROW = re.compile(r"^\s+([\w./-]+)\s+[\d.]+\s+[\d.]+\s+\+(\d+(?:\.\d+)?)%")


class Decision(enum.Enum):
    """What to conclude from the output of the runs so far."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    RERUN = "rerun"


class Judgement(NamedTuple):
    """A decision and its reason."""

    decision: Decision
    why: str = ""


Judge = Callable[[Sequence[str]], Judgement]
"""Takes the outputs of all runs so far, oldest first. Each run ended with exit code 0."""


def unbacked_parity(outputs: Sequence[str]) -> Judgement:
    """Judge the comparison of backed and unbacked dynamic shapes."""
    if failed := failed_models(outputs[-1]):
        return Judgement(Decision.FAIL, f"failed without backing: {', '.join(failed)}")
    slow = [models for models in map(slower_models, outputs) if models]
    if not slow:
        return Judgement(Decision.PASS)  # one clean run is enough
    why = f"slower in {len(slow)} of {len(outputs)} runs: {', '.join(slow[-1])}"
    if len(slow) >= MAJORITY:
        return Judgement(Decision.FAIL, why)
    return Judgement(Decision.RERUN if len(outputs) < RUNS else Decision.PASS, why)


def failed_models(output: str) -> list[str]:
    """Return the models whose unbacked run failed, whether or not the backed run failed too."""
    failed: dict[str, None] = {}
    model = ""
    for line in output.splitlines():
        if section := _SECTION.match(line):
            model = section[1]
        # The first mode of the line decides. Two searches take linear time, one would not.
        elif (mode := _MODE.search(line)) and mode[1] and model and _FAULT.search(line, mode.end()):
            failed[model] = None
    return list(failed)


def slower_models(output: str) -> list[str]:
    """Return the models that exceed the threshold, each with its slowdown: ``T5Small +4.2%``."""
    rows = (_ROW.match(line) for line in output.splitlines())
    return [f"{row[1]} +{row[2]}%" for row in rows if row and float(row[2]) > SLOWER]


UNBACKED_PARITY = "unbacked-parity"
JUDGES: Mapping[str, Judge] = MappingProxyType({UNBACKED_PARITY: unbacked_parity})
