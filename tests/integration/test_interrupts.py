"""An interrupted run leaves no processes behind, cleans up, and records the interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from integration.conftest import is_alive, wait_for, write_script

from ci_sessions.records.store import read_runs

SLOW = """#!/bin/bash
# A test with a child and a grandchild; one of them left the process group.
bash -c 'sleep 300 & echo $! >> pids; wait' &
setsid sleep 300 &
echo $! >> pids
echo $$ >> pids
wait
"""


@pytest.fixture
def site(tmp_path):
    """A site-packages folder with just enough of torch for a wheel test."""
    (tmp_path / "site" / "torch" / "test").mkdir(parents=True)
    (tmp_path / "site" / "torch" / "__init__.py").write_text("")
    return tmp_path / "site"


def slow_checkout(checkout):
    """Make ATen's test slow and hide its build folder, so that there is something to restore."""
    with (checkout / ".gitignore").open("a") as ignored:
        ignored.write("pids\n")
    write_script(checkout / "aten" / "tools" / "run_tests.sh", SLOW)
    return checkout


def pids(checkout):
    path = checkout / "pids"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def end(process, signum, checkout):
    wait_for(lambda: len(pids(checkout)) == 3)
    assert (checkout / "build_renamed").exists()
    os.kill(process.pid, signum)
    out, _ = process.communicate(timeout=60)
    assert not [pid for pid in pids(checkout) if is_alive(pid)], "something survived"
    assert (checkout / "build").exists(), "cleanup did not run"
    assert not (checkout / "build_renamed").exists()
    return out


def start(args, cwd, site):
    env = {**os.environ, "IN_WHEEL_TEST": "1", "PYTHONPATH": str(site)}
    return subprocess.Popen(
        args, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_to_the_command(checkout, site, signum, code):
    slow_checkout(checkout)
    process = start([sys.executable, "-m", "ci_sessions", "run", "python"], checkout, site)
    out = end(process, signum, checkout)
    assert process.returncode == code
    assert "INTERRUPTED  python" in out
    (run,) = read_runs(checkout / ".ci-sessions")
    assert (str(run.outcome), run.exit_code) == ("interrupted", code)
    assert [str(step.outcome) for step in run.failed_steps] == ["interrupted"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_nox(checkout, site, signum):
    slow_checkout(checkout)
    (checkout / "noxfile.py").write_text("import ci_sessions.sessions\n")
    process = start([sys.executable, "-m", "nox", "-s", "ci(config='python')"], checkout, site)
    end(process, signum, checkout)
    assert process.returncode != 0
    (run,) = read_runs(checkout / ".ci-sessions")
    assert str(run.outcome) == "interrupted"


def test_a_killed_run_reads_as_aborted(checkout, site):
    slow_checkout(checkout)
    process = start([sys.executable, "-m", "ci_sessions", "run", "python"], checkout, site)
    try:
        wait_for(lambda: len(pids(checkout)) == 3)
        process.kill()
        process.communicate(timeout=30)
        (run,) = read_runs(checkout / ".ci-sessions")
        assert str(run.outcome) == "aborted"
        assert str(run.steps[-1].outcome) == "aborted"
    finally:
        for pid in pids(checkout):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_a_job_limit_cleans_up_too(checkout, site):
    slow_checkout(checkout)
    process = start(
        [sys.executable, "-m", "ci_sessions", "run", "python", "--timeout", "3"], checkout, site
    )
    process.communicate(timeout=60)
    assert process.returncode == 124
    assert (checkout / "build").exists()
    assert not [pid for pid in pids(checkout) if is_alive(pid)]


def test_a_second_signal_waits_for_cleanup(checkout, site):
    """When a CI system cancels a job, it sends SIGINT, and soon after that SIGTERM."""
    slow_checkout(checkout)
    write_script(
        checkout / "bin" / "mv", '#!/bin/sh\n[ "$1" = build ] || sleep 2\nexec /bin/mv "$@"\n'
    )
    os.environ["PATH"], before = f"{checkout / 'bin'}:{os.environ['PATH']}", os.environ["PATH"]
    try:
        process = start([sys.executable, "-m", "ci_sessions", "run", "python"], checkout, site)
    finally:
        os.environ["PATH"] = before
    wait_for(lambda: len(pids(checkout)) == 3)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: not [pid for pid in pids(checkout) if is_alive(pid)])
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (checkout / "build").exists()
    assert not (checkout / "build_renamed").exists()


def test_a_signal_that_the_caller_ignores_stays_ignored(checkout, site):
    slow_checkout(checkout)
    args = ["nohup", sys.executable, "-m", "ci_sessions", "run", "python"]
    process = start(args, checkout, site)
    wait_for(lambda: len(pids(checkout)) == 3)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_a_closed_pipe_does_not_stop_the_run_or_its_cleanup(checkout, site):
    line = f"{sys.executable} -m ci_sessions run python --test test_aten | head -n 1"
    for name in ("basic", "scalar_test"):
        write_script(site / "torch" / "test" / name, "#!/bin/sh\nsleep 0.3\n")
    start(["bash", "-c", line], checkout, site).communicate(timeout=60)
    (run,) = read_runs(checkout / ".ci-sessions")
    assert str(run.outcome) == "passed"
    assert (checkout / "build").exists()
