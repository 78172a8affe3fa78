"""The command line that started this process, as it can be typed again in the same place."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ci_sessions.job.environment import process_environment
from ci_sessions.job.variables import CI

__all__ = ["module_program", "nox_program", "run_program"]

_LAUNCHERS = ("UV", "POETRY_ACTIVE", "PIPENV_ACTIVE", "HATCH_ENV_ACTIVE", "PIXI_IN_SHELL")
"""Variables that ``uv run``, ``uvx`` and their like set for the programs that they start."""


def module_program(name: str) -> tuple[str, ...]:
    """Return the command line of ``ci-sessions`` or ``python -m ci_sessions``, by its file's name.

    A program that is not found on PATH, or is another one there, is replaced by this Python.
    """
    if name == "__main__.py":
        return (*_python(), "-m", "ci_sessions")
    return (name,) if _is_ours(name) else (sys.executable, "-m", "ci_sessions")


def nox_program() -> tuple[str, ...]:
    """Return the command line of nox, with the noxfile if one was given."""
    program = ("nox",) if _is_ours("nox") else (sys.executable, "-m", "nox")
    return (*program, *_noxfile_option(sys.argv[1:]))


def run_program(program: tuple[str, ...], command: str, config: str) -> tuple[str, ...]:
    """Return the command line that runs a configuration in Python, called as ``command`` was."""
    *words, last = (word for word in program if word != "--")
    if words[-1:] == ["-s"]:
        return (*words, f"ci(config={config!r})", "--")
    return (*words, last.replace(command, "run"), config)


def _python() -> tuple[str, ...]:
    return next(((name,) for name in ("python", "python3") if _is_ours(name)), (sys.executable,))


def _is_ours(name: str) -> bool:
    """Return whether PATH finds a program of this environment.

    In a CI job it does not matter: its commands are repeated on other machines. Tools that run a
    program in an environment of their own put that on PATH too, but only for the program.
    """
    environment = process_environment()
    if environment[CI]:
        return True
    if any(environment.get(name) for name in _LAUNCHERS):
        return False
    found = shutil.which(name)
    return found is not None and Path(found).parent == Path(sys.executable).parent


def _noxfile_option(argv: list[str]) -> tuple[str, ...]:
    """Return ``-f`` with the noxfile, if nox got one; it has changed to the noxfile's folder."""
    argv = argv[: argv.index("--")] if "--" in argv else argv
    for number, arg in enumerate(argv):
        name, has_value, value = arg.partition("=")
        if name in ("-f", "--noxfile"):
            given = value if has_value else "".join(argv[number + 1 : number + 2])
            return ("-f", str(Path.cwd() / Path(given).name)) if given else ()
    return ()
