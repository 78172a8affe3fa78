"""Explain from the table why a job runs what it runs, and what another shard or build changes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.catalogue.devices import device_of
from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import TABLE, find_row
from ci_sessions.errors import CiSessionsError
from ci_sessions.job.build_environment import BuildEnvironment
from ci_sessions.job.job import Job, Shard
from ci_sessions.plan.plan import Plan, TestKind
from ci_sessions.plan.shell import ShellWriter
from ci_sessions.plan.step import Kind, Program, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_sessions.catalogue.table import Row
    from ci_sessions.checkout.checkout import Checkout

__all__ = ["Change", "Explanation", "ShardCoverage", "Variants", "explain", "shard_coverage"]

_OTHER_BUILDS = (
    ("a CPU build", "linux-jammy-py3.10-gcc11"),
    ("a CUDA build", "linux-jammy-cuda13.0-py3.10-gcc11"),
    ("a ROCm build", "linux-noble-rocm-py3.12-mi300"),
    ("an XPU build", "linux-noble-xpu-n-py3.10"),
    ("an ASAN build", "linux-jammy-py3.11-clang21-asan"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """What another shard or build would change: added and removed test commands, exports.

    An export is ``+ NAME=value``, ``- NAME=value`` or ``~ NAME=value → other value``.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Variants:
    """Variants of a job, such as ``shard 2 of 3``, and what is different in each of them."""

    names: tuple[str, ...]
    change: Change


@dataclass(frozen=True, slots=True)
class Explanation:
    """The row that matched, the earlier rows that did not, and the later rows that also match."""

    plan: Plan
    row: Row
    earlier: tuple[Row, ...]
    later: tuple[Row, ...]
    variants: tuple[Variants, ...]


def explain(job: Job, checkout: Checkout) -> Explanation:
    """Explain why a job runs what it runs, and how its variants differ from it."""
    matched = find_row(job)
    index = TABLE.index(matched)
    later = tuple(row for row in TABLE[index + 1 : -1] if row.match.accepts(job))
    plan = plan_job(job, checkout)
    names: dict[Change, list[str]] = {}
    for what, other in _variants(job):
        names.setdefault(_change(plan, other, checkout), []).append(what)
    names.pop(Change(), None)
    variants = tuple(Variants(tuple(what), change) for change, what in names.items())
    return Explanation(plan, matched, TABLE[:index], later, variants)


def _variants(job: Job) -> Iterator[tuple[str, Job]]:
    """Yield variants of a job: its other shards, and the same configuration on other builds."""
    total = max(job.shard.total, 3)
    for number in range(1, min(total, 3) + 1):
        if Shard(number, total) != job.shard:
            yield f"shard {number} of {total}", dataclasses.replace(job, shard=Shard(number, total))
    for what, label in _OTHER_BUILDS:
        build = BuildEnvironment.parse(label)
        if (device_of(build), build.is_asan) != (device_of(job.build), job.build.is_asan):
            yield what, dataclasses.replace(job, build=build)


def _change(plan: Plan, other: Job, checkout: Checkout) -> Change:
    try:
        changed = plan_job(other, checkout)
    except CiSessionsError as error:
        return Change(error=str(error.args[0]))
    before, after = Counter(_test_commands(plan)), Counter(_test_commands(changed))
    return Change(
        tuple((after - before).elements()),
        tuple((before - after).elements()),
        tuple(_exports(plan.env, changed.env)),
    )


def _exports(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> Iterator[str]:
    """Yield the exports that differ; a variable that a job removes has the value ``(unset)``."""
    old, new = (
        {name: "(unset)" if value is None else value for name, value in env.items()}
        for env in (before, after)
    )
    for name in dict.fromkeys([*old, *new]):
        if name not in new:
            yield f"- {name}={old[name]}"
        elif name not in old:
            yield f"+ {name}={new[name]}"
        elif old[name] != new[name]:
            yield f"~ {name}={old[name]} → {new[name]}"


def _test_commands(plan: Plan) -> Iterator[str]:
    """Yield the test commands, with shard numbers replaced by placeholders."""
    for step in _test_steps(plan):
        yield " ".join(_without_shard_number(step)[0])


def _test_steps(plan: Plan) -> Iterator[Step]:
    for test in plan.tests:
        if test.skipped is None and test.kind is not TestKind.ADDED:
            yield from (step for step in test.steps if step.kind in (Kind.TEST, Kind.SOURCE))


def _without_shard_number(step: Step) -> tuple[tuple[str, ...], bool]:
    """Return argv with the shard's number as N, and whether it had one."""
    argv = list(step.argv)
    if "--shard" in argv:
        index = argv.index("--shard")
        argv[index + 1 : index + 3] = ["N", "M"]
        return tuple(argv), True
    for option, total in (("--partition-id", "--total-partitions"), ("--shard-id", "--num-shards")):
        if option in argv:
            argv[argv.index(option) + 1] = "N"
            argv[argv.index(total) + 1] = "M"
            return tuple(argv), True
    return tuple(argv), False


# --- shard coverage

RUN_ON_EVERY_SHARD = (
    "tools/dynamo/verify_dynamo.py",
    "benchmarks/dynamo/check_accuracy.py",
    "benchmarks/dynamo/check_graph_breaks.py",
)
"""Checks that every shard repeats, because they concern its own machine or measurements."""


@dataclass(frozen=True, slots=True)
class ShardCoverage:
    """How a matrix divides its work between shards.

    ``divided``: commands of which every shard runs its own part. ``extras``: commands that only
    one shard runs, by shard number. ``faults``: commands that some shards miss or that run twice.
    """

    divided: tuple[str, ...]
    extras: dict[int, tuple[str, ...]]
    faults: tuple[str, ...]


def shard_coverage(plans: Iterable[Plan]) -> ShardCoverage:
    """Compare the plans of all shards of one matrix."""
    divided: dict[int, Counter[str]] = {}
    single: dict[int, Counter[str]] = {}
    for plan in plans:
        number = plan.job.shard.number
        divided[number], single[number] = Counter(), Counter()
        writer = ShellWriter(plan.questions)
        for step in _test_steps(plan):
            argv, is_part = _without_shard_number(step)
            line = writer.line(dataclasses.replace(step, command=Program(argv)))
            if is_part:
                divided[number][line] += 1
            elif not any(script in step.argv for script in RUN_ON_EVERY_SHARD):
                single[number][line] += 1
    faults = [
        f"shard {number} does not run its part of: {line}"
        for number, lines in divided.items()
        for line in _union(divided) - lines
    ]
    everything = sum(single.values(), Counter())
    where = {line: [n for n, lines in single.items() if line in lines] for line in everything}
    faults += [
        f"shards {', '.join(map(str, numbers))} all run: {line}"
        for line, numbers in where.items()
        if len(numbers) > 1
    ]
    extras = {number: tuple(lines.elements()) for number, lines in single.items() if lines}
    return ShardCoverage(tuple(_union(divided).elements()), extras, tuple(faults))


def _union(parts: dict[int, Counter[str]]) -> Counter[str]:
    union: Counter[str] = Counter()
    for lines in parts.values():
        union |= lines
    return union
