"""The jobs of two revisions of a checkout's workflows: which are the same, new, gone or changed."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "Change",
    "InputChange",
    "JobInEnvironments",
    "StepEnvironment",
    "environment_pairs",
    "pair_jobs",
]

_SCHEDULE_KEYS = ("runner", "workflows")
_IDENTITY = ("config", "build_environment", "shard", "num_shards")
AT_RUN_TIME = "(known only at run time)"


@dataclass(frozen=True, slots=True)
class StepEnvironment:
    """What a workflow's step hands over besides the job's own variables.

    ``unknown`` are the names, or patterns of names, whose values are known only at run time.
    """

    workflow: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def value(self, name: str) -> str | None:
        """Return the value of a variable, or a remark in its place; None if it is not set."""
        return AT_RUN_TIME if name in self.unknown else self.variables.get(name)


@dataclass(frozen=True, slots=True)
class JobInEnvironments:
    """A job as JSON, and each environment in which it runs: an empty one without a workflow."""

    data: dict[str, Any]
    environments: tuple[StepEnvironment, ...] = (StepEnvironment(),)

    @classmethod
    def from_schedule(cls, data: Mapping[str, Any], only: str | None = None) -> JobInEnvironments:
        """Return a job of ``github.workflows.Schedule``, in the environments of one workflow."""
        environments = [
            StepEnvironment(one["workflow"], one["variables"], tuple(one["unknown"]))
            for one in data["environments"]
            if only in (None, one["workflow"])
        ]
        rest = {key: value for key, value in data.items() if key != "environments"}
        return cls(rest, tuple(environments))

    @property
    def inputs(self) -> dict[str, str]:
        """The variables in the job's JSON."""
        return dict(self.data.get("env") or {})


@dataclass(frozen=True, slots=True)
class InputChange:
    """A variable that a workflow hands over with another value than before; None is unset."""

    name: str
    before: str | None
    now: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A job at two revisions; None if one of them does not have it."""

    before: JobInEnvironments | None
    now: JobInEnvironments | None
    inputs: tuple[InputChange, ...] = ()


def pair_jobs(
    before: Sequence[JobInEnvironments], now: Sequence[JobInEnvironments]
) -> list[Change]:
    """Pair the jobs of two revisions: equal ones first, then those with the same identity.

    Several jobs with the same identity differ in their inputs; they are paired in order, those of
    the same workflow first.
    """
    old, new = list(before), list(now)
    pairs: dict[int, JobInEnvironments] = {}
    for key in (_everything, _with_workflows, _identity):
        found = defaultdict(list)
        for job in old:
            found[key(job)].append(job)
        for job in [one for one in new if id(one) not in pairs]:
            if candidates := found[key(job)]:
                pairs[id(job)] = candidates.pop(0)
        taken = {id(job) for job in pairs.values()}
        old = [job for job in old if id(job) not in taken]
    changes = [_change(pairs.get(id(job)), job) for job in new]
    return [*changes, *(Change(job, None) for job in old)]


def _everything(job: JobInEnvironments) -> str:
    own = {key: value for key, value in job.data.items() if key not in _SCHEDULE_KEYS}
    return json.dumps(own, sort_keys=True)


def _identity(job: JobInEnvironments) -> str:
    return json.dumps([job.data.get(key) for key in _IDENTITY])


def _with_workflows(job: JobInEnvironments) -> str:
    return json.dumps([_identity(job), job.data.get("workflows")])


def _change(before: JobInEnvironments | None, now: JobInEnvironments) -> Change:
    if before is None:
        return Change(None, now)
    found = list(_differing(before.inputs, now.inputs))
    names = [", ".join(job.data.get("workflows", ())) for job in (before, now)]
    if names[0] != names[1]:
        found.append(InputChange("workflows", *names))
    for old, new in environment_pairs(before, now):
        known = {*old.variables, *old.unknown, *new.variables, *new.unknown}
        # A variable that moved between the job's own and the others has been reported above.
        own = {*before.inputs, *now.inputs}
        sides = [{name: one.value(name) for name in known - own} for one in (old, new)]
        found += [one for one in _differing(*sides) if one not in found]
    return Change(before, now, tuple(found))


def _differing(
    before: Mapping[str, str | None], now: Mapping[str, str | None]
) -> Iterable[InputChange]:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield InputChange(name, before.get(name), now.get(name))


def environment_pairs(
    before: JobInEnvironments, now: JobInEnvironments
) -> list[tuple[StepEnvironment, StepEnvironment]]:
    """Return the environments to compare: those of each workflow that both have, in order.

    If they have none in common, the first of each.
    """
    left = defaultdict(list)
    for one in before.environments:
        left[one.workflow].append(one)
    pairs = [
        (candidates.pop(0) if len(candidates) > 1 else candidates[0], new)
        for new in now.environments
        if (candidates := left[new.workflow])
    ]
    return pairs or [(before.environments[0], now.environments[0])]
