"""One step of a plan: a command, the folder and variables it gets, and what makes it good.

All texts are templates (see ``placeholders``).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.plan.placeholders import Kind as PieceKind
from ci_sessions.plan.placeholders import Piece, parse, substitute

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_sessions.plan.facts import Condition, Executables

__all__ = [
    "Command",
    "Expect",
    "ForEach",
    "Kind",
    "Policy",
    "Program",
    "ShellFunction",
    "SourcedFile",
    "Step",
    "Variables",
]

Variables = Mapping[str, "str | None"]
"""Names to templates; None removes the variable."""

NOTHING: Variables = MappingProxyType({})


class Kind(str, enum.Enum):
    """What a step is for. The names are those of the recorded traces."""

    TEST = "test"
    INSTALL = "install"
    HELPER = "helper"
    PREFLIGHT = "preflight"
    SOURCE = "source"
    FILE = "file"
    PROBE = "probe"

    def __str__(self) -> str:
        return self.value


class Expect(str, enum.Enum):
    """What makes a step good."""

    SUCCESS = "success"
    FAILURE = "failure"  # a crash that proves that the sanitizer works
    ANYTHING = "anything"  # the script's `|| true`
    CLEAN_CHECKOUT = "clean checkout"  # the script's assert_git_not_dirty
    NO_OUTPUT = "no output"  # a guard: anything that it prints is a reason to stop

    def __str__(self) -> str:
        return self.value


def _check_words(argv: object) -> None:
    if not isinstance(argv, tuple) or not argv or not all(isinstance(w, str) for w in argv):
        raise TypeError(f"argv must be a tuple of words, but was {argv!r}.")
    for word in argv:
        parse(word)


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its words. ``expands``: wildcards in them are file patterns."""

    argv: tuple[str, ...]
    expands: bool = False

    def __post_init__(self) -> None:
        """Check now what would otherwise fail late."""
        _check_words(self.argv)


@dataclass(frozen=True, slots=True)
class ShellFunction:
    """A function that shell files of the checkout define; what it exports holds from then on.

    ``stdout`` is the file that takes its standard output.
    """

    argv: tuple[str, ...]
    sources: tuple[str, ...]
    stdout: str | None = None

    def __post_init__(self) -> None:
        """Check now what would otherwise fail late."""
        _check_words(self.argv)


@dataclass(frozen=True, slots=True)
class SourcedFile:
    """A shell file, read as ``source`` does. ``exports``: what it sets holds from then on."""

    words: tuple[str, ...]
    exports: bool = False

    def __post_init__(self) -> None:
        """Check now what would otherwise fail late."""
        _check_words(self.words)

    @property
    def argv(self) -> tuple[str, ...]:
        """The words as a trace has them."""
        return ("source", *self.words)


@dataclass(frozen=True, slots=True)
class ForEach:
    """A program that runs once for each executable that is found, ``${each}`` in its words."""

    executables: Executables
    argv: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check now what would otherwise fail late."""
        _check_words(self.argv)

    def on(self, path: str) -> Program:
        """Return the program for one of the executables."""

        def fill(piece: Piece) -> str | None:
            if piece.kind is not PieceKind.EACH:
                return None
            return path.rpartition("/")[2] if piece.name else path

        return Program(tuple(substitute(word, fill) for word in self.argv))


Command = Program | ShellFunction | SourcedFile | ForEach


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How a step's end is judged, and what it means for the others.

    ``required_output`` must stand in what it prints. ``retry_waits``: seconds before each further
    try. ``always``: runs at the end of its test whatever happened. ``defers_failure``: its failure
    counts only after the next step has run too. ``judge`` names a function of the catalogue that
    judges what it printed, and may ask for another run.
    """

    expect: Expect = Expect.SUCCESS
    required_output: str | None = None
    retry_waits: tuple[float, ...] = ()
    always: bool = False
    defers_failure: bool = False
    judge: str | None = None


DEFAULT = Policy()


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command. ``env`` adds to the plan's variables.

    ``is_test``: the step tests, so that a run in which it passes may be green. ``when`` decides at
    run time whether it runs; ``skipped`` says why it is shown and not run. ``number`` is its place
    in its test, from 1, whatever part of the plan is run; 0 before it is part of a plan.
    """

    kind: Kind
    command: Command
    cwd: str = "."
    env: Variables = field(default_factory=lambda: NOTHING)
    policy: Policy = DEFAULT
    is_test: bool = False
    when: Condition | None = None
    skipped: str | None = None
    number: int = 0

    @property
    def argv(self) -> tuple[str, ...]:
        """The words, as a trace has them."""
        return self.command.argv

    @property
    def keeps_environment(self) -> bool:
        """Tell whether what the step exports holds for the steps after it."""
        command = self.command
        return isinstance(command, ShellFunction) or (
            isinstance(command, SourcedFile) and command.exports
        )

    def with_policy(self, **changes: object) -> Step:
        """Return the step with some fields of its policy changed."""
        policy = dataclasses.replace(self.policy, **changes)  # type: ignore[arg-type]
        return dataclasses.replace(self, policy=policy)

    def templates(self) -> Iterator[str]:
        """Give every template of the step."""
        yield from self.argv
        yield self.cwd
        yield from (value for value in self.env.values() if value is not None)
        if isinstance(self.command, ShellFunction):
            yield from self.command.sources
            yield self.command.stdout or ""
        yield self.policy.required_output or ""

    def mapped(self, change: Callable[[str], str]) -> Step:
        """Return the step with every template changed."""
        env = {name: value if value is None else change(value) for name, value in self.env.items()}
        required = self.policy.required_output
        step = dataclasses.replace(
            self, command=_mapped(self.command, change), cwd=change(self.cwd), env=env
        )
        return step if required is None else step.with_policy(required_output=change(required))


def _mapped(command: Command, change: Callable[[str], str]) -> Command:
    if isinstance(command, SourcedFile):
        return dataclasses.replace(command, words=tuple(map(change, command.words)))
    argv = tuple(map(change, command.argv))
    if isinstance(command, ShellFunction):
        sources = tuple(map(change, command.sources))
        stdout = change(command.stdout) if command.stdout else None
        return ShellFunction(argv, sources, stdout)
    return dataclasses.replace(command, argv=argv)
