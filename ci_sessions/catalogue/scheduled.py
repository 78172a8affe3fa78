"""The jobs that PyTorch's workflows schedule, as recorded for tests and for the sample checkout.

``resources/jobs.jsonl`` has one line per matrix: a configuration of a build on a runner, its
shards, and the workflows that schedule it (release 2.13, September 2026).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JobMatrix", "scheduled_jobs", "scheduled_matrices"]


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


def scheduled_jobs() -> list[dict[str, Any]]:
    """Return all scheduled jobs as JSON objects, each with the workflows that schedule it."""
    matrices = scheduled_matrices()
    return [
        {**job, "workflows": list(matrix.workflows)} for matrix in matrices for job in matrix.jobs()
    ]
