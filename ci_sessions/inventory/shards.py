"""How the shards of a job divide its time, how many shards it needs, and what would be better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ci_sessions.inventory.jobs import JobInventory, StepInventory
    from ci_sessions.inventory.selection import TestPart

__all__ = ["Division", "OtherWork", "ShardLoad", "divide", "shards_needed"]

MOST_SHARDS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherWork:
    """What a shard runs besides its share: a step. ``minutes`` is None if its time is unknown.

    ``basis`` says where the time is from: run_test.py's estimate, or records. ``unknown`` are
    options that the checkout's run_test.py does not have, so that the step would fail.
    """

    test: str
    step: int
    command: str
    minutes: float | None
    basis: str | None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardLoad:
    """A shard: its part of the main selection, which takes ``minutes``, and other work."""

    number: int
    minutes: float | None
    parts: tuple[TestPart, ...]
    other: tuple[OtherWork, ...] = ()

    @property
    def other_minutes(self) -> float:
        """The known minutes of the other work."""
        return sum(work.minutes or 0.0 for work in self.other)

    @property
    def total(self) -> float:
        """All known minutes."""
        return (self.minutes or 0.0) + self.other_minutes


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """A job's shards. ``processes`` is the number of files that run in parallel in each."""

    config: str
    build_environment: str
    shards: tuple[ShardLoad, ...]
    processes: int = 1
    basis: str = "none"

    @property
    def num_shards(self) -> int:
        """The number of shards."""
        return len(self.shards)

    @property
    def is_known(self) -> bool:
        """Whether any time is known."""
        return any(shard.total for shard in self.shards)

    @property
    def longest_part(self) -> TestPart | None:
        """The part of a file that takes longest."""
        parts = [part for shard in self.shards for part in shard.parts if part.minutes is not None]
        return max(parts, key=lambda part: part.minutes or 0.0, default=None)

    @property
    def main_minutes(self) -> float:
        """The minutes of the main selection if one machine ran all of it without a gap."""
        parts = [part for shard in self.shards for part in shard.parts]
        serial = sum(part.minutes or 0.0 for part in parts if part.serial)
        parallel = sum(part.minutes or 0.0 for part in parts if not part.serial)
        return serial + parallel / self.processes

    @property
    def lower_bound(self) -> float | None:
        """The minutes that no division of the main selection into so many shards can undercut."""
        if not self.is_known:
            return None
        longest = self.longest_part
        longest_minutes = (longest.minutes or 0.0) if longest else 0.0
        return round(max(longest_minutes, self.main_minutes / self.num_shards), 2)

    @property
    def longest(self) -> float:
        """The minutes of the shard that takes longest, with its other work."""
        return max(shard.total for shard in self.shards)

    @property
    def mean(self) -> float:
        """The mean of the shards' minutes."""
        return self.total / self.num_shards

    @property
    def total(self) -> float:
        """The minutes of all shards together: machine time."""
        return sum(shard.total for shard in self.shards)

    @property
    def imbalance(self) -> float:
        """The longest shard's minutes over the mean's; 1 is even."""
        return self.longest / self.mean if self.mean else 1.0

    @property
    def longest_if_placed(self) -> float:
        """The longest shard's minutes if each other work were on the shard that has most room.

        The main selection stays as run_test.py divides it. The longest work is placed first.
        """
        loads = [shard.minutes or 0.0 for shard in self.shards]
        tests: dict[tuple[int, str], float] = {}
        for shard in self.shards:
            for work in shard.other:
                key = (shard.number, work.test)
                tests[key] = tests.get(key, 0.0) + (work.minutes or 0.0)
        for minutes in sorted(tests.values(), reverse=True):
            at = loads.index(min(loads))
            loads[at] += minutes
        return max(loads)


def divide(
    jobs: Sequence[JobInventory],
    step_minutes: Callable[[JobInventory, StepInventory], float | None],
) -> Division:
    """Return the division of one configuration on one build, from the inventory of each shard.

    ``step_minutes`` returns the minutes that a step took in records, or None.
    """
    main = _main_step(jobs)
    shards = tuple(_load(job, main, step_minutes) for job in jobs)
    selections = [
        step.selection for job in jobs for step in job.steps if step.selection and _is(step, main)
    ]
    return Division(
        config=jobs[0].config,
        build_environment=jobs[0].build_environment,
        shards=shards,
        processes=max((selection.processes for selection in selections), default=1),
        basis=next((selection.basis for selection in selections), "none"),
    )


def _main_step(jobs: Sequence[JobInventory]) -> tuple[str, int] | None:
    """Return the test and the number of the step whose tests the shards share: the largest.

    A job of one shard may run the whole selection without ``--shard``. A step with options that
    run_test.py does not know only counts if there is no other.
    """
    sizes: dict[tuple[str, int], tuple[bool, int]] = {}
    for job in jobs:
        for step in job.steps:
            if step.is_main or (len(jobs) == 1 and step.question is not None):
                key = (step.test, 0 if step.is_main else step.number)
                parts = len(step.selection.parts) if step.selection else 0
                sizes[key] = (not step.unknown, sizes.get(key, (True, 0))[1] + parts)
    return max(sizes, key=lambda key: sizes[key], default=None)


def _is(step: StepInventory, main: tuple[str, int] | None) -> bool:
    if main is None or step.question is None or step.test != main[0]:
        return False
    return step.is_main if main[1] == 0 else step.number == main[1]


def _load(
    job: JobInventory,
    main: tuple[str, int] | None,
    step_minutes: Callable[[JobInventory, StepInventory], float | None],
) -> ShardLoad:
    own = [step.selection for step in job.steps if step.selection and _is(step, main)]
    minutes = [one.minutes for one in own if one.minutes is not None]
    other = tuple(_other(job, step, step_minutes) for step in job.steps if not _is(step, main))
    return ShardLoad(
        number=job.shard,
        minutes=round(sum(minutes), 2) if minutes else None,
        parts=tuple(part for one in own for part in one.parts),
        other=other,
    )


def _other(
    job: JobInventory,
    step: StepInventory,
    step_minutes: Callable[[JobInventory, StepInventory], float | None],
) -> OtherWork:
    recorded = step_minutes(job, step)
    estimate = step.selection.minutes if step.selection and not step.unknown else None
    basis = "records" if recorded is not None else None
    if recorded is None and estimate is not None:
        recorded, basis = estimate, "run_test.py"
    return OtherWork(
        test=step.test,
        step=step.number,
        command=" ".join(step.argv),
        minutes=recorded,
        basis=basis,
        unknown=step.unknown,
    )


def shards_needed(
    target: float,
    today: Division,
    with_shards: Callable[[int], Division],
    minutes_of: Callable[[Division], float],
) -> Division | None:
    """Return the division with the fewest shards, none of which takes longer than ``target``.

    ``minutes_of`` is what must not exceed it. None if no number of shards is enough, since a part
    of a file, or other work, takes longer.
    """
    longest = today.longest_part
    if longest is not None and (longest.minutes or 0.0) > target:
        return None
    least = max(1, int(today.main_minutes / target))
    for number in range(least, MOST_SHARDS + 1):
        found = with_shards(number)
        if minutes_of(found) <= target:
            return found
        if any((work.minutes or 0.0) > target for shard in found.shards for work in shard.other):
            return None
    return None
