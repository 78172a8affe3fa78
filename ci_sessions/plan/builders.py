"""Helper functions that build steps and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.plan.plan import Draft, Export, Item, TestKind
from ci_sessions.plan.step import (
    NO_VARIABLES,
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
    env: Variables = NO_VARIABLES,
    policy: Policy | None = None,
    when: Condition | None = None,
) -> Step:
    """Return a step that runs tests."""
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
    env: Variables = NO_VARIABLES,
    when: Condition | None = None,
    policy: Policy | None = None,
) -> Step:
    """Return a step that changes what is installed, built or checked out."""
    return Step(
        kind=Kind.INSTALL,
        command=Program(argv),
        cwd=cwd,
        env=env,
        when=when,
        policy=policy or Policy(),
    )


def git(*args: str, cwd: str = ".", when: Condition | None = None) -> Step:
    """Return a step that runs a git command which changes the tree."""
    return install("git", *args, cwd=cwd, when=when)


def probe(*argv: str, when: Condition | None = None, expect: Expect = Expect.SUCCESS) -> Step:
    """Return a step that only inspects something."""
    policy = Policy(expect=expect)
    return Step(kind=Kind.PROBE, command=Program(argv), when=when, policy=policy)


def source(
    *args: str,
    cwd: str = ".",
    when: Condition | None = None,
    exports: bool = False,
    env: Variables = NO_VARIABLES,
) -> Step:
    """Return a step that sources a shell file: as a test, or (``exports``) for its exports."""
    return Step(
        kind=Kind.SOURCE,
        command=SourcedFile(args, exports=exports),
        cwd=cwd,
        when=when,
        env=env,
        is_test=not exports,
    )


def shell_function(  # noqa: PLR0913 - every aspect of a call is optional
    *argv: str,
    sources: tuple[str, ...],
    cwd: str = ".",
    when: Condition | None = None,
    stdout: str | None = None,
    env: Variables = NO_VARIABLES,
    is_test: bool = False,
) -> Step:
    """Return a step that calls a function from shell files; their paths start at the root."""
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
    """Return a step that changes files: cp, mv, rm, ln."""
    policy = Policy(always=always)
    return Step(kind=Kind.FILE, command=Program(argv), cwd=cwd, policy=policy, when=when)


def copy_tree(source_dir: str, target_dir: str, *, cwd: str) -> Step:
    """Return a step that copies a folder with ``cp -a``."""
    return file_step("cp", "-a", source_dir, target_dir, cwd=cwd)


def bash(script: str, *args: str, always: bool = False, when: Condition | None = None) -> Step:
    """Return a step that runs a line of shell, for what a single command cannot do.

    ``script`` is plain shell text. ``args`` are templates, available to it as ``$1`` and so on.
    """
    argv = ("bash", "-c", script.replace("$", "$$"), *(("bash", *args) if args else ()))
    return Step(kind=Kind.FILE, command=Program(argv), policy=Policy(always=always), when=when)


def export(**values: str | None) -> Export:
    """Set variables for the rest of the job; None removes one."""
    return Export(values)


def replaces(functions: str, *items: Items, name: str = "") -> Draft:
    """Return a test that replaces functions of test.sh, separated by spaces.

    Its default name is that of the first function.
    """
    names = tuple(functions.split())
    kind = TestKind.REPLACES
    return Draft(name=name or names[0], kind=kind, items=_flat(items), replaces=names)


def added(name: str, *items: Items, skipped: str | None = None) -> Draft:
    """Return a test that test.sh does not have."""
    return Draft(name=name, kind=TestKind.ADDED, items=_flat(items), skipped=skipped)


def native(name: str, *items: Items) -> Draft:
    """Return a test of a configuration that exists only here."""
    return Draft(name=name, kind=TestKind.NATIVE, items=_flat(items))


def _flat(items: tuple[Items, ...]) -> tuple[Item, ...]:
    return tuple(
        item for group in items for item in (group if isinstance(group, list) else [group])
    )
