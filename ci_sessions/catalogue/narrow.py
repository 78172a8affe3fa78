"""Narrows a step to a few test files or test cases, with the options of its own command.

run_test.py takes ``-i FILE`` and ``-k EXPRESSION``; before PyTorch 2 it passes the ``-k`` of
unittest on. pytest takes node IDs, a test file with unittest takes the names of cases, and a model
benchmark takes ``--only MODEL``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ci_sessions.checkout.features import Feature
from ci_sessions.errors import InputError
from ci_sessions.plan.placeholders import literal
from ci_sessions.plan.step import Program, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ci_sessions.checkout.checkout import Checkout

__all__ = ["can_narrow", "narrow"]

_RUN_TEST = "run_test.py"
_FIXTURES = ("setUpClass", "tearDownClass", "setUpModule", "tearDownModule")
_WORD = re.compile(r"[\w.+\[\]/-]+")


def can_narrow(step: Step) -> bool:
    """Return whether a step runs test files or cases that can be selected."""
    return isinstance(step.command, Program) and _command_of(step.command.argv) is not None


def narrow(step: Step, files: Sequence[str], cases: Sequence[str], checkout: Checkout) -> Step:
    """Return the step with only these test files and cases.

    ``files`` are named as run_test.py names them, such as ``test_ops``, ``inductor/test_config``.
    Raises InputError if the step's command cannot select them.
    """
    command = _command_of(step.argv) if isinstance(step.command, Program) else None
    if command is None:
        raise InputError(
            f"--case and --file select tests of run_test.py, pytest, a test file or a model "
            f"benchmark, but the step is {' '.join(step.argv)}: leave them out."
        )
    argv = command(step.argv, files, cases, checkout)
    return replace(step, command=Program(argv))


_Argv = tuple[str, ...]


def _command_of(argv: _Argv) -> Callable[..., _Argv] | None:
    """Return the function that narrows a command, or None."""
    scripts = [arg for arg in argv if arg.endswith(".py")]
    if scripts and scripts[0].endswith(_RUN_TEST):
        return _run_test
    if "pytest" in (argv[0], *argv[2:3]):
        return _pytest
    if scripts and scripts[0].startswith("benchmarks/dynamo/"):
        return _benchmark
    if scripts and scripts[0].rpartition("/")[2].startswith("test_"):
        return _unittest
    return None


def _run_test(argv: _Argv, files: Sequence[str], cases: Sequence[str], checkout: Checkout) -> _Argv:
    if files:
        names = [literal(_file_name(name)) for name in files]
        argv = _without(_without(argv, "-i", "--include"), "--shard")
        script = next(n for n, arg in enumerate(argv) if arg.endswith(_RUN_TEST)) + 1
        argv = (*argv[:script], "--include", *names, *argv[script:])
    if not cases:
        return argv
    if checkout.has(Feature.CASE_EXPRESSION):
        return (*_without(argv, "-k"), "-k", literal(_expression(cases)))
    patterns = [word for case in cases for word in ("-k", f"*.{'.'.join(_words(case))}")]
    return (*argv, "--", *map(literal, patterns))


def _pytest(argv: _Argv, files: Sequence[str], cases: Sequence[str], _: Checkout) -> _Argv:
    targets = [literal(case) for case in cases if "::" in case]
    if len(targets) < len(cases):
        targets = []
        argv = (*argv, "-k", literal(_expression(cases)))
    targets = targets or [literal(f"{_file_name(name)}.py") for name in files]
    if targets:
        argv = tuple(arg for arg in argv if not re.search(r"\.py(::|$)", arg))
    return (*argv, *targets)


def _unittest(argv: _Argv, files: Sequence[str], cases: Sequence[str], _: Checkout) -> _Argv:
    if files:
        raise InputError(f"--file is {files[0]!r}, but the step runs one file: leave it out.")
    return (*argv, *(literal(".".join(_words(case))) for case in cases))


def _benchmark(argv: _Argv, files: Sequence[str], cases: Sequence[str], _: Checkout) -> _Argv:
    if files or len(cases) != 1:
        raise InputError("the step is a model benchmark: give one model, with --case MODEL.")
    return (*_without(argv, "--only"), "--only", literal(cases[0]))


def _without(argv: _Argv, *names: str) -> _Argv:
    """Remove an option and its values."""
    kept: list[str] = []
    is_value = False
    for arg in argv:
        is_value = arg in names or (is_value and not arg.startswith("-"))
        if not is_value:
            kept.append(arg)
    return tuple(kept)


def _file_name(name: str) -> str:
    return name.removesuffix(".py").removeprefix("./").removeprefix("test/")


def _expression(cases: Sequence[str]) -> str:
    """Return a ``-k`` expression of pytest that selects the cases."""
    selected = [" and ".join(_words(case)) for case in cases]
    if len(selected) == 1:
        return selected[0]
    return " or ".join(f"({one})" for one in selected)


def _words(case: str) -> list[str]:
    """Return the class and the function in a case's name.

    The name may be a node ID (``test_a.py::TestA::test_b``), or dotted (``test_a.TestA.test_b``).
    """
    parts = case.split("::")[-2:] if "::" in case else case.split(".")[-2:]
    if len(parts) > 1 and parts[0].endswith(".py"):
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] in _FIXTURES:
        parts = parts[:-1]
    # pytest cannot select every parameter in an expression: without it, all of a test's cases run.
    parts = [part if _WORD.fullmatch(part) else part.partition("[")[0] for part in parts]
    if not all(_WORD.fullmatch(part) for part in parts):
        raise InputError(f"--case is {case!r}: use a name such as TestA.test_b.")
    return parts
