"""Inventories of jobs as values, for tests of the functions that take them."""

from __future__ import annotations

from ci_sessions.inventory.facts import BuildFacts
from ci_sessions.inventory.jobs import JobInventory, StepInventory
from ci_sessions.inventory.selection import Fault, Question, Selection, TestPart

BUILD = "linux-jammy-py3.10-gcc11"


def part(file, number=1, parts=1, serial=False, minutes=None):
    return TestPart(file, number, parts, serial, minutes)


def step(
    *parts,
    test="test_python",
    number=1,
    options=(),
    minutes=None,
    shard=None,
    env=(),
    unknown=(),
    fault=None,
):
    """A step that calls run_test.py. ``parts`` are those that it selects."""
    sharded = ("--shard", *map(str, shard)) if shard else ()
    argv = ("test/run_test.py", *options, *sharded)
    question = Question(argv=argv, env=dict(env), facts=BuildFacts())
    answer = Fault(fault) if fault else Selection(parts=tuple(parts), minutes=minutes, processes=2)
    return StepInventory(
        test=test, number=number, argv=("python", *argv), answer=answer, unknown=tuple(unknown), question=question
    )  # fmt: skip


def command(*argv, test="test_aten", number=1, cwd="."):
    """A step that does not call run_test.py."""
    return StepInventory(test=test, number=number, argv=argv, cwd=cwd)


def job(
    *steps,
    config="default",
    build=BUILD,
    shard=1,
    total=1,
    workflows=("pull.yml",),
    env=(),
    problem=None,
):
    return JobInventory(
        config=config, build_environment=build, shard=shard, num_shards=total, workflows=tuple(workflows),
        env=dict(env), steps=tuple(steps), problem=problem,
    )  # fmt: skip
