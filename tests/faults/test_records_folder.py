"""Records are in the checkout that a run uses, however and wherever it was started."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from faults.conftest import DISPATCH_SH

from ci_sessions.records.store import read_runs

COMMANDS = {
    "run": [sys.executable, "-m", "ci_sessions", "run"],
    "dispatch in Python": [sys.executable, "-m", "ci_sessions", "dispatch"],
    "dispatch with the script": [sys.executable, "-m", "ci_sessions", "dispatch"],
    "dispatch.sh": ["sh", str(DISPATCH_SH)],
    "dispatch.sh without nox": ["sh", str(DISPATCH_SH)],
}


@pytest.fixture
def start(tree, tmp_path, monkeypatch):
    """Return a function that runs the job of a way to start it, from a folder elsewhere."""
    monkeypatch.setattr(tree, "config", "jit_legacy")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "noxfile.py").write_text("import ci_sessions.sessions\n")

    def call(name, *args):
        nox = "/nonexistent/nox" if name.endswith("without nox") else f"{sys.executable} -m nox"
        flag = "1" if name in ("run", "dispatch in Python") else "0"
        argv = [*COMMANDS[name], "--checkout", str(tree.root), *args]
        return tree.call("env", "-C", str(elsewhere), *argv, flag=flag, NOX=nox)

    call.folder = elsewhere
    return call


@pytest.mark.parametrize("name", COMMANDS)
def test_records_are_in_the_checkout(tree, start, name):
    assert start(name).returncode == 0
    assert len(tree.records()) == 1
    assert not (start.folder / ".ci-sessions").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_names_another_folder(tree, start, name):
    assert start(name, "--records", "mine").returncode == 0
    assert len(read_runs(start.folder / "mine")) == 1
    assert not (tree.root / ".ci-sessions" / "runs").exists()


def test_a_broken_package_keeps_records_in_the_checkout_too(tree, start, tmp_path):
    broken = tmp_path / "broken" / "ci_sessions"
    broken.mkdir(parents=True)
    for name in ("__init__.py", "sessions.py", "emergency.py"):
        (broken / name).write_text((DISPATCH_SH.parents[1] / name).read_text())
    args = ["-m", "nox", "-s", "dispatch", "--", "--checkout", str(tree.root)]
    call = ("env", "-C", str(start.folder), sys.executable, *args)
    assert tree.call(*call, PYTHONPATH=str(broken.parent)).returncode == 0
    assert [record["config"] for record in (r["job"] for r in tree.records())] == ["jit_legacy"]
    done = tree.call(*call, "--records", "mine", PYTHONPATH=str(broken.parent))
    assert done.returncode == 0, done.stderr
    assert len(read_runs(start.folder / "mine")) == 1
    assert len(tree.records()) == 1


def test_the_folder_is_no_change_of_the_checkout(tree):
    """The step that asserts a clean checkout passes, and git reports nothing."""
    done = tree.call(sys.executable, "-m", "ci_sessions", "run", CI="1")
    assert done.returncode == 0, done.stdout
    assert "git status --porcelain" in done.stdout, "the check ran"
    status = tree.call("git", "status", "--porcelain")
    assert status.stdout == ""


def test_rollout_reads_the_records_of_the_checkout_around(tree):
    assert tree.dispatch(flag="1").returncode == 0
    command = ("env", "-C", str(tree.root / "test"), sys.executable, "-m", "ci_sessions")
    done = tree.call(*command, "rollout", "--json")
    assert json.loads(done.stdout)["jit_legacy"]["python"] == 1


@pytest.mark.parametrize("what", ["", "/.gitignore", "/logs", "/runs"])
def test_a_folder_that_a_test_deletes_is_no_change_of_the_checkout_either(tree, what):
    """The record and the logs of later steps create it again."""
    (tree.root / ".gitignore").write_text("/ran\n")
    git = ("git", "-c", "user.email=a@b", "-c", "user.name=a")
    for args in (("add", "-A", "-f"), ("commit", "-qm", "all")):
        subprocess.run([*git, *args], cwd=tree.root, check=True)
    tree.tests(f"os.system('rm -rf .ci-sessions{what}')")
    subprocess.run([*git, "commit", "-qam", "test"], cwd=tree.root, check=True)
    done = tree.call(sys.executable, "-m", "ci_sessions", "run", "python", TEST_CONFIG="python")
    assert done.returncode == 0, done.stdout
    assert "git status --porcelain" in done.stdout
    (record,) = tree.records()
    assert record["outcome"] == "passed"
