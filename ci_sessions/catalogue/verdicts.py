"""Verdicts that are read off a step's output, where its exit code is not enough.

Unbacked parity: the benchmark prints a section a model and a table of times. A model that fails is
a failure. That some model is slower by more than ``SLOWER`` percent is noise until most of
``RUNS`` runs say so, of the same model or not: the script counts runs.
"""

from __future__ import annotations

import re

__all__ = ["MAJORITY", "RUNS", "failed_models", "slower_models"]

SLOWER = 3.0  # percent; below, it is timing noise
RUNS = 3
MAJORITY = RUNS // 2 + 1
_SECTION = re.compile(r"^---\s+([\w./-]+)\s+---")
_FAULT = re.compile(r"\b(un)?backed\b.*(FAILED|TIMEOUT|ERROR)")
_ROW = re.compile(r"^\s+([\w./-]+)\s+[\d.]+\s+[\d.]+\s+\+([\d.]+)%")


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
