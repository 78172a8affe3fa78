"""The inventory of jobs: what each step of each job's plan selects.

A step that calls run_test.py has an answer; any other is listed as what it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ci_sessions.catalogue.missing import unknown_options
from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts
from ci_sessions.errors import CiSessionsError
from ci_sessions.inventory.facts import facts_of
from ci_sessions.inventory.selection import Fault, Question, Selection
from ci_sessions.job.job_json import job_from_json, job_variables
from ci_sessions.job.variables import CI, GITHUB_ACTIONS, PR_NUMBER
from ci_sessions.plan.recorded import RecordedStep, recorded_plan
from ci_sessions.plan.step import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.inventory.facts import BuildFacts
    from ci_sessions.inventory.selection import Answer

__all__ = [
    "JobInventory",
    "ScriptCommand",
    "StepInventory",
    "answered",
    "binaries_in",
    "plan_inventory",
    "script_inventory",
]

_RUN_TEST = "run_test.py"
_BASE = {"PATH": "/usr/bin:/bin", "HOME": "/", "LC_ALL": "C.UTF-8"}
_BINARIES = "CPP_TESTS_DIR"
_NOT_A_PUSH = (CI.name, GITHUB_ACTIONS.name, PR_NUMBER.name)
"""Variables that make run_test.py use the network, or leave out tests of a pull request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepInventory:
    """A step that runs tests. ``answer`` is None if it does not call run_test.py.

    ``unknown`` are the options that the checkout's run_test.py does not have. A step of a traced
    script has its place there, such as ``test.sh:206``, as ``test``; ``env`` are the variables that
    the script sets.
    """

    test: str
    number: int
    argv: tuple[str, ...]
    cwd: str = "."
    answer: Answer | None = None
    unknown: tuple[str, ...] = ()
    question: Question | None = None
    env: Mapping[str, str] | None = None

    @property
    def is_main(self) -> bool:
        """Whether the shards of a job share the tests of this step."""
        return self.question is not None and self.question.shard is not None

    @property
    def selection(self) -> Selection | None:
        """What the step selects, if run_test.py answered."""
        return self.answer if isinstance(self.answer, Selection) else None

    @property
    def fault(self) -> Fault | None:
        """Why run_test.py did not answer."""
        return self.answer if isinstance(self.answer, Fault) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobInventory:
    """A scheduled job. ``problem`` is the reason why it cannot be planned."""

    config: str
    build_environment: str
    shard: int
    num_shards: int
    workflows: tuple[str, ...] = ()
    runner: str = ""
    env: Mapping[str, str]
    steps: tuple[StepInventory, ...] = ()
    problem: str | None = None

    @property
    def files(self) -> frozenset[str]:
        """The test files that the job runs, or parts of them."""
        found = (step.selection.files for step in self.steps if step.selection)
        return frozenset(name for files in found for name in files)

    @property
    def name(self) -> str:
        """The job in messages: configuration, build, shard."""
        shard = f", shard {self.shard} of {self.num_shards}" if self.num_shards > 1 else ""
        return f"{self.config}, {self.build_environment}{shard}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptCommand:
    """A test command of a traced script. ``place`` is its line, ``env`` what the script sets."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    place: str


def script_inventory(
    data: Mapping[str, Any], commands: Sequence[ScriptCommand], run_test: str
) -> JobInventory:
    """Return the inventory of a job without answers, from what its script runs."""
    variables = job_variables(data)
    try:
        facts = facts_of(job_from_json(data), str(data.get("runner", "")))
    except CiSessionsError as error:
        return _job(data, (), str(error))
    steps = []
    for number, one in enumerate(commands, 1):
        step = RecordedStep(kind=Kind.TEST, argv=one.argv, cwd=one.cwd, env=one.env, number=number)
        found = _step(one.place, step, {**_BASE, **variables}, facts, run_test)
        steps.append(replace(found, env=one.env))
    return _job(data, tuple(steps))


def binaries_in(jobs: Iterable[JobInventory]) -> set[str]:
    """Return the names of the C++ tests that the jobs' commands name, without ``cpp/``."""
    words = (word for job in jobs for step in job.steps for word in step.argv)
    return {word.removeprefix("cpp/") for word in words if word.startswith("cpp/")}


def plan_inventory(data: Mapping[str, Any], checkout: Checkout, run_test: str) -> JobInventory:
    """Return the inventory of a job without answers. ``run_test`` is the text of run_test.py."""
    try:
        variables = job_variables(data)
        job = job_from_json(data, config_facts)
        exports, tests = recorded_plan(plan_job(job, checkout))
    except CiSessionsError as error:
        return _job(data, (), str(error))
    facts = facts_of(job, str(data.get("runner", "")))
    # The sample's run_test.py stands for any release.
    known = "" if checkout.is_sample else run_test
    env = {**_BASE, **variables, **exports}
    steps = tuple(
        _step(test.name, step, env, facts, known)
        for test in tests[1:]  # the first is the set-up
        if test.is_in_script or str(test.kind) == "native"
        for step in test.steps
        if step.is_test
    )
    return _job(data, steps)


def _job(
    data: Mapping[str, Any], steps: tuple[StepInventory, ...], problem: str | None = None
) -> JobInventory:
    return JobInventory(
        config=str(data.get("config", "")),
        build_environment=str(data.get("build_environment", "")),
        shard=int(data.get("shard", 1)),
        num_shards=int(data.get("num_shards", 1)),
        workflows=tuple(data.get("workflows", ())),
        runner=str(data.get("runner", "")),
        env=dict(data.get("env") or {}),
        steps=steps,
        problem=problem,
    )


def _step(
    test: str, step: RecordedStep, env: Mapping[str, str], facts: BuildFacts, run_test: str
) -> StepInventory:
    scripts = [n for n, word in enumerate(step.argv) if word.rpartition("/")[2] == _RUN_TEST]
    if not scripts:
        return StepInventory(test=test, number=step.number, argv=step.argv, cwd=step.cwd)
    words = step.argv[scripts[0] :]
    variables = {**env, **step.env}
    for name in (*_NOT_A_PUSH, _BINARIES):
        variables.pop(name, None)
    return StepInventory(
        test=test,
        number=step.number,
        argv=step.argv,
        cwd=step.cwd,
        unknown=tuple(unknown_options(words[1:], run_test)),
        question=Question(argv=words, env=variables, facts=facts, cwd=step.cwd),
    )


def answered(job: JobInventory, answers: Mapping[tuple[object, ...], Answer]) -> JobInventory:
    """Return the inventory with the answers to its questions, by their keys."""
    steps = tuple(
        replace(step, answer=answers[step.question.key]) if step.question else step
        for step in job.steps
    )
    return replace(job, steps=steps)
