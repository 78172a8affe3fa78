"""Short ways to write steps and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.plan.plan import Draft, Export, Item, TestKind
from ci_sessions.plan.step import (
    NOTHING,
    Expect,
    Kind,
    Policy,
    Program,
    ShellFunction,
    SourcedFile,
    Step,
    Variables,
)

if TYPE_CHECKING:
    from ci_sessions.plan.facts import Condition

__all__ = [
    "Items",
    "added",
    "bash",
    "command",
    "copy_tree",
    "export",
    "file_step",
    "git",
    "install",
    "native",
    "probe",
    "replaces",
    "source",
]

Items = Item | list[Item] | list[Step]


def command(
    *argv: str,
    cwd: str = ".",
    env: Variables = NOTHING,
    policy: Policy | None = None,
    when: Condition | None = None,
) -> Step:
    """A command that tests."""
    return Step(
        kind=Kind.TEST,
        command=Program(argv),
        cwd=cwd,
        env=env,
        policy=policy or Policy(),
        is_test=True,
        when=when,
    )


def install(
    *argv: str,
    cwd: str = ".",
    env: Variables = NOTHING,
    when: Condition | None = None,
    expands: bool = False,
    policy: Policy | None = None,
) -> Step:
    """A command that changes what is installed, built or checked out."""
    return Step(
        kind=Kind.INSTALL,
        command=Program(argv, expands=expands),
        cwd=cwd,
        env=env,
        when=when,
        policy=policy or Policy(),
    )


def git(*words: str, cwd: str = ".", when: Condition | None = None) -> Step:
    """``git …`` where it changes the tree."""
    return install("git", *words, cwd=cwd, when=when)


def probe(*argv: str, when: Condition | None = None, expect: Expect = Expect.SUCCESS) -> Step:
    """A command that only looks."""
    policy = Policy(expect=expect)
    return Step(kind=Kind.PROBE, command=Program(argv), when=when, policy=policy)


def source(
    *words: str,
    cwd: str = ".",
    when: Condition | None = None,
    exports: bool = False,
    env: Variables = NOTHING,
) -> Step:
    """A shell file that is read: to test, or (``exports``) for what it exports."""
    return Step(
        kind=Kind.SOURCE,
        command=SourcedFile(words, exports=exports),
        cwd=cwd,
        when=when,
        env=env,
        is_test=not exports,
    )


def shell_function(  # noqa: PLR0913 - a call has this many sides
    *argv: str,
    sources: tuple[str, ...],
    cwd: str = ".",
    when: Condition | None = None,
    stdout: str | None = None,
    env: Variables = NOTHING,
    is_test: bool = False,
) -> Step:
    """A function that shell files of the checkout define (paths from its root)."""
    files = sources if cwd == "." else tuple(f"$ROOT/{file}" for file in sources)
    return Step(
        kind=Kind.HELPER,
        command=ShellFunction(argv, files, stdout),
        cwd=cwd,
        when=when,
        env=env,
        is_test=is_test,
    )


def file_step(
    *argv: str, cwd: str = ".", always: bool = False, when: Condition | None = None
) -> Step:
    """Change files: cp, mv, rm, ln. Wildcards are expanded as a shell would."""
    program, policy = Program(argv, expands=True), Policy(always=always)
    return Step(kind=Kind.FILE, command=program, cwd=cwd, policy=policy, when=when)


def copy_tree(origin: str, to: str, *, cwd: str) -> Step:
    """``cp -a``."""
    return file_step("cp", "-a", origin, to, cwd=cwd)


def bash(script: str, *arguments: str, always: bool = False, when: Condition | None = None) -> Step:
    """A line of shell, for the few effects that no single command has.

    ``script`` is plain shell text; ``arguments`` are templates, and are ``$1`` and so on in it.
    """
    argv = ("bash", "-c", script.replace("$", "$$"), *(("bash", *arguments) if arguments else ()))
    return Step(kind=Kind.FILE, command=Program(argv), policy=Policy(always=always), when=when)


def export(**values: str | None) -> Export:
    """From here on in the job, these variables are set."""
    return Export(values)


def replaces(functions: str, *items: Items, name: str = "") -> Draft:
    """A test that stands for functions of test.sh (space-separated); named after the first."""
    names = tuple(functions.split())
    kind = TestKind.REPLACES
    return Draft(name=name or names[0], kind=kind, items=_flat(items), replaces=names)


def added(name: str, *items: Items, skipped: str | None = None) -> Draft:
    """A test that is extra to the script's."""
    return Draft(name=name, kind=TestKind.ADDED, items=_flat(items), skipped=skipped)


def native(name: str, *items: Items) -> Draft:
    """A test of a configuration that only exists here."""
    return Draft(name=name, kind=TestKind.NATIVE, items=_flat(items))


def _flat(items: tuple[Items, ...]) -> tuple[Item, ...]:
    return tuple(one for item in items for one in (item if isinstance(item, list) else [item]))
