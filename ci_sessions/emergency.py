"""The ``dispatch`` session when the rest of this package cannot be imported: straight to the shell.

Needs nox and the standard library only, and repeats the few names of variables that it needs. It
leaves a record in the ordinary form, so that the fault is counted. Other sessions say what is
broken.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from pathlib import Path

import nox

__all__ = ["define", "run"]

VERBS = ("plan", "run", "explain", "matrix", "parity", "rollout")
TEST_CONFIG = "TEST_CONFIG"
BUILD_ENVIRONMENT = "BUILD_ENVIRONMENT"
SHARD_NUMBER = "SHARD_NUMBER"
NUM_TEST_SHARDS = "NUM_TEST_SHARDS"
USE_PYTHON_TEST_RUNNER = "USE_PYTHON_TEST_RUNNER"
NO_SHELL_FALLBACK = "NO_SHELL_FALLBACK"
CI_SESSIONS_STARTED = "CI_SESSIONS_STARTED"
_BAD_INPUT = 2


def define(error: BaseException) -> None:
    """Define ``dispatch``, and the other sessions so that asking for one tells what is broken."""

    @nox.session(venv_backend="none", default=False)
    def dispatch(session: nox.Session) -> None:
        """Run the job by the checkout's own script: ci_sessions cannot be imported."""
        run(session, error)

    asked = [*sys.argv[1:], *_variable("NOXSESSION").split(",")]
    named = {word.strip() for word in asked if re.fullmatch(r"\s*ci(\(.*\))?\s*", word)}
    for name in (*VERBS, *sorted(named)):
        _define_broken(name, error)


def _define_broken(name: str, error: BaseException) -> None:
    def broken(session: nox.Session) -> None:
        run(session, error)

    broken.__doc__ = "ci_sessions cannot be imported."
    nox.session(name=name.replace('"', "'"), venv_backend="none", default=False)(broken)


def run(session: nox.Session, error: BaseException) -> None:
    """Run the job by the checkout's own script and record why; for other sessions, say why not."""
    why = f"ci_sessions cannot be imported: {type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if session.name != "dispatch":
        session.error(f"{why}\n{trace}")
    if _is_native():
        session.warn(f"{why}; the script does not know {_variable(TEST_CONFIG)!r}")
        raise SystemExit(_BAD_INPUT)
    if _variable(NO_SHELL_FALLBACK) == "1":
        session.error(why)
    if "--dry-run" in session.posargs:
        session.log(f"would run {_script()}: {why}")
        return
    session.warn(f"{why}; falling back to the shell")
    marker = _variable(CI_SESSIONS_STARTED)
    if marker:
        Path(marker).touch()
    codes: list[int] = [1]
    try:
        session.run(f"./{_script()}", external=True)
        codes = [0]
    finally:
        _record(str(error), trace, codes[0])


def _variable(name: str) -> str:
    return os.environ.get(name, "")  # noqa: TID251 - the package's own reader may be what is broken


def _is_native() -> bool:
    """Tell whether the configuration only exists here, so that the script cannot run it."""
    names = Path(__file__).parent / "resources" / "native.txt"
    try:
        return _variable(TEST_CONFIG).strip() in names.read_text(encoding="utf-8").split()
    except OSError:
        return False


def _script() -> str:
    """Return what the gate's special cases say, else the checkout's test.sh."""
    onnx = ".ci/onnx/test.sh"
    is_multigpu = _variable(TEST_CONFIG) == "multigpu"
    is_onnx = "onnx" in _variable(BUILD_ENVIRONMENT) and Path(onnx).is_file()
    if is_onnx and not is_multigpu:
        return onnx
    name = "multigpu-test.sh" if is_multigpu else "test.sh"
    folders = (".ci/pytorch", ".jenkins/pytorch")
    found = [f"{folder}/{name}" for folder in folders if Path(folder, name).is_file()]
    return found[0] if found else f"{folders[0]}/{name}"


def _record(message: str, trace: str, code: int) -> None:
    """Append a run of two events; a record that cannot be written changes nothing."""
    now = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime())
    job = {
        "config": _variable(TEST_CONFIG),
        "build_environment": _variable(BUILD_ENVIRONMENT),
        "shard": _variable(SHARD_NUMBER) or "1",
        "num_shards": _variable(NUM_TEST_SHARDS) or "1",
    }
    flag = _variable(USE_PYTHON_TEST_RUNNER).strip().lower()
    route: dict[str, str] = {"runner": "shell", "intended": "shell", "reason": "flag-off"}
    if flag in ("1", "true"):  # only then was Python to run it
        route = {"runner": "shell", "intended": "python", "reason": "flag-on"}
        route["fallback"] = "import-error"
    start = {"event": "run started", "format": 1, "id": now, "job": job, "started": now}
    outcome = "failed" if code else "passed"
    end = {"event": "run ended", "id": now, "ended": now, "wall": 0.0, "outcome": outcome}
    lines = [
        {**start, "runner": "shell", "route": {**route, "error": message, "trace": trace}},
        {**end, "exit_code": code, "note": ""},
    ]
    folder = Path(".ci-sessions", "runs")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{now}-{os.getpid()}-emergency.jsonl").write_text(text, encoding="utf-8")
    except OSError:
        return
