"""What a plan uses that the checkout does not have: shell functions, files, options of run_test.py.

A plan for a tree that is older or newer than the table, or a narrowed one, may call a helper that
the tree's own scripts do not define. Only a run would find that out, or not even that: run_test.py
passes an option that it does not know on to the tests.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from ci_sessions.catalogue.devices import CPU, device_of
from ci_sessions.checkout.checkout import is_sample
from ci_sessions.checkout.files import read_regular
from ci_sessions.plan.step import Kind, Program, ShellFunction, SourcedFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ci_sessions.plan.plan import Plan
    from ci_sessions.plan.step import Step

__all__ = ["missing_from", "other_device", "unknown_options"]

_SUFFIXES = (".py", ".sh")
_PATH = re.compile(r"[\w./-]+")  # no options, placeholders or patterns
_SOURCED = re.compile(r"(?:source|\.)\s[^\n]*?([\w-]+\.sh)\b")
_RUN_TEST = "test/run_test.py"
_LONG_OPTION = re.compile(r"""["'](--[\w-]+)["']""")
_ON_CUDA = ("--device", "cuda")
_SUITES = ("huggingface", "timm", "torchbench")
_MAX_FILE = 4 << 20  # bytes


def missing_from(plan: Plan, root: Path) -> tuple[str, ...]:
    """Return a sentence for each step that needs what the checkout lacks, which it names once.

    Files in folders that only a build or a clone creates are not looked for, and neither are files
    that an earlier step names, since it may create them.
    """
    found: dict[str, list[str]] = {}
    named: set[str] = set()
    created = ""
    # The sample's run_test.py stands for any release, so nothing is missing there.
    run_test = None if is_sample(root) else _read(root / _RUN_TEST)
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
            who = f"step {step.number} of {name}"
            lacks = [what for what in _missing(step, root, created) if what not in named]
            named.update(lacks)
            if run_test is not None and step.argv[:2] == ("python", _RUN_TEST):
                options = unknown_options(step.argv[2:], run_test)
                lacks += [f"option {name} in {_RUN_TEST}" for name in options]
                lacks += _unknown_files(step, root, run_test)
            found[who] = lacks
            if step.kind in (Kind.FILE, Kind.INSTALL):
                created += "\0".join(("", *step.argv))
    return tuple(
        f"this checkout has no {' and no '.join(lacks)}, which {who} needs"
        for who, lacks in found.items()
        if lacks
    )


def _missing(step: Step, root: Path, created: str) -> Iterator[str]:
    match step.command:
        case ShellFunction(argv, sources, _):
            files = [source.removeprefix("$ROOT/") for source in sources]
            lacks = [file for file in files if _read(root / file) is None]
            yield from lacks
            if lacks != files and not any(_defines(root, file, argv[0]) for file in files):
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


def other_device(plan: Plan) -> tuple[str, ...]:
    """Return a sentence about the first step that runs on CUDA, if the build has none."""
    if device_of(plan.job.build) is not CPU:
        return ()
    sentences = (
        f"step {step.number} of {test.name} runs on CUDA, and the build is for the CPU"
        for test in plan.tests
        if not test.skipped
        for step in test.steps
        if _ON_CUDA in itertools.pairwise(step.argv)
    )
    hint = f": cpu_inductor_{plan.job.config} runs there" if plan.job.config in _SUITES else ""
    return tuple(f"{one}{hint}" for one in itertools.islice(sentences, 1))


def unknown_options(words: Sequence[str], run_test: str) -> list[str]:
    """Return the long options that the text of run_test.py does not define, before any ``--``.

    ``words`` are those after run_test.py in a command.
    """
    known = set(_LONG_OPTION.findall(run_test))
    names = (
        word.partition("=")[0]
        for word in itertools.takewhile(lambda word: word != "--", words if known else ())
    )
    return [
        name
        for name in names
        if _LONG_OPTION.fullmatch(f'"{name}"') and not any(one.startswith(name) for one in known)
    ]


def _unknown_files(step: Step, root: Path, run_test: str) -> Iterator[str]:
    """Yield the test files that run_test.py is to include and the checkout does not have.

    What run_test.py itself names, such as ``doctests``, needs no file.
    """
    for name in _included(step.argv[2:]):
        is_named = f'"{name}"' in run_test or f"'{name}'" in run_test
        if _PATH.fullmatch(name) and not name.startswith("cpp/") and not is_named:
            path = root / "test" / f"{name.removesuffix('.py')}.py"
            if not path.exists():
                yield f"test file {path.relative_to(root).as_posix()}"


def _included(words: Sequence[str]) -> Iterator[str]:
    """Yield the values of ``--include`` and ``-i``."""
    is_value = False
    for word in words:
        if word.startswith("-"):
            is_value = word in ("--include", "-i")
        elif is_value:
            yield word


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
