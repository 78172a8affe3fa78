"""A plan as the recorded traces would have it: answered as on the machine that recorded them.

The answers are data, ``resources/profile.toml``: the recorder that traces a script reads the same
file, so plan and script are told the same of one machine.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InputError
from ci_sessions.plan.placeholders import Kind as PieceKind
from ci_sessions.plan.placeholders import Piece, names_in, render
from ci_sessions.plan.plan import TestKind
from ci_sessions.plan.step import ForEach
from ci_sessions.toml import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ci_sessions.plan.facts import Condition
    from ci_sessions.plan.plan import Plan
    from ci_sessions.plan.step import Kind, Step
    from ci_sessions.toml import TomlFile

__all__ = [
    "Answers",
    "RecordedStep",
    "RecordedTest",
    "answers_in",
    "read_profile_file",
    "recorded_answers",
    "recorded_plan",
    "trace_line",
]

FORMAT = 1
PROFILE = "profile.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What a machine answers: to questions and conditions by name, and which executables it has."""

    questions: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)
    executables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def render(self, template: str) -> str:
        """Return a template as a trace writes it: places by name, questions answered."""
        return render(template, self._piece)

    def _piece(self, piece: Piece) -> str:
        match piece.kind:
            case PieceKind.QUESTION:
                return self._answer(piece.name)
            case PieceKind.PIN:
                return f"PIN-{piece.name}"
            case PieceKind.RANDOM:
                return "RANDOM"
            case _:
                return f"${piece.name}"

    def _answer(self, name: str) -> str:
        if name not in self.questions:
            raise InputError(f"the profile has no answer to the question {name!r}: add it.")
        return self.questions[name]

    def holds(self, condition: Condition) -> bool:
        """Tell whether a condition holds on the machine. Raises InputError where it is not told."""
        if condition.name not in self.conditions:
            raise InputError(f"the profile does not say whether {condition.name!r}: add it.")
        return self.conditions[condition.name]

    def words(self, templates: Iterable[str], lists: Iterable[str]) -> list[str]:
        """Return a command's words; a question in ``lists`` becomes the words of its answer."""
        known = set(lists)
        words: list[str] = []
        for template in templates:
            asked = names_in(template, PieceKind.QUESTION)
            if asked and asked[0] in known:
                words += self._answer(asked[0]).split()
            else:
                words.append(self.render(template))
        return words


def read_profile_file(path: Path | None = None) -> TomlFile:
    """Read a profile, or the one that is shipped, with its facts filled in everywhere.

    Raises InputError where it cannot be read.
    """
    file = read_toml(path, PROFILE, format_version=FORMAT)
    facts = file.data.get("facts", {})
    if not isinstance(facts, dict) or not all(isinstance(fact, str) for fact in facts.values()):
        raise InputError(f"{file.name}: facts must be a table of texts.")
    return replace(file, data=_with_facts(file.data, facts))


def _with_facts(value: Any, facts: Mapping[str, str]) -> Any:  # noqa: ANN401 - whatever TOML holds
    if isinstance(value, str):
        for name, fact in facts.items():
            value = value.replace(f"{{{name}}}", fact)
        return value
    if isinstance(value, dict):
        return {key: _with_facts(one, facts) for key, one in value.items()}
    return [_with_facts(one, facts) for one in value] if isinstance(value, list) else value


def answers_in(file: TomlFile) -> Answers:
    """Return a profile's answers to what plans leave open. Raises InputError on odd ones."""
    sections: dict[str, dict[str, Any]] = {}
    for name, kind in (("questions", str), ("conditions", bool), ("executables", list)):
        section = file.data.get(name, {})
        if not isinstance(section, dict) or not all(isinstance(v, kind) for v in section.values()):
            raise InputError(f"{file.name}: {name} must be a table of {kind.__name__} values.")
        sections[name] = section
    executables = {name: tuple(map(str, v)) for name, v in sections["executables"].items()}
    return Answers(
        questions=sections["questions"],
        conditions=sections["conditions"],
        executables=executables,
    )


@functools.cache
def recorded_answers() -> Answers:
    """Return the answers of the machine that recorded the traces."""
    return answers_in(read_profile_file())


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedStep:
    """A step as a trace would have it: plain words, places by name."""

    kind: Kind
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedTest:
    """A test as a trace would have it; the set-up is one too, since it belongs to no other."""

    name: str
    kind: TestKind
    skipped: str | None
    steps: tuple[RecordedStep, ...]

    @property
    def is_of_script(self) -> bool:
        """Whether the script runs the same."""
        return self.kind is TestKind.REPLACES and self.skipped is None


def recorded_plan(
    plan: Plan, answers: Answers | None = None
) -> tuple[dict[str, str], list[RecordedTest]]:
    """Return what a plan exports for all, and its tests, as a trace on that machine has them."""
    answers = answers or recorded_answers()
    lists = [name for name, question in plan.questions.items() if question.is_list]

    def test(name: str, kind: TestKind, skipped: str | None, steps: Iterable[Step]) -> RecordedTest:
        rows = tuple(_row(step, answers, lists) for step in _ran(steps, answers))
        return RecordedTest(name=name, kind=kind, skipped=skipped, steps=rows)

    tests = [test("setup", TestKind.REPLACES, None, plan.setup)]
    tests += [test(one.name, one.kind, one.skipped, one.steps) for one in plan.tests]
    env = {name: answers.render(text) for name, text in plan.env.items() if text is not None}
    return env, tests


def _ran(steps: Iterable[Step], answers: Answers) -> Iterator[Step]:
    """Give the steps that ran on that machine, one for each executable."""
    for step in steps:
        if step.skipped is not None or (step.when and not answers.holds(step.when)):
            continue
        command = step.command
        if isinstance(command, ForEach):
            for path in answers.executables.get(command.executables.name, ()):
                yield replace(step, command=command.on(path))
        else:
            yield step


def _row(step: Step, answers: Answers, lists: Iterable[str]) -> RecordedStep:
    return RecordedStep(
        kind=step.kind,
        argv=tuple(answers.words(step.argv, lists)),
        cwd=answers.render(step.cwd),
        env={name: answers.render(text) for name, text in step.env.items() if text is not None},
    )


def trace_line(plan: Plan, job: Mapping[str, object]) -> dict[str, object]:
    """Return the plan as JSON in the form that the recorded traces are compared with."""
    env, tests = recorded_plan(plan)
    entries = [
        {
            "name": test.name,
            "origin": "test.sh" if test.kind is TestKind.REPLACES else str(test.kind),
            "skipped": test.skipped,
            "steps": [
                {"kind": str(row.kind), "argv": row.argv, "cwd": row.cwd, "env": row.env}
                for row in test.steps
            ],
        }
        for test in tests
    ]
    return {"job": dict(job), "env": env, "tests": entries}
