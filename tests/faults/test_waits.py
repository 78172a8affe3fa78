"""Waits end with the job's limit, and a check that could not be made says so."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time

import pytest
from faults.conftest import write_script
from integration.test_executor import CLEAN, execute, replacing, sh

from ci_sessions.plan.step import Kind, Program, ShellFunction, Step
from ci_sessions.records.record import Outcome
from ci_sessions.run.executor import Limits

pytestmark = pytest.mark.measures

GITS = {
    "not a repository": "echo 'fatal: not a git repository' >&2; exit 128",
    "no permission": "echo 'fatal: detected dubious ownership' >&2; exit 128",
    "it crashes": "kill -SEGV $$",
    "it says nothing": "exit 1",
}


# --- retries


@pytest.mark.parametrize(
    ("wait", "limit", "tries", "outcome"),
    [(30.0, 1.0, 1, Outcome.TIMED_OUT), (0.2, 20.0, 2, Outcome.FAILED)],
)
def test_the_wait_before_a_retry_ends_with_the_job(tmp_path, wait, limit, tries, outcome):
    began = time.monotonic()
    step = sh("echo try >> tries; exit 3", kind=Kind.INSTALL, retry=(wait,))
    run, _ = execute(tmp_path, replacing("a", step, sh("touch ran")), limits=Limits(job=limit))
    assert time.monotonic() - began < 10
    assert (tmp_path / "tries").read_text().split() == ["try"] * tries
    assert run.steps[0].outcome is outcome
    assert not (tmp_path / "ran").exists()


def test_a_wait_that_fits_into_the_job_is_waited_for(tmp_path):
    step = sh("test -e tried || { touch tried; exit 3; }", kind=Kind.INSTALL, retry=(1.0,))
    began = time.monotonic()
    run, _ = execute(tmp_path, replacing("a", step, sh("true")), limits=Limits(job=30.0))
    assert run.outcome is Outcome.PASSED
    assert time.monotonic() - began >= 1.0


def test_cleanup_is_run_after_a_wait_that_took_the_whole_limit(tmp_path):
    step = sh("exit 3", kind=Kind.INSTALL, retry=(30.0,))
    run, _ = execute(
        tmp_path,
        replacing("a", step),
        cleanup=[sh("touch cleaned", kind=Kind.PROBE)],
        limits=Limits(job=1.0),
    )
    assert run.exit_code == 124
    assert (tmp_path / "cleaned").exists()


# --- git


@pytest.fixture
def with_git(tree, tmp_path):
    """Let git be this script; return the environment of a job that uses it."""

    def make(body):
        write_script(tmp_path / "bin" / "git", f"#!/bin/sh\n{body}\n")
        return {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    return make


def check(tree):
    """Return the record of the step that checks the checkout."""
    (path,) = (tree.root / ".ci-sessions" / "runs").glob("*.jsonl")
    events = [json.loads(line) for line in path.read_text().splitlines()]
    (found,) = [
        event
        for event in events
        if event["event"] == "step ended" and event["command"].startswith("git status")
    ]
    return found


@pytest.mark.parametrize("git", GITS)
@pytest.mark.parametrize("ci", ["", "true"])
def test_git_that_cannot_answer_is_said(tree, with_git, git, ci):
    """As in test.sh the job passes, but its record does not claim that the checkout was clean."""
    done = tree.dispatch(flag="1", CI=ci, **with_git(GITS[git]))
    assert done.returncode == 0, done.stdout + done.stderr
    step = check(tree)
    assert step["outcome"] == "skipped"
    assert step["note"].startswith("not checked, because git failed")
    assert step["note"] in done.stdout


def test_outside_a_repository_it_is_said(tree):
    shutil.rmtree(tree.root / ".git")
    done = tree.dispatch(flag="1")
    assert done.returncode == 0
    assert "not checked, because git failed: fatal: not a git repository" in done.stdout
    assert check(tree)["outcome"] == "skipped"


@pytest.mark.parametrize("git", GITS)
def test_git_that_fails_after_the_tests_is_a_failure(tree, with_git, git):
    """A test could have broken it, to hide what it changed."""
    env = with_git(f"test -e ran || exit 0; {GITS[git]}")
    assert tree.dispatch(flag="1", **env).returncode != 0
    assert check(tree)["outcome"] == "failed"
    assert "git worked before the tests, but failed now" in check(tree)["note"]


@pytest.mark.parametrize("limit", ["--timeout", "--step-timeout"])
@pytest.mark.parametrize("ci", ["", "true"])
def test_git_that_hangs_ends_with_the_limit(tree, with_git, limit, ci):
    began = time.monotonic()
    done = tree.dispatch(limit, "3", flag="1", CI=ci, **with_git("sleep 100"))
    assert time.monotonic() - began < 30
    assert done.returncode == 124, done.stdout + done.stderr


def test_git_that_hangs_after_the_tests_ends_with_the_limit(tree, with_git):
    began = time.monotonic()
    env = with_git("test -e ran || exit 0; sleep 100")
    assert tree.dispatch("--step-timeout", "3", flag="1", **env).returncode == 124
    assert time.monotonic() - began < 30
    assert check(tree)["outcome"] == "timed out"


def test_without_git_the_script_runs(tree, tmp_path):
    """Python needs git for its check; the script has its own rule, which ignores a missing git."""
    for name in ("bash", "python", "python3", "env", "echo", "sleep", "dirname", "mkdir"):
        path = sys.executable if name.startswith("python") else shutil.which(name)
        write_script(tmp_path / "few" / name, f'#!/bin/sh\nexec "{path}" "$@"\n')
    done = tree.dispatch(flag="1", PATH=str(tmp_path / "few"), CODE="7")
    assert done.returncode == 7
    assert tree.ran == ["script"]
    assert "git is not on PATH" in done.stderr
    assert tree.records()[-1]["route"]["fallback"] == "missing-tool"


@pytest.mark.parametrize("git", GITS)
def test_the_shell_route_has_the_rule_of_the_script(tree, with_git, git):
    tree.script(
        "s=$(git status --porcelain 2>/dev/null | grep -v '?? third_party' || true)\n"
        '[ -z "$s" ] || exit 9; exit ${CODE:-0}'
    )
    env = with_git(GITS[git])
    assert tree.dispatch(**env).returncode == 0
    assert tree.dispatch(CODE="7", **env).returncode == 7
    assert tree.ran == ["script"] * 2


def test_a_warning_of_git_is_no_change(tree, with_git):
    """Like test.sh, which reads only the standard output of git."""
    env = with_git("echo 'warning: unable to access attributes' >&2; exit 0")
    assert tree.dispatch(flag="1", **env).returncode == 0
    assert check(tree)["outcome"] == "passed"


def test_a_change_is_found_next_to_a_warning(checkout):
    line = "echo x > new"
    run, _ = execute(checkout, replacing("a", sh(line), CLEAN), on_ci=True)
    assert run.steps[-1].note == "the checkout was left dirty:\n?? new"


# --- exported variables

BYTE = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    "value", [BYTE, "a\nb", "a=b", " ", "ü中", "'\"$x`", "\x1b[31m", os.fsdecode(b"\xff\n\xfe=")]
)
def test_a_variable_of_any_bytes_survives_a_step_that_exports(tmp_path, monkeypatch, value):
    monkeypatch.setenv("ODD", value)
    write_script(tmp_path / "f.sh", "set_it() { export NEW=$ODD; export OTHER=1; }\n")
    command = ShellFunction(argv=("set_it",), sources=("f.sh",))
    step = Step(kind=Kind.PROBE, command=command)
    show = Program(
        (
            sys.executable,
            "-c",
            "import os; open('out', 'wb').write(b'|'.join(os.environb[n] for n in (b'ODD', b'NEW', b'OTHER')))",
        )
    )
    run, _ = execute(
        tmp_path, replacing("a", step, Step(kind=Kind.TEST, command=show, is_test=True))
    )
    assert run.outcome is Outcome.PASSED, run.steps
    raw = os.fsencode(value)
    assert (tmp_path / "out").read_bytes() == b"|".join([raw, raw, b"1"])


def test_a_variable_with_a_name_that_is_not_utf_8_survives(tmp_path, monkeypatch):
    monkeypatch.setenv(BYTE, "x")
    write_script(tmp_path / "f.sh", "set_it() { export OTHER=1; }\n")
    step = Step(kind=Kind.PROBE, command=ShellFunction(argv=("set_it",), sources=("f.sh",)))
    show = sh(
        f'{sys.executable} -c \'import os; open("out", "wb").write(os.environb[b"caf\\xe9"])\''
    )
    run, _ = execute(tmp_path, replacing("a", step, show))
    assert run.outcome is Outcome.PASSED, run.steps
    assert (tmp_path / "out").read_bytes() == b"x"
