"""With the flag off, nothing of this package keeps the script from running, or changes its result."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from faults.conftest import DISPATCH_SH, write_script


@pytest.fixture(params=["module", "nox"])
def dispatch(request, tree):
    """Run ``dispatch`` in both ways; nox reports any failure as 1."""

    def run(*args, **more):
        if request.param == "nox":
            argv = (sys.executable, "-m", "nox", "-s", "dispatch", "--", *args)
        else:
            argv = (sys.executable, "-m", "ci_sessions", "dispatch", *args)
        return tree.call(*argv, **more)

    run.code = lambda code: bool(code) if request.param == "nox" else code
    return run


BYTE = os.fsdecode(b"a\xff")
ENVIRONMENTS = [
    {"SHA1": BYTE}, {"MY_TOKEN": BYTE * 4}, {"TESTS_TO_INCLUDE": BYTE}, {"TEST_CONFIG": BYTE}, {"BUILD_ENVIRONMENT": BYTE},
    {"TEST_CONFIG": "x" * 300}, {"TEST_CONFIG": "../../x/" * 30}, {"TEST_CONFIG": ""}, {"TEST_CONFIG": None},
    {"BUILD_ENVIRONMENT": "²"}, {"BUILD_ENVIRONMENT": "py" + "9" * 5000}, {"SHARD_NUMBER": "²"},
    {"SHARD_NUMBER": "7", "NUM_TEST_SHARDS": "5"}, {"NUM_TEST_SHARDS": "9" * 5000}, {"CONTINUE_THROUGH_ERROR": "maybe"},
    {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"},
    {"GITHUB_STEP_SUMMARY": "/nonexistent/x", "GITHUB_ACTIONS": "true"}, {"HOME": "/nonexistent"}, {"TMPDIR": "/nonexistent"},
    {"COLUMNS": "x", "LINES": "-1"}, {"HF_CACHE": "\n"}, {"PATH_ADDITION": "x" * 100_000},
]  # fmt: skip


@pytest.mark.parametrize("env", ENVIRONMENTS, ids=" ".join)
@pytest.mark.parametrize("code", [0, 7])
def test_the_script_runs_once_and_its_result_stands(tree, dispatch, env, code):
    done = dispatch(CODE=str(code), **env)
    assert tree.ran == ["script"], done.stderr
    assert dispatch.code(done.returncode) == dispatch.code(code), done.stderr


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param("rm -rf .ci-sessions; touch .ci-sessions", id="a file"),
        pytest.param(
            "rm -rf .ci-sessions; ln -s /nonexistent/x .ci-sessions", id="a dangling link"
        ),
        pytest.param("mkdir -p .ci-sessions; touch .ci-sessions/runs", id="runs is a file"),
        pytest.param("mkdir -p .ci-sessions; mkfifo .ci-sessions/.gitignore", id="a FIFO"),
        pytest.param("mkdir -p .ci-sessions; touch .ci-sessions/active", id="no locks"),
        pytest.param("ln -s /dev/full .ci-sessions", id="a device"),
    ],
)
def test_records_that_cannot_be_written_are_a_warning(tree, dispatch, break_it):
    subprocess.run(["bash", "-c", break_it], cwd=tree.root, check=True)
    done = dispatch(CODE="7")
    assert tree.ran == ["script"], done.stderr
    assert dispatch.code(done.returncode) == dispatch.code(7)


def test_a_path_that_is_not_utf_8(tree):
    strange = tree.root.parent / os.fsdecode(b"t\xff")
    tree.root.rename(strange)
    tree.root = strange
    assert tree.dispatch(CODE="7").returncode == 7
    assert tree.dispatch("--checkout", strange).returncode == 0
    assert tree.ran == ["script", "script"]
    assert len(tree.records()) == 2


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
@pytest.mark.parametrize(
    "runner",
    [f"{sys.executable} -m ci_sessions dispatch", f"sh {DISPATCH_SH}"],
    ids=["module", "sh"],
)
def test_standard_files_that_are_closed(tree, closed, runner):
    """nox itself cannot start without standard output; dispatch.sh gives it one."""
    tree.script("echo out; echo err >&2; exit ${CODE:-0}")
    env = {"NOX": f"{sys.executable} -m nox"}
    assert tree.call("bash", "-c", f"exec {runner} {closed}", **env).returncode == 0
    assert tree.ran == ["script"]
    code = tree.call("bash", "-c", f"exec {runner} {closed}", CODE="7", **env).returncode
    assert code == (1 if runner.startswith("sh") else 7)


def test_a_script_without_a_first_line_is_run_by_bash(tree):
    path = tree.root / ".ci" / "pytorch" / "test.sh"
    path.write_text("echo script >> ran; exit 7\n")
    assert tree.dispatch().returncode == 7
    assert tree.ran == ["script"]


def test_a_caller_that_ignores_ended_children(tree):
    """SIGCHLD may be ignored by whoever starts a CI job; then exit codes of children get lost."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'ci_sessions', 'dispatch'])"
    )
    assert tree.call(sys.executable, "-c", code, CODE="7", timeout=30).returncode == 7
    assert tree.call(sys.executable, "-c", code, CODE="7", flag="1", timeout=30).returncode == 7


@pytest.mark.parametrize("rollout", ["[", "format = 1", "format = 1\nsalt = 5", "{" * 10_000])
def test_a_rollout_file_that_cannot_be_read(tree, rollout):
    (tree.root / "r.toml").write_text(rollout)
    assert tree.dispatch("--rollout", "r.toml", flag="rollout", CODE="7").returncode == 7
    assert tree.ran == ["script"]
    (record,) = tree.records()
    assert (record["route"]["reason"], record["route"]["fallback"]) == ("undecided", "bad-rollout")


@pytest.mark.parametrize(
    "target",
    [
        "ci_sessions.cli.dispatch.choose", "ci_sessions.cli.dispatch.find_row", "ci_sessions.cli.script.shell_plan",
        "ci_sessions.cli.execution.create_journal", "ci_sessions.cli.execution.ConsoleScreen", "ci_sessions.cli.execution.Executor",
        "ci_sessions.cli.execution.job_to_json", "ci_sessions.cli.execution.describe_run", "ci_sessions.run.executor.descendants",
        "ci_sessions.run.executor.terminate_descendants", "ci_sessions.run.step_runner.find_reports",
        "ci_sessions.run.step_runner.read_cases", "ci_sessions.run.step_runner.judge_step", "ci_sessions.run.output.CaseScanner.feed",
        "ci_sessions.records.store.Journal.append", "ci_sessions.records.store.Journal.close",
        "ci_sessions.report.console.ConsoleScreen.begin", "ci_sessions.report.console.ConsoleScreen.write",
        "ci_sessions.report.console.ConsoleScreen.end", "ci_sessions.text.Redactor.__call__",
    ],
)  # fmt: skip
@pytest.mark.parametrize("code", [0, 7])
def test_a_bug_anywhere_in_this_package(tree, target, code):
    """One function of the package raises; the script runs once, and its result stands."""
    module, _, name = target.rpartition(".")
    owner = f"importlib.import_module({module!r})"
    if module.rpartition(".")[2][0].isupper():
        module, _, cls = module.rpartition(".")
        owner = f"getattr(importlib.import_module({module!r}), {cls!r})"
    code_text = (
        "import importlib, runpy, sys\n"
        "import ci_sessions.cli.dispatch, ci_sessions.cli.script\n"
        "def fail(*_, **__): raise RuntimeError('a bug')\n"
        f"setattr({owner}, {name!r}, fail)\nsys.argv = ['ci-sessions', 'dispatch']\n"
        "runpy.run_module('ci_sessions', run_name='__main__', alter_sys=True)\n"
    )
    done = tree.call(sys.executable, "-c", code_text, CODE=str(code), timeout=60)
    assert tree.ran == ["script"], done.stderr
    assert done.returncode == code, done.stdout + done.stderr


def test_dispatch_does_not_run_the_sample_by_accident(tmp_path, tree):
    """One wrong working directory must not turn a fleet green on a sample."""
    env = tree.environment("0", CI="true")
    argv = [sys.executable, "-m", "ci_sessions", "dispatch"]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not in a PyTorch checkout" in done.stderr


def test_options_that_the_script_cannot_honour_are_refused(tree):
    for option in (
        ("--test", "test_jit"),
        ("--no-install",),
        ("--added",),
        ("--step-timeout", "9"),
    ):
        done = tree.dispatch(*option)
        assert done.returncode == 2
        assert f"{option[0]} works only for a job that runs in Python" in done.stderr
    assert tree.ran == []
    tree.script('echo "$CONTINUE_THROUGH_ERROR" >> ran')
    tree.dispatch("--keep-going")
    assert tree.ran == ["script", "1"]


@pytest.mark.parametrize("form", ["--json", "--shell"])
@pytest.mark.parametrize("flag", ["0", "1"])
def test_a_form_of_the_dry_run_is_a_dry_run(tree, form, flag):
    assert tree.dispatch(form, flag=flag).returncode == 0
    assert tree.ran == []


def test_the_script_may_be_missing(tree):
    (tree.root / ".ci" / "pytorch" / "test.sh").unlink()
    assert tree.dispatch().returncode == 127


def test_the_script_may_not_be_executable(tree):
    (tree.root / ".ci" / "pytorch" / "test.sh").chmod(0o644)
    assert tree.dispatch().returncode == 126


def test_a_program_of_ours_that_is_missing_does_not_matter(tree, tmp_path):
    """Git, for example, is nothing that the script needs from us."""
    for name in ("bash", "echo", "env"):
        write_script(tmp_path / "few" / name, f'#!/bin/sh\nexec /bin/{name} "$@"\n')
    done = tree.call(
        sys.executable, "-m", "ci_sessions", "dispatch", PATH=str(tmp_path / "few"), CODE="7"
    )
    assert done.returncode == 7, done.stderr
