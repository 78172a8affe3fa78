"""The ``dispatch`` session when the rest of this package cannot be imported: straight to the shell.

Needs nox and the standard library only. It leaves a record in the ordinary form, so that the
fault is counted.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from pathlib import Path

import nox

__all__ = ["define"]


def define(error: BaseException) -> None:
    """Define a ``dispatch`` session that runs the checkout's own script and records why."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))

    @nox.session(venv_backend="none", default=False)
    def dispatch(session: nox.Session) -> None:
        """Run the job by the checkout's own script: ci_sessions cannot be imported."""
        if os.environ.get("NO_SHELL_FALLBACK") == "1":  # noqa: TID251 - the reader may be what is broken
            session.error(f"ci_sessions cannot be imported: {error}")
        if "--dry-run" in session.posargs:
            session.log(f"would run {_script()}: ci_sessions cannot be imported: {error}")
            return
        session.warn(f"ci_sessions cannot be imported, falling back to the shell: {error}")
        marker = os.environ.get("CI_SESSIONS_STARTED")  # noqa: TID251
        if marker:
            Path(marker).touch()
        script = _script()
        codes: list[int] = [1]
        try:
            session.run(f"./{script}", external=True)
            codes = [0]
        finally:
            _record(str(error), trace, codes[0])


def _script() -> str:
    """Return what the gate's special cases say, else the checkout's test.sh."""
    environment = os.environ  # noqa: TID251 - the reader may be what is broken
    onnx = ".ci/onnx/test.sh"
    if "onnx" in environment.get("BUILD_ENVIRONMENT", "") and Path(onnx).is_file():
        return onnx
    name = "multigpu-test.sh" if environment.get("TEST_CONFIG") == "multigpu" else "test.sh"
    folders = (".ci/pytorch", ".jenkins/pytorch")
    found = [f"{folder}/{name}" for folder in folders if Path(folder, name).is_file()]
    return found[0] if found else f"{folders[0]}/{name}"


def _record(message: str, trace: str, code: int) -> None:
    """Append a run of two events; a record that cannot be written changes nothing."""
    now = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime())
    environment = os.environ  # noqa: TID251
    job = {
        "config": environment.get("TEST_CONFIG", ""),
        "build_environment": environment.get("BUILD_ENVIRONMENT", ""),
        "shard": environment.get("SHARD_NUMBER", "1"),
        "num_shards": environment.get("NUM_TEST_SHARDS", "1"),
    }
    flag = environment.get("USE_PYTHON_TEST_RUNNER", "").strip().lower()
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
