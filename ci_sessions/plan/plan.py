"""What a job runs: a Plan has Tests, a Test has Steps. Building one runs and writes nothing.

A dry run prints a Plan and a run executes the same Plan, so they cannot disagree.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.errors import InputError
from ci_sessions.plan.placeholders import Kind as PieceKind
from ci_sessions.plan.placeholders import Piece, names_in, substitute
from ci_sessions.plan.step import Kind, Step, Variables
from ci_sessions.text import StrEnum, count, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ci_sessions.job.job import Job
    from ci_sessions.plan.facts import Question

__all__ = ["DeviceNeed", "Draft", "Export", "Item", "Plan", "Test", "TestKind", "assemble"]


class TestKind(StrEnum):
    """How a test relates to test.sh."""

    __test__ = False  # pytest collects classes called Test*

    REPLACES = "replaces"  # replaces functions of test.sh
    ADDED = "added"  # not in test.sh; never affects the other tests
    NATIVE = "native"  # of a configuration that exists only here


@dataclass(frozen=True, slots=True)
class Export:
    """Variables to set for all later steps; None removes one. Used between a test's steps."""

    values: Variables


Item = Step | Export


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A test as a suite defines it, with exports between its steps; ``assemble`` makes a Test."""

    name: str
    kind: TestKind
    items: tuple[Item, ...]
    replaces: tuple[str, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Test:
    """A named part of a job. ``replaces`` lists the functions of test.sh that it replaces.

    ``skipped`` is the reason why the steps are shown but not run.
    """

    __test__ = False

    name: str
    kind: TestKind
    steps: tuple[Step, ...]
    replaces: tuple[str, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceNeed:
    """The devices that a job's tests need: their kind, their number, and how to count them.

    ``files`` is a glob pattern under /dev that matches once per device. ``requires`` is a file
    under /dev that must exist too, to distinguish kinds of devices with the same pattern.
    """

    device: str = "cpu"
    count: int = 0
    files: str = ""
    requires: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that a job runs: ``setup``, ``tests``, ``cleanup``, with ``env`` for every step.

    ``row`` describes the row of the table that matched, ``suites`` lists the modules of its parts.
    ``notices`` are sentences to show, such as a deliberate difference from test.sh. ``questions``
    are those that the templates may use.
    """

    job: Job
    row: str
    suites: tuple[str, ...]
    env: Variables
    setup: tuple[Step, ...]
    tests: tuple[Test, ...]
    cleanup: tuple[Step, ...] = ()
    needs: DeviceNeed = field(default_factory=DeviceNeed)
    drops_core_dumps: bool = False
    notices: tuple[str, ...] = ()
    questions: Mapping[str, Question] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )

    def describe_job(self) -> str:
        """Return one line: configuration, shard, build label and what the label means."""
        return self.job.describe(self.needs.device)

    @property
    def has_tests(self) -> bool:
        """Return whether any test would run; a run of a plan without tests never passes."""
        return any(
            step.is_test and step.skipped is None
            for test in self.tests
            if test.skipped is None
            for step in test.steps
        )

    def steps(self) -> Iterator[Step]:
        """Yield all steps, in order."""
        yield from self.setup
        for test in self.tests:
            yield from test.steps
        yield from self.cleanup

    def step_id(self, part: str, number: int) -> str:
        """Return a step's stable ID, such as ``jit_legacy.test_jit_legacy.1``.

        ``part`` is a test's name, ``setup`` or ``cleanup``.
        """
        return f"{self.job.config}.{part}.{number}"

    def used_questions(self) -> dict[str, Question]:
        """Return the questions that the plan's templates use."""
        templates = [value for value in self.env.values() if value is not None]
        templates += [template for step in self.steps() for template in step.templates()]
        names = (name for item in templates for name in names_in(item, PieceKind.QUESTION))
        return {name: self.questions[name] for name in dict.fromkeys(names)}

    def select(self, names: Iterable[str]) -> Plan:
        """Keep only the named tests. Raises InputError for bad names."""
        wanted = list(dict.fromkeys(names))
        known = [test.name for test in self.tests]
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise InputError(
                *(
                    f"--test is {shown(name)}, but {self.job.config} has no such test: "
                    f"choose from {', '.join(known)}."
                    for name in unknown
                )
            )
        tests = tuple(test for test in self.tests if not wanted or test.name in wanted)
        return dataclasses.replace(self, tests=tests)

    def only_step(self, number: int, *, with_setup: bool = False) -> Plan:
        """Keep only one step of the only test, and the folders and links that it needs.

        Raises InputError if there is no such step, or more than one test.
        """
        return self.only_test(_only_step(self.tests, number), with_setup=with_setup)

    def only_test(self, test: Test, *, with_setup: bool = False) -> Plan:
        """Keep only this test, and the job's set-up and cleanup ``with_setup``."""
        plan = dataclasses.replace(self, tests=(test,))
        return plan if with_setup else dataclasses.replace(plan, setup=(), cleanup=())

    def without_added(self) -> Plan:
        """Leave out the tests that test.sh does not have."""
        kept = tuple(test for test in self.tests if test.kind is not TestKind.ADDED)
        return dataclasses.replace(self, tests=kept)

    def without_installs(self, reason: str) -> Plan:
        """Skip all installs, showing them with the reason."""

        def skip(step: Step) -> Step:
            return dataclasses.replace(step, skipped=reason) if step.kind is Kind.INSTALL else step

        return self.mapped(skip)

    def mapped(self, change: Callable[[Step], Step]) -> Plan:
        """Return the plan with ``change`` applied to every step."""
        tests = (
            dataclasses.replace(test, steps=tuple(map(change, test.steps))) for test in self.tests
        )
        return dataclasses.replace(
            self,
            setup=tuple(map(change, self.setup)),
            tests=tuple(tests),
            cleanup=tuple(map(change, self.cleanup)),
        )

    def filled(self, value: Callable[[Piece], str | None]) -> Plan:
        """Replace placeholders in every template (see ``placeholders.substitute``).

        PATH is left alone: it can change as steps run.
        """

        def fill(template: str) -> str:
            return substitute(template, value)

        env = {
            name: text if text is None or name == "PATH" else fill(text)
            for name, text in self.env.items()
        }
        return dataclasses.replace(self.mapped(lambda step: step.mapped(fill)), env=env)

    def only_setup_step(self, number: int) -> Plan:
        """Keep only one step of the job's set-up. Raises InputError if there is no such step."""
        setup = tuple(step for step in self.setup if step.number == number)
        if not setup:
            raise _no_step("setup", len(self.setup), number)
        return dataclasses.replace(self, setup=setup, tests=(), cleanup=())


def _only_step(tests: tuple[Test, ...], number: int) -> Test:
    if len(tests) != 1:
        names = ", ".join(test.name for test in tests)
        raise InputError(
            f"--step is {number}, but {count(len(tests), 'test')} are selected: "
            f"add --test with one of {names}."
        )
    test = tests[0]
    if not any(step.number == number for step in test.steps):
        raise _no_step(test.name, len(test.steps), number)
    chosen = tuple(
        step
        for step in test.steps
        if step.number == number or (step.is_preparation and step.number < number)
    )
    return dataclasses.replace(test, steps=chosen)


def _no_step(part: str, steps: int, number: int) -> InputError:
    return InputError(
        f"--step is {number}, but {part} has {count(steps, 'step')}: list them with --dry-run."
    )


def assemble(
    plan: Plan, drafts: Iterable[Draft], *, before: Mapping[str, str], scripts: str
) -> Plan:
    """Return the plan with its tests: steps are numbered, and exports folded into later steps.

    ``before`` are templates with the caller's variables; ``scripts`` is the value of $SCRIPTS.
    """

    def value(piece: Piece) -> str | None:
        return scripts if piece == _SCRIPTS else None

    def fill(template: str) -> str:
        return substitute(template, value) if "SCRIPTS" in template else template

    def fill_step(step: Step) -> Step:
        return step.mapped(fill) if step.mentions("SCRIPTS") else step

    def fill_item(item: Item) -> Item:
        if isinstance(item, Step):
            return fill_step(item)
        texts = item.values.items()
        return Export({name: text if text is None else fill(text) for name, text in texts})

    def numbered(steps: Iterable[Step]) -> tuple[Step, ...]:
        return tuple(fill_step(step).in_plan(n, step.env) for n, step in enumerate(steps, 1))

    return dataclasses.replace(
        plan,
        setup=numbered(plan.setup),
        tests=tuple(_fold_exports(drafts, {**before, **plan.env}, fill_item)),
        cleanup=numbered(plan.cleanup),
    )


_SCRIPTS = Piece(PieceKind.PLACE, "SCRIPTS")


def _fold_exports(
    drafts: Iterable[Draft], start: Variables, fill: Callable[[Item], Item]
) -> Iterator[Test]:
    """Fold exports into the steps after them, including those of later tests.

    ``fill`` changes each item before, because many steps share an export.

    An added test sees earlier exports, but its own end with it, so it cannot affect the tests
    that replace the script's.
    """
    inherited: Variables = {}
    for draft in drafts:
        exported = inherited
        steps: list[Step] = []
        for item in map(fill, draft.items):
            if isinstance(item, Export):
                now = {**start, **exported}
                new = {name: _fill_before(text, now) for name, text in item.values.items()}
                exported = {**exported, **new}
            else:
                ignores_env = item.kind in (Kind.FILE, Kind.PROBE)  # ln and git, for example
                more = {**exported, **item.env} if item.env else exported  # which steps share
                env = item.env if ignores_env else more
                steps.append(item.in_plan(len(steps) + 1, env))
        if draft.kind is not TestKind.ADDED:
            inherited = exported
        yield Test(
            name=draft.name,
            kind=draft.kind,
            steps=tuple(steps),
            replaces=draft.replaces,
            skipped=draft.skipped,
        )


def _fill_before(template: str | None, now: Variables) -> str | None:
    """Replace ``${before:NAME}`` by the previous value of the variable, which is a template."""
    if template is None or "${before:" not in template:
        return template
    for name in names_in(template, PieceKind.BEFORE):
        previous = now.get(name) or ("$PATH" if name == "PATH" else "")
        template = template.replace(f"${{before:{name}}}", previous)
    return template
