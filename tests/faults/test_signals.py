"""Signals at any time: no traceback, no orphan, a record that says so, nothing left in /tmp."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from faults.conftest import is_alive, wait_for, write_script

pytestmark = pytest.mark.measures

SLOW = """
child = subprocess.Popen(['sleep', '300'])
daemon = subprocess.Popen(['setsid', 'sleep', '300'])
open('pids', 'w').write(f'{os.getpid()} {child.pid} {daemon.pid}')
print('the last line', flush=True)
while True: sum(range(1000))
"""
# On TERM it starts itself anew, in a session of its own.
HYDRA = """#!/bin/bash
echo $$ >> pids
trap 'setsid bash hydra >/dev/null 2>&1 & exit' TERM
while :; do sleep 0.01; done
"""


def pids(tree):
    path = tree.root / "pids"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def temporary(tmp_path):
    return sorted(path.name for path in tmp_path.glob("ci-sessions-*"))


def check_interrupted(tree, process, output, code, tmp):
    assert process.returncode == code, output
    assert "/ci_sessions/" not in output, "a traceback of ours"
    assert not [pid for pid in pids(tree) if is_alive(pid)], "something survived"
    (record,) = tree.records()
    assert (record["outcome"], record["exit_code"]) == ("interrupted", code)
    assert temporary(tmp) == []
    return record


@pytest.fixture
def tmp(tmp_path, monkeypatch):
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "XCPU"])
@pytest.mark.parametrize("flag", ["0", "1"])
def test_a_signal_ends_the_run_and_its_children(tree, tmp, name, flag):
    tree.tests(SLOW).script('python3 - <<"E"\nimport os, subprocess\n' + SLOW + "\nE")
    process = tree.start(flag=flag)
    wait_for(lambda: len(pids(tree)) == 3)
    time.sleep(0.5)
    signum = getattr(signal, f"SIG{name}")
    process.send_signal(signum)
    output, _ = process.communicate(timeout=60)
    check_interrupted(tree, process, output, 128 + signum, tmp)


def test_the_step_keeps_its_times_and_its_last_lines(tree, tmp):
    tree.tests(SLOW)
    process = tree.start(flag="1")
    wait_for(lambda: len(pids(tree)) == 3)
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert "the last line" in output.partition("INTERRUPTED")[2]
    from ci_sessions.records.store import read_runs  # noqa: PLC0415

    (run,) = read_runs(tree.root / ".ci-sessions")
    (step,) = run.failed_steps
    assert (str(step.outcome), step.code) == ("interrupted", 143)
    assert step.wall > 1
    assert step.cpu > 0.5
    assert step.tail == ("the last line",)


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.5, 2.0])
def test_two_ctrl_c_soon_after_one_another(tree, tmp, gap):
    stubborn = "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    tree.tests(stubborn + SLOW)
    process = tree.start(flag="1")
    wait_for(lambda: len(pids(tree)) == 3)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(gap)
    began = time.monotonic()
    output, _ = process.communicate(timeout=60)
    check_interrupted(tree, process, output, 130, tmp)
    if gap >= 0.5:
        assert time.monotonic() - began < 4, "the second one makes it short"


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.3, 0.5, 0.8])
def test_a_signal_before_the_first_step(tree, tmp, delay):
    """Whatever has begun is ended; either nothing has run, or the record says interrupted."""
    tree.tests("time.sleep(60)")
    process = tree.start(flag="1")
    time.sleep(0.3 + delay)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode in (143, -15), output
    assert "Traceback" not in output
    assert {record["outcome"] for record in tree.records()} <= {"interrupted"}
    assert temporary(tmp) == []


@pytest.mark.parametrize("delay", [0.1, 0.4, 0.8, 1.2])
def test_a_signal_while_a_shadow_is_compared(tree, tmp, delay):
    tree.script("sleep 60")
    process = tree.start(flag="shadow")
    wait_for(
        lambda: tree.records() or list(tmp.glob("ci-sessions-*")) or process.poll() is not None
    )
    time.sleep(delay)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    check_interrupted(tree, process, output, 143, tmp)


def test_a_signal_while_daemons_are_ended(tree, tmp):
    """The five seconds in which a daemon is asked to end before it is killed."""
    tree.tests(
        "code = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)'\n"
        "daemon = subprocess.Popen(['setsid', sys.executable, '-c', code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "time.sleep(0.5); open('pids', 'w').write(str(daemon.pid)); sys.exit(int(os.environ.get('CODE', '0')))"
    )
    process = tree.start("--test", "test_jit_legacy", flag="1")
    wait_for(lambda: pids(tree))
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert "Traceback" not in output
    assert process.returncode in (0, 130), output
    assert not [pid for pid in pids(tree) if is_alive(pid)]
    (record,) = tree.records()
    assert record["outcome"] in ("passed", "interrupted")


def test_a_daemon_that_starts_another_when_it_is_ended(tree, tmp):
    write_script(tree.root / "hydra", HYDRA)
    tree.tests(
        "subprocess.Popen(['setsid', 'bash', 'hydra'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); time.sleep(0.5)"
    )
    assert (
        tree.dispatch("--test", "test_jit_legacy", flag="1", timeout=60).returncode == 0
    )  # hydra is left
    time.sleep(0.5)
    assert len(pids(tree)) > 1
    assert not [pid for pid in pids(tree) if is_alive(pid)]


def test_a_signal_while_a_retry_waits(tree):
    """Installs are tried again after minutes; a signal does not wait for that."""
    from integration.test_executor import execute, replacing, sh  # noqa: PLC0415

    began = time.monotonic()
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    run, _ = execute(tree.root, replacing("a", sh("exit 3", retry=(60.0, 60.0))))
    assert time.monotonic() - began < 10
    assert (str(run.outcome), run.exit_code) == ("interrupted", 143)
    assert [(str(step.outcome), step.code) for step in run.steps] == [("failed", 3)]


# Sends SIGINT while the module given as the first argument is being imported.
AT_IMPORT = """
import os, runpy, signal, sys
class At:
    def find_spec(name, path=None, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
wanted = sys.argv.pop(1)
sys.modules.pop(wanted, None)
sys.meta_path.insert(0, At)
sys.path.insert(0, os.getcwd())
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
LATE = "ci_sessions.catalogue.table", "ci_sessions.cli.run", "ci_sessions.run.executor"


@pytest.mark.parametrize("module", ["ci_sessions.cli.main", "argparse", *LATE])
def test_sigint_during_an_import_of_a_command(tree, module):
    done = tree.call(
        sys.executable, "-c", AT_IMPORT, module, "ci_sessions", "run", "jit_legacy", flag="1"
    )
    assert done.returncode in (-signal.SIGINT, 128 + signal.SIGINT), done.stderr
    assert "Traceback" not in done.stderr
    assert tree.ran == []


@pytest.mark.parametrize("module", ["ci_sessions.cli.entry", *LATE])
@pytest.mark.parametrize("session", ["run", "dispatch"])
def test_sigint_during_an_import_of_a_session(tree, module, session):
    done = tree.call(sys.executable, "-c", AT_IMPORT, module, "nox", "-s", session, flag="1")
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert "Traceback" not in done.stderr
    assert tree.ran == []  # a run that is to stop does not fall back to the script


@pytest.mark.parametrize("wait", [number * 0.04 for number in range(1, 11)])
def test_sigint_soon_after_the_start(tree, wait):
    process = tree.tests("time.sleep(60)").start(flag="1")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(wait)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "/ci_sessions/" not in output, "a traceback of ours"
    assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
