"""The ``dispatch`` session if the rest of this package cannot be imported: run the script itself.

Uses only nox and the standard library, and repeats the few variable names that it needs. It makes
the same choices as ``resources/dispatch.sh``, which is for when nox cannot even start. The record
has the usual form, so that the failure is counted. Other sessions report the import error.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nox

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["define", "run"]

COMMANDS = (
    *("plan", "run", "explain", "matrix", "where", "audit", "shards", "parity", "history"),
    *("rollout", "report"),
)
TEST_CONFIG = "TEST_CONFIG"
BUILD_ENVIRONMENT = "BUILD_ENVIRONMENT"
SHARD_NUMBER = "SHARD_NUMBER"
NUM_TEST_SHARDS = "NUM_TEST_SHARDS"
USE_PYTHON_TEST_RUNNER = "USE_PYTHON_TEST_RUNNER"
NO_SHELL_FALLBACK = "NO_SHELL_FALLBACK"
_BAD_INPUT = 2
_INTERNAL = 70
_REASONS = {
    "": "flag-unset",
    "0": "flag-off",
    "false": "flag-off",
    "1": "flag-on",
    "true": "flag-on",
    "rollout": "undecided",
    "shadow": "shadow",
}
_OPTIONS = {"--config": TEST_CONFIG, "--build-environment": BUILD_ENVIRONMENT}


def define(error: BaseException) -> None:
    """Define ``dispatch``, and the other sessions so that they report the error."""

    @nox.session(venv_backend="none", default=False)
    def dispatch(session: nox.Session) -> None:
        """Run the job with the checkout's own script: ci_sessions cannot be imported."""
        run(session, error)

    requested = [*sys.argv[1:], *os.environ.get("NOXSESSION", "").split(",")]  # noqa: TID251
    named = {word.strip() for word in requested if re.fullmatch(r"\s*ci(\(.*\))?\s*", word)}
    for name in (*COMMANDS, *sorted(named)):
        _define_broken(name, error)


def _define_broken(name: str, error: BaseException) -> None:
    def broken(session: nox.Session) -> None:
        run(session, error)

    broken.__doc__ = "ci_sessions cannot be imported."
    nox.session(name=name.replace('"', "'"), venv_backend="none", default=False)(broken)


@dataclass(frozen=True)
class _Choice:
    """What runs instead of Python, and why: the codes of ``records.route``."""

    script: str
    intended: str
    reason: str


def run(session: nox.Session, error: BaseException) -> None:
    """Run the job with the checkout's own script; in other sessions, report the error."""
    problem = f"ci_sessions cannot be imported: {type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if session.name != "dispatch":
        session.error(_harmless(f"{problem}\n{trace}"))
    start = Path.cwd()
    env, records = _job_environment(session.posargs)
    choice = _choose(env)
    if choice is None:
        text = f"{USE_PYTHON_TEST_RUNNER} is not one of 1, 0, rollout, shadow"
        session.warn(f"{text}.")
        _annotate(env, "error", text)
        raise SystemExit(_BAD_INPUT)
    if _is_native(env):
        session.warn(_harmless(f"{problem}; the script does not know {env.get(TEST_CONFIG)!r}"))
        _annotate(env, "error", "ci_sessions cannot be imported, and the script lacks this job")
        raise SystemExit(_BAD_INPUT)
    if env.get(NO_SHELL_FALLBACK) == "1" and choice.intended == "python":
        session.warn(_harmless(problem))
        _annotate(env, "error", f"ci_sessions cannot be imported, and {NO_SHELL_FALLBACK} is 1")
        raise SystemExit(_INTERNAL)
    if "--probe" in session.posargs:
        return
    if "--dry-run" in session.posargs:
        session.log(_harmless(f"would run {choice.script}: {problem}"))
        return
    session.warn(_harmless(f"{problem}; falling back to the shell"))
    text = f"ci_sessions cannot be imported; running {choice.script} instead"
    _annotate(env, "warning", text)
    code = _INTERNAL
    try:
        session.run(f"./{choice.script}", external=True, env=env)
        code = 0
    except nox.command.CommandFailed:
        code = 1
        raise
    finally:
        _record(_records_folder(records, start), env, choice, (str(error), trace), code)


def _annotate(env: dict[str, str], level: str, text: str) -> None:
    """Show a text on GitHub's page of the run; it must be one line, and not from elsewhere."""
    if env.get("GITHUB_ACTIONS") == "true":
        print(f"::{level} title=ci_sessions::{text}", flush=True)  # noqa: T201 - GitHub reads it


def _harmless(text: str) -> str:
    """Return a text in which GitHub finds no command; see ``text.disarm``."""
    return "\n".join(
        f"| {line}" if line.lstrip().startswith("::") else line
        for line in text.replace("##[", "# #[").splitlines()
    )


def _job_environment(options: Sequence[str]) -> tuple[dict[str, str], str]:
    """Return the environment, with the options that name a job, and the folder for records.

    ``--checkout`` is entered.
    """
    env = dict(os.environ)  # noqa: TID251 - the package's own reader may be what is broken
    records = ""
    for word, following in zip(options, [*options[1:], ""], strict=False):
        option, is_joined, joined = word.partition("=")
        value = joined if is_joined else following
        if option in _OPTIONS:
            env[_OPTIONS[option]] = value
        elif option == "--shard":
            env[SHARD_NUMBER], _, env[NUM_TEST_SHARDS] = value.partition("/")
        elif option == "--records":
            records = value
        elif option == "--checkout":
            os.chdir(value)
    return env, records


def _records_folder(given: str, start: Path) -> Path:
    """Return the folder for records, like ``records.folder``; ``start`` was the current folder."""
    if given:
        return start / given
    folder = Path(".ci-sessions")
    is_writable = os.access(folder if folder.exists() else Path(), os.W_OK | os.X_OK)
    return folder if is_writable else start / folder


def _is_native(env: dict[str, str]) -> bool:
    """Return whether the configuration exists only here, so that the script cannot run it."""
    script = Path(__file__).parent / "resources" / "dispatch.sh"
    try:
        text = script.read_text(encoding="utf-8")
    except OSError:
        return False
    names = re.search(r"^native='\n(.*?)'", text, re.MULTILINE | re.DOTALL)
    return env.get(TEST_CONFIG, "").strip() in (names[1].split() if names else ())


def _choose(env: dict[str, str]) -> _Choice | None:
    """Return what the gate would choose without Python; None for an unknown flag."""
    reason = _REASONS.get(env.get(USE_PYTHON_TEST_RUNNER, "").strip().lower())
    if reason is None:
        return None
    intended = "python" if reason in ("flag-on", "undecided") else "shell"
    folders = (".ci/pytorch", ".jenkins/pytorch")
    folder = next((name for name in folders if Path(name, "test.sh").is_file()), folders[0])
    if env.get(TEST_CONFIG) == "multigpu":
        return _Choice(f"{folder}/multigpu-test.sh", "shell", "multigpu")
    onnx = ".ci/onnx/test.sh"
    if "onnx" in env.get(BUILD_ENVIRONMENT, "") and Path(onnx).is_file():
        return _Choice(onnx, "shell", "onnx")
    return _Choice(f"{folder}/test.sh", intended, reason)


def _record(
    records: Path, env: dict[str, str], choice: _Choice, error: tuple[str, str], code: int
) -> None:
    """Write the record of a run as two events; a failure to do so changes nothing.

    ``error`` is the message and the traceback of what went wrong before.
    """
    now = time.gmtime()
    iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", now)
    config, label = env.get(TEST_CONFIG, ""), env.get(BUILD_ENVIRONMENT, "")
    number, total = _number(env.get(SHARD_NUMBER, "")), _number(env.get(NUM_TEST_SHARDS, ""))
    parts = (label, config, f"{number}of{total}")
    job_id = ".".join(re.sub(r"[^A-Za-z0-9_+-]", "-", part) for part in parts)
    names = {"config": config, "build_environment": label}
    job = {"id": job_id, **names, "shard": number, "num_shards": total}
    route = {"runner": "shell", "intended": choice.intended, "reason": choice.reason}
    if choice.intended == "python":
        route["fallback"] = "import-error"
    run_id = f"{iso}/{job_id}/{os.getpid()}"
    lines: list[dict[str, object]] = [
        {"event": "run started", "format": 1, "id": run_id, "job": job, "started": iso},
        {"event": "run ended", "id": run_id, "ended": iso, "exit_code": code, "note": ""},
    ]
    lines[0].update(runner="shell", route={**route, "error": error[0], "trace": error[1]})
    lines[1].update(outcome="failed" if code else "passed")
    folder = records / "runs"
    name = time.strftime("%Y-%m-%dT%H-%M-%S", now) + f"-{os.getpid()}-emergency.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        with (folder / name).open("x", encoding="utf-8") as out:
            out.writelines(json.dumps(line) + "\n" for line in lines)
    except OSError:
        return


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 1
