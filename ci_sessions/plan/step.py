"""One step of a plan: a command, its working directory and variables, and how it is judged.

All strings are templates (see ``placeholders``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.plan.placeholders import Kind as PieceKind
from ci_sessions.plan.placeholders import Piece, parse, substitute
from ci_sessions.text import StrEnum

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
"""Maps names to templates; None removes the variable."""

NO_VARIABLES: Variables = MappingProxyType({})


class Kind(StrEnum):
    """What a step is for. The values are those of the recorded traces."""

    TEST = "test"
    INSTALL = "install"
    HELPER = "helper"
    PREFLIGHT = "preflight"
    SOURCE = "source"
    FILE = "file"
    PROBE = "probe"


class Expect(StrEnum):
    """The result that a step must have to pass."""

    SUCCESS = "success"
    FAILURE = "failure"  # such as a crash that shows that the sanitizer works
    ANYTHING = "anything"  # `|| true` in the script
    CLEAN_CHECKOUT = "clean checkout"  # assert_git_not_dirty in the script
    NO_OUTPUT = "no output"  # a guard: any output is a reason to stop


def _check_argv(argv: object) -> None:
    if not isinstance(argv, tuple) or not argv:
        raise _invalid_argv(argv)
    try:
        has_placeholders = "$" in "".join(argv)
    except TypeError:
        raise _invalid_argv(argv) from None
    if has_placeholders:
        for arg in argv:
            if "$" in arg:
                parse(arg)


def _invalid_argv(argv: object) -> TypeError:
    return TypeError(f"argv must be a non-empty tuple of strings, but was {argv!r}.")


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its arguments. Wildcards (``${any}``) are expanded to file names."""

    argv: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the arguments early, when the step is created."""
        _check_argv(self.argv)


@dataclass(frozen=True, slots=True)
class ShellFunction:
    """A function defined in shell files of the checkout. Later steps see what it exports.

    ``stdout`` is a file to which its standard output is redirected.
    """

    argv: tuple[str, ...]
    sources: tuple[str, ...]
    stdout: str | None = None

    def __post_init__(self) -> None:
        """Check the arguments early, when the step is created."""
        _check_argv(self.argv)


@dataclass(frozen=True, slots=True)
class SourcedFile:
    """A shell file to ``source``, and its arguments. ``exports``: later steps see its exports."""

    args: tuple[str, ...]
    exports: bool = False

    def __post_init__(self) -> None:
        """Check the arguments early, when the step is created."""
        _check_argv(self.args)

    @property
    def argv(self) -> tuple[str, ...]:
        """The command as traces show it."""
        return ("source", *self.args)


@dataclass(frozen=True, slots=True)
class ForEach:
    """A program that runs once for each executable found, which is ``${each}`` in its argv."""

    executables: Executables
    argv: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the arguments early, when the step is created."""
        _check_argv(self.argv)

    def on(self, path: str) -> Program:
        """Return the program for one of the executables."""

        def fill(piece: Piece) -> str | None:
            if piece.kind is not PieceKind.EACH:
                return None
            return path.rpartition("/")[2] if piece.name else path

        return Program(tuple(substitute(arg, fill) for arg in self.argv))


Command = Program | ShellFunction | SourcedFile | ForEach


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How a step is judged, retried and ordered.

    ``required_output`` must appear in its output. ``retry_waits``: seconds to wait before each
    retry. ``always``: run at the end of its test even after a failure. ``defers_failure``: on
    failure, still run the next step before stopping. ``skips_without_match``: do not run if a
    wildcard matches no file. ``judge`` names a function of the catalogue that judges the output and
    may ask for another run. ``imports`` is a module that is imported once for consecutive steps
    ``python -c CODE`` that name it.
    """

    expect: Expect = Expect.SUCCESS
    required_output: str | None = None
    retry_waits: tuple[float, ...] = ()
    always: bool = False
    defers_failure: bool = False
    skips_without_match: bool = False
    judge: str | None = None
    imports: str | None = None


DEFAULT = Policy()


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command. ``env`` adds to the plan's variables.

    ``is_test``: the step runs tests; a run passes only if it has one. ``when`` decides at run time
    whether it runs; ``skipped`` is the reason why it is shown but not run. ``number`` is its
    position in its test, from 1, even if only part of the plan runs; 0 outside a plan.
    """

    kind: Kind
    command: Command
    cwd: str = "."
    env: Variables = field(default_factory=lambda: NO_VARIABLES)
    policy: Policy = DEFAULT
    is_test: bool = False
    when: Condition | None = None
    skipped: str | None = None
    number: int = 0

    @property
    def argv(self) -> tuple[str, ...]:
        """The command as traces show it."""
        return self.command.argv

    @property
    def exports_variables(self) -> bool:
        """Return whether later steps see what the step exports."""
        command = self.command
        return isinstance(command, ShellFunction) or (
            isinstance(command, SourcedFile) and command.exports
        )

    @property
    def is_preparation(self) -> bool:
        """Return whether the step makes room for later ones, and can be repeated at any time.

        It makes folders or links; or it was added to a plan, to remove old results.
        """
        words = self.argv[1:] if self.argv[0] == "sudo" else self.argv
        makes_room = words[0] in ("mkdir", "ln") or not self.number
        return self.kind is Kind.FILE and makes_room

    def in_plan(self, number: int, env: Variables) -> Step:
        """Return the step at its place in a plan: with its number and its variables there.

        Every step of every plan is copied like this, and ``dataclasses.replace`` is slower.
        """
        return Step(
            kind=self.kind,
            command=self.command,
            cwd=self.cwd,
            env=env,
            policy=self.policy,
            is_test=self.is_test,
            when=self.when,
            skipped=self.skipped,
            number=number,
        )

    def with_policy(self, **changes: object) -> Step:
        """Return the step with some fields of its policy changed."""
        policy = dataclasses.replace(self.policy, **changes)  # type: ignore[arg-type]
        return dataclasses.replace(self, policy=policy)

    def mentions(self, text: str) -> bool:
        """Return whether any template contains a text. Nearly all steps have only arguments."""
        if text in "\n".join(self.argv) or text in self.cwd:
            return True
        has_more = (
            self.env or self.policy.required_output or isinstance(self.command, ShellFunction)
        )
        return bool(has_more) and text in "\n".join(self.templates())

    def templates(self) -> list[str]:
        """Return every template of the step that is not empty."""
        more: tuple[str | None, ...] = (self.cwd, self.policy.required_output)
        if isinstance(self.command, ShellFunction):
            more = (*more, self.command.stdout, *self.command.sources)
        return [text for text in (*self.argv, *self.env.values(), *more) if text]

    def mapped(self, change: Callable[[str], str]) -> Step:
        """Return the step with ``change`` applied to every template."""
        env = {name: value if value is None else change(value) for name, value in self.env.items()}
        required = self.policy.required_output
        step = dataclasses.replace(
            self, command=_mapped(self.command, change), cwd=change(self.cwd), env=env
        )
        return step if required is None else step.with_policy(required_output=change(required))


def _mapped(command: Command, change: Callable[[str], str]) -> Command:
    if isinstance(command, SourcedFile):
        return dataclasses.replace(command, args=tuple(map(change, command.args)))
    argv = tuple(map(change, command.argv))
    if isinstance(command, ShellFunction):
        sources = tuple(map(change, command.sources))
        stdout = change(command.stdout) if command.stdout else None
        return ShellFunction(argv, sources, stdout)
    return dataclasses.replace(command, argv=argv)
