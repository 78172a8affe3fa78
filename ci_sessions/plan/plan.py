"""What a job runs, as values: a Plan of Tests of Steps. Building one starts and writes nothing.

A dry run prints a Plan and a run executes the same Plan, so neither can say what the other does
not do.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.errors import InputError
from ci_sessions.plan.placeholders import Kind as PieceKind
from ci_sessions.plan.placeholders import Piece, names_in, substitute
from ci_sessions.plan.step import Kind, Step, Variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ci_sessions.job.job import Job
    from ci_sessions.plan.facts import Question

__all__ = ["DeviceNeed", "Draft", "Export", "Item", "Plan", "Test", "TestKind", "assemble"]


class TestKind(str, enum.Enum):
    """How a test stands to the script."""

    __test__ = False  # pytest collects classes called Test*

    REPLACES = "replaces"  # it stands for functions of the script
    ADDED = "added"  # extra to the script; it never gets in the way of the others
    NATIVE = "native"  # of a configuration that only exists here

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Export:
    """Among a test's steps: from here on, these variables are set, or removed where None."""

    values: Variables


Item = Step | Export


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A test as a suite writes it, with exports among its steps; ``assemble`` makes it a Test."""

    name: str
    kind: TestKind
    items: tuple[Item, ...]
    replaces: tuple[str, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Test:
    """A named part of a job. ``replaces`` names the script's functions that it stands for.

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
    """The devices that a job's tests need: how many of which kind, and how they are counted.

    ``files`` is a pattern below /dev with one match a device; where ``requires`` names a file
    there, it tells a device of this kind from others with the same pattern.
    """

    device: str = "cpu"
    count: int = 0
    files: str = ""
    requires: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that a job runs. ``env`` holds for each step; ``setup`` precedes and ``cleanup`` ends it.

    ``row`` says which row of the table decided, ``suites`` where its parts come from. ``notices``
    are sentences a reader must see, such as a deliberate difference from the script. ``questions``
    are those that the templates may ask.
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
        """Return one line: configuration, shard, label, and what the label says."""
        return self.job.describe(self.needs.device)

    @property
    def has_tests(self) -> bool:
        """Tell whether anything would be tested; a plan without a test is never run green."""
        return any(
            step.is_test and step.skipped is None
            for test in self.tests
            if test.skipped is None
            for step in test.steps
        )

    def steps(self) -> Iterator[Step]:
        """Give all steps, in order."""
        yield from self.setup
        for test in self.tests:
            yield from test.steps
        yield from self.cleanup

    def step_id(self, part: str, number: int) -> str:
        """Return a step's stable name, such as ``jit_legacy.test_jit_legacy.1``.

        ``part`` is a test's name, ``setup`` or ``cleanup``.
        """
        return f"{self.job.config}.{part}.{number}"

    def used_questions(self) -> dict[str, Question]:
        """Return the questions that the plan really asks."""
        texts = [value for value in self.env.values() if value is not None]
        texts += [text for step in self.steps() for text in step.templates()]
        names = (name for text in texts for name in names_in(text, PieceKind.QUESTION))
        return {name: self.questions[name] for name in dict.fromkeys(names)}

    def select(self, names: Iterable[str], step: int | None = None) -> Plan:
        """Keep the named tests, and of those one step. Raises InputError on a name it lacks."""
        wanted = list(dict.fromkeys(names))
        known = [test.name for test in self.tests]
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise InputError(
                *(
                    f"--test is {name!r}, but {self.job.config} has no such test: "
                    f"choose from {', '.join(known)}."
                    for name in unknown
                )
            )
        tests = tuple(test for test in self.tests if not wanted or test.name in wanted)
        if step is not None:
            tests = (_only_step(tests, step),)
        return dataclasses.replace(self, tests=tests)

    def without_added(self) -> Plan:
        """Leave out the tests that are extra to the script."""
        kept = tuple(test for test in self.tests if test.kind is not TestKind.ADDED)
        return dataclasses.replace(self, tests=kept)

    def without_installs(self, reason: str) -> Plan:
        """Show installs, and run none of them, for a reason."""

        def kept(step: Step) -> Step:
            return dataclasses.replace(step, skipped=reason) if step.kind is Kind.INSTALL else step

        return self.mapped(kept)

    def mapped(self, change: Callable[[Step], Step]) -> Plan:
        """Return the plan with every step changed."""
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
        """Fill in what ``value`` knows (see ``placeholders.substitute``), in every template.

        The search path stays open: it grows as steps run.
        """

        def fill(template: str) -> str:
            return substitute(template, value)

        env = {
            name: text if text is None or name == "PATH" else fill(text)
            for name, text in self.env.items()
        }
        return dataclasses.replace(self.mapped(lambda step: step.mapped(fill)), env=env)


def _only_step(tests: tuple[Test, ...], number: int) -> Test:
    if len(tests) != 1:
        names = ", ".join(test.name for test in tests)
        raise InputError(f"--step is {number}, but of which test: add --test, one of {names}.")
    test = tests[0]
    chosen = tuple(step for step in test.steps if step.number == number)
    if not chosen:
        raise InputError(
            f"--step is {number}, but {test.name} has steps 1 to {len(test.steps)}: "
            "a dry run lists them."
        )
    return dataclasses.replace(test, steps=chosen)


def assemble(
    plan: Plan, drafts: Iterable[Draft], *, before: Mapping[str, str], scripts: str
) -> Plan:
    """Return the plan with its tests: numbered steps, the exports before each folded into it.

    ``before`` holds what the caller had set (templates); ``scripts`` is the place $SCRIPTS.
    """
    tests = tuple(_fold_exports(drafts, {**before, **plan.env}))
    whole = dataclasses.replace(
        plan, setup=_numbered(plan.setup), tests=tests, cleanup=_numbered(plan.cleanup)
    )

    def place(piece: Piece) -> str | None:
        return scripts if piece == _SCRIPTS else None

    def placed(step: Step) -> Step:
        if not any("$SCRIPTS" in template for template in step.templates()):
            return step
        return step.mapped(lambda template: substitute(template, place))

    return whole.mapped(placed)


_SCRIPTS = Piece(PieceKind.PLACE, "SCRIPTS")


def _numbered(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(dataclasses.replace(step, number=n) for n, step in enumerate(steps, 1))


def _fold_exports(drafts: Iterable[Draft], start: Variables) -> Iterator[Test]:
    """Fold exports into the steps after them, over the tests that are the script's.

    A test that was added here sees the exports so far, and leaves none: it must not change what
    the script's own tests see.
    """
    carried: dict[str, str | None] = {}
    for draft in drafts:
        own = dict(carried)
        steps: list[Step] = []
        for item in draft.items:
            if isinstance(item, Export):
                now = {**start, **own}
                own.update({name: _prior(text, now) for name, text in item.values.items()})
            else:
                is_plain = item.kind in (Kind.FILE, Kind.PROBE)  # ln and git look at none of it
                env = item.env if is_plain else {**own, **item.env}
                steps.append(dataclasses.replace(item, env=env))
        if draft.kind is not TestKind.ADDED:
            carried = own
        yield Test(
            name=draft.name,
            kind=draft.kind,
            steps=_numbered(steps),
            replaces=draft.replaces,
            skipped=draft.skipped,
        )


def _prior(template: str | None, now: Variables) -> str | None:
    """Put what a variable held until now in the place of ``${before:NAME}``: itself a template."""
    if template is None or "${before:" not in template:
        return template
    for name in names_in(template, PieceKind.BEFORE):
        held = now.get(name) or ("$PATH" if name == "PATH" else "")
        template = template.replace(f"${{before:{name}}}", held)
    return template
