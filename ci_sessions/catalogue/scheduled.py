"""The jobs that PyTorch's workflows schedule, as data, and what a job matrix in CI looks like.

``resources/jobs.jsonl`` holds one line a matrix: a configuration of a build on a runner, its
shards, the workflows that schedule it (release 2.13, September 2026).
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["JobMatrix", "as_github_matrix", "of_workflow", "scheduled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobMatrix:
    """The shards of one configuration of one build."""

    config: str
    build_environment: str
    shards: tuple[int, ...]
    num_shards: int
    runner: str = ""
    workflows: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def jobs(self) -> list[dict[str, Any]]:
        """Return each shard as a job object, as the traces write it."""
        shared = {
            "build_environment": self.build_environment,
            "config": self.config,
            "num_shards": self.num_shards,
            "runner": self.runner,
        }
        extra = {"env": dict(self.env)} if self.env else {}
        return [{**shared, "shard": shard, **extra} for shard in self.shards]


def scheduled() -> list[JobMatrix]:
    """Return every matrix that a workflow schedules."""
    text = (resources.files("ci_sessions.resources") / "jobs.jsonl").read_text(encoding="utf-8")
    return [_matrix(json.loads(line)) for line in text.splitlines()]


def _matrix(row: dict[str, Any]) -> JobMatrix:
    row["shards"], row["workflows"] = tuple(row["shards"]), tuple(row["workflows"])
    return JobMatrix(**row)


def of_workflow(name: str) -> list[JobMatrix]:
    """Return the matrices of a workflow (``pull.yml``, ``pull``); InputError if none."""
    every = scheduled()
    wanted = name if name.endswith(".yml") else f"{name}.yml"
    found = [matrix for matrix in every if wanted in matrix.workflows]
    if not found:
        known = sorted({workflow for matrix in every for workflow in matrix.workflows})
        near = difflib.get_close_matches(wanted, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(known)}."
        raise InputError(f"--workflow is {name!r}, and no such workflow schedules tests: {hint}")
    return found


def as_github_matrix(matrices: Iterable[JobMatrix]) -> dict[str, list[dict[str, Any]]]:
    """Return what ``strategy.matrix`` takes through ``fromJSON``."""
    return {"include": [job for matrix in matrices for job in matrix.jobs()]}
