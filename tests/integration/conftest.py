"""Integration tests start real processes, each in its own copy of the sample checkout."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ci_sessions.checkout.locate import sample_checkout


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """Remove the variables of a CI job that runs these tests."""
    names = (
        "CI",
        "GITHUB_ACTIONS",
        "TEST_CONFIG",
        "BUILD_ENVIRONMENT",
        "SHARD_NUMBER",
        "NUM_TEST_SHARDS",
    )
    for name in names:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def checkout(tmp_path):
    """Return a copy of the sample checkout in its own git repository, with a space in its path."""
    root = tmp_path / "py torch"
    shutil.copytree(
        sample_checkout(),
        root,
        ignore=shutil.ignore_patterns("test-reports", "__pycache__", ".ci-sessions"),
    )
    git(root, "init", "-q")
    git(root, "add", "-A", "-f")
    git(root, "commit", "-qm", "start")
    return root


def git(root, *args):
    """Run git with an identity."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    subprocess.run(["git", *who, *args], cwd=root, check=True)


def write_script(path: Path, text: str) -> Path:
    """Write an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def ci(*args, cwd, env=None, check=None, timeout=120):
    """Run ``python -m ci_sessions`` and return the completed process."""
    done = subprocess.run(
        [sys.executable, "-m", "ci_sessions", *map(str, args)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


def suggested(output: str) -> dict[str, list[str]]:
    """Return the commands that a run suggests to repeat what failed, by what they repeat."""
    found: dict[str, list[str]] = {}
    commands: list[str] | None = None
    for line in output.splitlines():
        if line.startswith("Repeat ") and line.endswith(":"):
            commands = found.setdefault(line[len("Repeat ") : -1], [])
        elif commands is not None and line.startswith("  "):
            commands.append(line.strip())
        else:
            commands = None
    return found


STEP = "this step, without the job's set-up (--setup adds it)"
PLAIN = "this step, without ci_sessions"


def is_alive(pid: int) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition, seconds=20.0):
    """Wait until a condition is true, and fail after some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"the condition was not met within {seconds:g} s")
