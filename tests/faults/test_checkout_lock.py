"""Two runs do not use one checkout at once, and no lock outlives its run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from faults.conftest import wait_for

RUN = [sys.executable, "-m", "ci_sessions", "run"]


@pytest.fixture
def start(tree):
    """Return a function that starts a run, and one that waits until its tests run."""
    processes = []

    def call(*args, **more):
        process = subprocess.Popen(
            [*RUN, *args], cwd=tree.root, env=tree.environment(**more),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield call
    for process in processes:
        process.kill()
        process.communicate(timeout=30)


@pytest.fixture
def busy(tree, start):
    """A checkout that a run uses until the file ``go`` exists."""
    tree.tests(
        "import pathlib\nopen('pids', 'w').close()\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.05)"
    )
    with (tree.root / ".git" / "info" / "exclude").open("a") as ignored:
        ignored.write("go\n")
    process = start()
    wait_for((tree.root / "pids").exists)
    yield process
    go(tree)  # its test goes on when the run is killed


def go(tree):
    (tree.root / "go").touch()


def first_line(process):
    """Return the first line about the lock that a process prints."""
    for line in process.stdout:
        if "in use" in line:
            return line
    raise AssertionError("it did not wait")


def test_a_second_run_says_who_is_first_and_waits(tree, busy, start):
    second = start()
    assert re.search(
        rf"the checkout {re.escape(str(tree.root))} is in use by a run of jit_legacy \(process "
        rf"{busy.pid}\) since \d\d:\d\d:\d\d \(\d+ s ago\): waiting for that run to end, for up to "
        r"10 min \(--no-wait does not wait\)",
        first_line(second),
    )
    assert len(tree.records()) == 1, "it has not begun"
    go(tree)
    busy.communicate(timeout=60)
    second.communicate(timeout=60)
    assert (busy.returncode, second.returncode) == (0, 0)
    first, then = tree.records()
    assert first["ended"] <= then["started"]


def test_no_wait_is_an_error_at_once(tree, busy):
    done = tree.call(*RUN, "--no-wait", timeout=20)
    assert done.returncode == 2
    assert f"is in use by a run of jit_legacy (process {busy.pid}) since" in done.stderr
    assert done.stderr.endswith("with --checkout. [checkout-in-use]\n")
    assert len(tree.records()) == 1


def test_a_dry_run_neither_waits_nor_locks(tree, busy):
    assert tree.call(*RUN, "--dry-run", "--no-wait", timeout=20).returncode == 0
    assert "in use" not in tree.dispatch("--dry-run", flag="1", timeout=20).stderr


def test_the_script_neither_waits_nor_locks(tree, busy):
    done = tree.dispatch("--no-wait", flag="0", timeout=20)
    assert (done.returncode, "in use" in done.stderr) == (0, False)
    assert tree.ran[-1] == "script"


def test_dispatch_falls_back_to_the_script(tree, busy):
    done = tree.dispatch("--no-wait", flag="1", timeout=20)
    assert done.returncode == 0
    assert tree.ran[-1] == "script"
    (fallen,) = [record for record in tree.records() if record["runner"] == "shell"]
    assert fallen["route"]["fallback"] == "checkout-in-use"
    done = tree.dispatch("--no-wait", flag="1", NO_SHELL_FALLBACK="1", timeout=20)
    assert done.returncode == 70
    assert "in use by a run of jit_legacy" in done.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_ends_the_wait(tree, busy, start, number, code):
    second = start()
    first_line(second)
    second.send_signal(number)
    output, _ = second.communicate(timeout=10)
    assert second.returncode == code
    assert "Traceback" not in output
    assert len(tree.records()) == 1


def test_a_killed_run_holds_no_lock(tree, busy):
    busy.kill()
    busy.communicate(timeout=30)
    go(tree)
    done = tree.call(*RUN, "--no-wait", timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_child_inherits_no_lock(tree):
    """A daemon that outlives its run must not block the next one."""
    code = (
        "for n in os.listdir('/proc/self/fd'):\n    print(os.path.realpath(f'/proc/self/fd/{n}'))"
    )
    done = tree.tests(code).call(*RUN)
    assert done.returncode == 0
    assert "/proc/self/fd" in done.stdout or "/dev/null" in done.stdout
    assert "checkout.lock" not in done.stdout


@pytest.mark.parametrize(
    "break_it",
    [
        "touch .ci-sessions",
        "mkdir -p .ci-sessions/checkout.lock",
        "mkdir .ci-sessions; ln -s /etc/passwd .ci-sessions/checkout.lock",
        "mkdir .ci-sessions; mkfifo .ci-sessions/checkout.lock",
    ],
)
def test_a_checkout_that_cannot_be_locked_is_a_warning(tree, break_it):
    subprocess.run(["bash", "-c", break_it], cwd=tree.root, check=True)
    done = tree.call(*RUN, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "another run can use the checkout too: cannot lock" in done.stderr


@pytest.mark.parametrize("break_it", ["mkdir .ci-sessions/checkout.json", "mkfifo .ci-sessions/checkout.json", "echo [] > .ci-sessions/checkout.json", "ln -s /dev/zero .ci-sessions/checkout.json", ":"])  # fmt: skip
def test_a_test_that_spoils_the_name_of_the_run(tree, busy, break_it):
    command = f"rm .ci-sessions/checkout.json; {break_it}"
    subprocess.run(["bash", "-c", command], cwd=tree.root, check=True)
    done = tree.call(*RUN, "--no-wait", timeout=20)
    assert done.returncode == 2
    assert "is in use by another run: wait until" in done.stderr


def test_what_a_test_writes_there_is_disarmed(tree, busy):
    path = tree.root / ".ci-sessions" / "checkout.json"
    data = {"pid": 1, "config": "x\n::error::y\x1b[31m" + "z" * 9000, "since": "soon"}
    path.write_text(json.dumps(data)[: 1 << 12])
    done = tree.call(*RUN, "--no-wait", timeout=20)
    assert "another run" in done.stderr, "what is cut off is not read"
    path.write_text(json.dumps({**data, "config": data["config"][:2000]}))
    done = tree.call(*RUN, "--no-wait", timeout=20, GITHUB_ACTIONS="true")
    assert not [line for line in done.stderr.splitlines() if line.startswith("::")]
    assert "\x1b" not in done.stderr
    assert len(done.stderr) < 1000


def test_the_lock_leaves_the_checkout_clean(tree):
    assert tree.call(*RUN, CI="1").returncode == 0
    assert (tree.root / ".ci-sessions" / "checkout.lock").exists()
    assert tree.call("git", "status", "--porcelain").stdout == ""


def test_another_folder_for_records_does_not_avoid_the_lock(tree, busy, tmp_path):
    done = tree.call(*RUN, "--no-wait", "--records", str(tmp_path / "mine"), timeout=20)
    assert done.returncode == 2
    assert not os.path.lexists(tmp_path / "mine")
