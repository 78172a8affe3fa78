"""The jobs that PyTorch's workflows schedule, and their format as a GitHub job matrix.

``resources/jobs.jsonl`` has one line per matrix: a configuration of a build on a runner, its
shards, and the workflows that schedule it (release 2.13, September 2026).
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InputError
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["JobMatrix", "scheduled_matrices", "to_github_matrix", "workflow_matrices"]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobMatrix:
    """All shards of one configuration on one build."""

    config: str
    build_environment: str
    shards: tuple[int, ...]
    num_shards: int
    runner: str = ""
    workflows: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def jobs(self) -> list[dict[str, Any]]:
        """Return each shard as a job object in the format of the traces."""
        shared = {
            "build_environment": self.build_environment,
            "config": self.config,
            "num_shards": self.num_shards,
            "runner": self.runner,
        }
        extra = {"env": dict(self.env)} if self.env else {}
        return [{**shared, "shard": shard, **extra} for shard in self.shards]


def scheduled_matrices() -> list[JobMatrix]:
    """Return all scheduled matrices."""
    text = (resources.files("ci_sessions.resources") / "jobs.jsonl").read_text(encoding="utf-8")
    return [_matrix(json.loads(line)) for line in text.splitlines()]


def _matrix(row: dict[str, Any]) -> JobMatrix:
    row["shards"], row["workflows"] = tuple(row["shards"]), tuple(row["workflows"])
    return JobMatrix(**row)


def workflow_matrices(name: str) -> list[JobMatrix]:
    """Return the matrices of a workflow: ``pull.yml`` or ``pull``. Raises InputError if none."""
    matrices = scheduled_matrices()
    file = name if name.endswith(".yml") else f"{name}.yml"
    found = [matrix for matrix in matrices if file in matrix.workflows]
    if not found:
        known = sorted({workflow for matrix in matrices for workflow in matrix.workflows})
        close = difflib.get_close_matches(file, known, n=3)
        hint = f"choose from {', '.join(known)}."
        if close:
            hint = f"did you mean {' or '.join(close)}?"
        raise InputError(
            f"--workflow is {shown(name)}, but no workflow of that name runs tests: {hint}"
        )
    return found


def to_github_matrix(matrices: Iterable[JobMatrix]) -> dict[str, list[dict[str, Any]]]:
    """Return the value for ``strategy.matrix``, to be passed through ``fromJSON``."""
    return {"include": [job for matrix in matrices for job in matrix.jobs()]}
