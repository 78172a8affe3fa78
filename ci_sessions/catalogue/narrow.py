"""Narrows a step to a few test files or test cases, with the options of its own command.

run_test.py takes ``-i FILE`` and ``-k EXPRESSION``; before PyTorch 2 it passes the ``-k`` of
unittest on. pytest takes node IDs, a test file with unittest takes the names of cases, and a model
benchmark takes ``--only MODEL``. The comparison of a benchmark's results with the expected ones
cannot do without the benchmark, so the two stay together.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ci_sessions.checkout.features import Feature
from ci_sessions.errors import InputError
from ci_sessions.plan.builders import file_step
from ci_sessions.plan.placeholders import literal
from ci_sessions.plan.step import Program, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.plan.plan import Test

__all__ = ["can_narrow", "is_comparison", "narrow", "narrow_test"]

_RUN_TEST = "run_test.py"
_BENCHMARKS = frozenset(
    f"benchmarks/dynamo/{name}.py" for name in ("huggingface", "timm_models", "torchbench")
)
_FIXTURES = ("setUpClass", "tearDownClass", "setUpModule", "tearDownModule")
_WORD = re.compile(r"[\w.+\[\]/-]+")


def can_narrow(step: Step) -> bool:
    """Return whether a step runs test files or cases that can be selected, or compares results."""
    return isinstance(step.command, Program) and (
        _command_of(step.argv) is not None or is_comparison(step)
    )


def is_comparison(step: Step) -> bool:
    """Return whether a step compares the results of a benchmark with the expected ones."""
    return bool(_results(step))


def narrow_test(
    tests: Sequence[Test],
    number: int | None,
    files: Sequence[str],
    cases: Sequence[str],
    checkout: Checkout,
) -> Test:
    """Return the test that runs these files and cases, with only the steps that they need.

    ``number`` selects a step. Without it, a model runs in each benchmark of its test, and all its
    results are compared; with that of a comparison, it runs in the benchmark that this compares.
    Raises InputError if no step can select the files and cases, or more than one could.
    """
    found = [
        (test, step)
        for test in tests
        for step in test.steps
        if can_narrow(step) and number in (None, step.number)
    ]
    if not found:
        raise InputError(
            "--case and --file select tests of run_test.py, pytest, a test file or a model "
            "benchmark, but no selected step runs one: --dry-run lists the steps."
        )
    test, chosen = found[0][0], {step.number for _, step in found}
    is_one_model = all(one is test and _is_of_model(step) for one, step in found)
    if len(found) > 1 and not is_one_model:
        steps = "; ".join(f"--test {one.name} --step {step.number}" for one, step in found)
        raise InputError(f"--case and --file select tests of one step: add one of {steps}.")
    return _narrowed(test, chosen, lambda step: narrow(step, files, cases, checkout))


def _narrowed(test: Test, chosen: AbstractSet[int], change: Callable[[Step], Step]) -> Test:
    """Keep the chosen steps, changed, and what they need."""
    compared = {_results(step) for step in test.steps if step.number in chosen}
    compared.discard("")
    results, steps = [], []
    for step in test.steps:
        if not is_comparison(step) and (step.number in chosen or _output(step) in compared):
            results += [_output(step)] if _is_of_model(step) and _output(step) else []
            steps.append(change(step))
        elif step.number in chosen or (step.is_preparation and step.number < max(chosen)):
            steps.append(step)
    # A benchmark of one model appends to its file, so the results of an earlier run must go.
    remove = (file_step("rm", "-f", *results),) if results else ()
    return replace(test, steps=(*remove, *steps))


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
    if scripts and scripts[0] in _BENCHMARKS:
        return _benchmark
    if scripts and scripts[0].rpartition("/")[2].startswith("test_"):
        return _unittest
    return None


def _is_of_model(step: Step) -> bool:
    return is_comparison(step) or (
        isinstance(step.command, Program) and _command_of(step.argv) is _benchmark
    )


def _results(step: Step) -> str:
    return _value(step.argv, "--actual")


def _output(step: Step) -> str:
    return _value(step.argv, "--output")


def _value(argv: _Argv, option: str) -> str:
    """Return the value of an option, or ""."""
    return next((value for name, value in itertools.pairwise(argv) if name == option), "")


def _run_test(argv: _Argv, files: Sequence[str], cases: Sequence[str], checkout: Checkout) -> _Argv:
    if files:
        names = [literal(_file_name(name)) for name in files]
        argv = _without(_without(argv, "-i", "--include"), "--shard")
        script = next(n for n, arg in enumerate(argv) if arg.endswith(_RUN_TEST)) + 1
        argv = (*argv[:script], "--include", *names, *argv[script:])
    if not cases:
        return argv
    if "doctests" in argv:
        raise InputError("--case cannot select doctests: run_test.py runs all of them.")
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
