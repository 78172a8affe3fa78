"""A plan in the form of a recorded trace, using the answers of the machine that recorded it.

The answers are in ``resources/profile.toml``. The recorder that traces scripts reads the same file,
so that plan and script see the same machine.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ci_sessions.errors import InputError
from ci_sessions.plan.facts import stand_in
from ci_sessions.plan.placeholders import Kind as PieceKind
from ci_sessions.plan.placeholders import Piece, names_in, render
from ci_sessions.plan.plan import TestKind
from ci_sessions.plan.step import ForEach
from ci_sessions.toml import read_toml

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping
    from pathlib import Path

    from ci_sessions.plan.facts import Condition, Executables
    from ci_sessions.plan.plan import Plan
    from ci_sessions.plan.step import Kind, Step
    from ci_sessions.toml import TomlFile

__all__ = [
    "Answers",
    "RecordedStep",
    "RecordedTest",
    "parse_answers",
    "read_profile_file",
    "recorded_answers",
    "recorded_plan",
    "trace_line",
]

FORMAT = 1
PROFILE = "profile.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """A machine's answers to questions and conditions, and its executables, all by name.

    ``has_stand_ins``: one name stands for executables that the machine does not have, so that their
    steps are seen. The machine that recorded the traces had none.
    """

    questions: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)
    executables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    has_stand_ins: bool = False

    def render(self, template: str) -> str:
        """Return a template in the form of a trace: paths by name ($ROOT), questions answered."""
        return render(template, self._piece) if "$" in template else template

    def _piece(self, piece: Piece) -> str:
        match piece.kind:
            case PieceKind.PLACE:  # nearly all
                return f"${piece.name}"
            case PieceKind.QUESTION:
                return self._answer(piece.name)
            case PieceKind.PIN:
                return f"PIN-{piece.name}"
            case PieceKind.RANDOM:
                return "RANDOM"
            case PieceKind.WILDCARD:
                return "*"
            case _:
                return f"${piece.name}"

    def _answer(self, name: str) -> str:
        if name not in self.questions:
            raise InputError(
                f"the profile has no answer to the question {name!r}: add it to [questions]."
            )
        return self.questions[name]

    def is_met(self, condition: Condition) -> bool:
        """Return whether a condition is met. Raises InputError if the profile does not have it."""
        if condition.name not in self.conditions:
            raise InputError(
                f"the profile does not have the condition {condition.name!r}: "
                "add it to [conditions]."
            )
        return self.conditions[condition.name]

    def paths(self, executables: Executables) -> tuple[str, ...]:
        """Return the paths of executables, relative to the step's folder."""
        found = self.executables.get(executables.name, ())
        if found or not self.has_stand_ins:
            return found
        return tuple(map(stand_in, executables.patterns))

    def argv(self, templates: Iterable[str], lists: Container[str]) -> list[str]:
        """Return a command's arguments; an answer to a question in ``lists`` may become several."""
        argv: list[str] = []
        for template in templates:
            if "$" not in template:  # nearly all
                argv.append(template)
            elif (names := names_in(template, PieceKind.QUESTION)) and names[0] in lists:
                argv += self._answer(names[0]).split()
            else:
                argv.append(self.render(template))
        return argv


def read_profile_file(path: Path | None = None) -> TomlFile:
    """Read a profile, by default the built-in one, and replace ``{fact}`` in all its strings.

    Raises InputError if it cannot be read.
    """
    file = read_toml(path, PROFILE, format_version=FORMAT)
    facts = file.data.get("facts", {})
    if not isinstance(facts, dict) or not all(isinstance(fact, str) for fact in facts.values()):
        raise InputError(f"{file.name}: facts must be a table of strings.")
    return replace(file, data=_with_facts(file.data, facts))


def _with_facts(value: Any, facts: Mapping[str, str]) -> Any:  # noqa: ANN401 - whatever TOML holds
    if isinstance(value, str):
        for name, fact in facts.items():
            value = value.replace(f"{{{name}}}", fact)
        return value
    if isinstance(value, dict):
        return {key: _with_facts(item, facts) for key, item in value.items()}
    return [_with_facts(item, facts) for item in value] if isinstance(value, list) else value


def parse_answers(file: TomlFile) -> Answers:
    """Return a profile's answers for plans. Raises InputError for values of the wrong type."""
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
    return parse_answers(read_profile_file())


class RecordedStep(NamedTuple):
    """A step in the form of a trace: plain strings, with paths by name ($ROOT).

    ``number`` is that of the step in its test, from which a step of a ForEach has several. A named
    tuple is created in half the time, which counts for the plans of thousands of jobs.
    """

    kind: Kind
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    number: int = 0
    is_test: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedTest:
    """A test in the form of a trace. The set-up steps of a plan form a separate test."""

    name: str
    kind: TestKind
    skipped: str | None
    steps: tuple[RecordedStep, ...]

    @property
    def is_in_script(self) -> bool:
        """Whether the script runs it too."""
        return self.kind is TestKind.REPLACES and self.skipped is None


def recorded_plan(
    plan: Plan, answers: Answers | None = None
) -> tuple[dict[str, str], list[RecordedTest]]:
    """Return the plan's environment and its tests in the form of a trace on that machine."""
    answers = answers or recorded_answers()
    lists = {name for name, question in plan.questions.items() if question.is_list}
    known: dict[int, dict[str, str]] = {}  # many steps share the same variables

    def variables(step: Step) -> dict[str, str]:
        if id(step.env) not in known:
            env = {name: text for name, text in step.env.items() if text is not None}
            known[id(step.env)] = {name: answers.render(text) for name, text in env.items()}
        return known[id(step.env)]

    def record(step: Step) -> RecordedStep:
        return RecordedStep(
            kind=step.kind,
            argv=tuple(answers.argv(step.argv, lists)),
            cwd=answers.render(step.cwd),
            env=variables(step),
            number=step.number,
            is_test=step.is_test,
        )

    def test(name: str, kind: TestKind, skipped: str | None, steps: Iterable[Step]) -> RecordedTest:
        recorded = tuple([record(step) for step in _executed(steps, answers)])
        return RecordedTest(name=name, kind=kind, skipped=skipped, steps=recorded)

    tests = [test("setup", TestKind.REPLACES, None, plan.setup)]
    tests += [test(item.name, item.kind, item.skipped, item.steps) for item in plan.tests]
    env = {name: answers.render(text) for name, text in plan.env.items() if text is not None}
    return env, tests


def _executed(steps: Iterable[Step], answers: Answers) -> Iterator[Step]:
    """Yield the steps that run on that machine, one for each executable of a ForEach."""
    for step in steps:
        if step.skipped is not None or (step.when and not answers.is_met(step.when)):
            continue
        command = step.command
        if isinstance(command, ForEach):
            for path in answers.paths(command.executables):
                yield replace(step, command=command.on(path))
        else:
            yield step


def trace_line(plan: Plan, job: Mapping[str, object]) -> dict[str, object]:
    """Return the plan as JSON values for comparison with a recorded trace."""
    env, tests = recorded_plan(plan)
    entries = [
        {
            "name": test.name,
            "origin": "test.sh" if test.kind is TestKind.REPLACES else str(test.kind),
            "skipped": test.skipped,
            "steps": [
                {"kind": step.kind, "argv": step.argv, "cwd": step.cwd, "env": step.env}
                for step in test.steps
            ],
        }
        for test in tests
    ]
    return {"job": dict(job), "env": env, "tests": entries}
