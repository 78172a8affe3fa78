"""What a plan calls that the checkout does not have: functions of its shell files, and files.

A plan for a tree that is older or newer than the table, or a narrowed one, may call a helper that
the tree's own scripts do not define. Only a run would find that out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_sessions.checkout.files import read_regular
from ci_sessions.plan.step import Kind, Program, ShellFunction, SourcedFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_sessions.plan.plan import Plan
    from ci_sessions.plan.step import Step

__all__ = ["missing_from"]

_SUFFIXES = (".py", ".sh")
_PATH = re.compile(r"[\w./-]+")  # no options, placeholders or patterns
_SOURCED = re.compile(r"(?:source|\.)\s[^\n]*?([\w-]+\.sh)\b")
_MAX_FILE = 4 << 20  # bytes


def missing_from(plan: Plan, root: Path) -> tuple[str, ...]:
    """Return a sentence for each function or file that a step calls and the checkout lacks.

    Files in folders that only a build or a clone creates are not looked for, and neither are files
    that an earlier step names, since it may create them.
    """
    found: dict[str, str] = {}
    created = ""
    groups = [
        ("the setup", plan.setup),
        *((test.name, test.steps) for test in plan.tests if not test.skipped),
        ("the cleanup", plan.cleanup),
    ]
    for name, steps in groups:
        for step in steps:
            is_function = isinstance(step.command, ShellFunction)
            if step.skipped or (step.when is not None and not is_function):
                continue  # a condition may ask whether the file exists
            for what in _missing(step, root, created):
                found.setdefault(what, f"step {step.number} of {name}")
            if step.kind in (Kind.FILE, Kind.INSTALL):
                created += "\0".join(("", *step.argv))
    return tuple(f"this checkout has no {what}, which {who} needs" for what, who in found.items())


def _missing(step: Step, root: Path, created: str) -> Iterator[str]:
    match step.command:
        case ShellFunction(argv, sources, _):
            files = [source.removeprefix("$ROOT/") for source in sources]
            texts = {file: _read(root / file) for file in files}
            yield from (file for file, text in texts.items() if text is None)
            if not any(_defines(root, file, argv[0]) for file in files):
                yield f"function {argv[0]} in {', '.join(files)}"
        case SourcedFile() | Program():
            words = step.argv[1:2] if step.argv[0] in ("python", "bash", "source") else ()
            yield from (
                path.relative_to(root).as_posix()
                for word in words
                if word.endswith(_SUFFIXES) and _PATH.fullmatch(word) and not word.startswith("/")
                for folder in [root / step.cwd.removeprefix("$ROOT/").removeprefix("$ROOT")]
                for path in [folder / word]
                if path.parent.is_dir() and not path.exists() and path.name not in created
                if ".." not in path.parts
            )
        case _:
            pass


def _defines(root: Path, file: str, name: str) -> bool:
    """Return whether a shell file, or one that it sources from its own folder, has a function."""
    path = root / file
    text = _read(path) or ""
    texts = [text, *(_read(path.parent / other) or "" for other in _SOURCED.findall(text))]
    definition = re.compile(
        rf"^\s*(?:function\s+{re.escape(name)}\b|{re.escape(name)}\s*\(\s*\))", re.MULTILINE
    )
    return any(definition.search(one) for one in texts)


def _read(path: Path) -> str | None:
    try:
        return read_regular(path, _MAX_FILE).decode(errors="replace")
    except OSError:
        return None
