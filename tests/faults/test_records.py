"""No record stops a reader, and no test or fault spoils the record of a run."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults.conftest import git, wait_for, write_script

from ci_sessions.records import store
from ci_sessions.records.query import read_summaries

STARTED = {
    "event": "run started", "format": 1, "id": "1", "job": {"config": "docs_test", "id": "x"}, "started": "2026-11-24T00:00:00Z",
    "runner": "python", "route": {"runner": "python", "intended": "python", "reason": "flag-on", "commit": "abc"},
}  # fmt: skip
ENDED = {"event": "run ended", "id": "1", "ended": "2026-11-24T00:01:00Z", "wall": 60.0, "outcome": "passed", "exit_code": 0, "note": ""}  # fmt: skip
GOOD = json.dumps(STARTED | {"id": "good"}) + "\n" + json.dumps(ENDED | {"id": "good"}) + "\n"


def pair(start=None, end=None):
    return json.dumps(STARTED | (start or {})) + "\n" + json.dumps(ENDED | (end or {})) + "\n"


BAD = {
    "an id that is a list": pair({"id": [1]}, {"id": [1]}), "an id that is null": pair({"id": None}), "no id": pair().replace('"id"', '"di"'),
    "wall is text": pair(end={"wall": "long"}), "wall is huge": pair(end={"wall": 1e300}), "wall is infinite": pair().replace("60.0", "1e999"),
    "wall is not a number": pair().replace("60.0", "NaN"), "wall is negative": pair(end={"wall": -1}), "wall has many digits": pair().replace("60.0", "9" * 5000),
    "deep JSON": '{"event": "run started", "id": "1", "job": ' + "[" * 100_000 + "\n", "another format": pair({"format": 99}),
    "a time that is a number": pair({"started": 5}), "a commit that is a list": pair({"route": {"commit": [1]}}), "a job that is text": pair({"job": "x"}),
    "a route that is a list": pair({"route": [1]}), "an outcome of another version": pair(end={"outcome": "exploded"}), "a runner of another version": pair({"runner": "rust"}),
    "a shadow of another version": pair({"route": {"shadow": "maybe"}}), "NUL": pair() .replace("abc", "a\\u0000c") + "\0\0\0\n", "not JSON": "{{{{\n", "a list": "[1, 2]\n",
    "one long line": '{"event": "run started", "x": "' + "x" * 5_000_000 + '"}\n', "torn": pair()[:-40], "bytes": "\udcff\udcfe\n", "empty": "", "only an end": json.dumps(ENDED) + "\n",
    "config is a number": pair({"job": {"config": 5}}), "a reason that is a list": pair({"route": {"reason": []}}),
}  # fmt: skip


@pytest.fixture
def records(tree):
    folder = tree.root / ".ci-sessions" / "runs"
    folder.mkdir(parents=True)
    (folder / "good.jsonl").write_text(GOOD)
    return folder


def rollout(tree, *args, **more):
    return tree.call(sys.executable, "-m", "ci_sessions", "rollout", *args, timeout=60, **more)


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_record_is_left_out_and_the_rest_counts(tree, records, bad):
    (records / "bad.jsonl").write_bytes(BAD[bad].encode(errors="surrogateescape"))
    done = rollout(tree, "--json")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["docs_test"]["python"] >= 1


def test_a_line_separator_in_a_value_is_not_the_end_of_a_line(tree, records):
    start = STARTED | {"id": "u", "route": {**STARTED["route"], "detail": "a\u2028b\u0085c"}}
    text = json.dumps(start, ensure_ascii=False) + "\n" + json.dumps(ENDED | {"id": "u"}) + "\n"
    (records / "u.jsonl").write_text(text)
    assert json.loads(rollout(tree, "--json").stdout)["docs_test"]["python"] == 2


def test_the_order_of_keys_and_blanks_do_not_matter(tree, records):
    text = json.dumps(STARTED, sort_keys=True, separators=(",", ":")) + "\n"
    text += json.dumps(ENDED, sort_keys=True, separators=(",", ":")) + "\n"
    (records / "jq.jsonl").write_text(text)
    assert json.loads(rollout(tree, "--json").stdout)["docs_test"]["python"] == 2


@pytest.mark.parametrize(
    "make",
    [
        "mkfifo .ci-sessions/runs/a.jsonl", "ln -s /dev/zero .ci-sessions/runs/a.jsonl", "ln -s /nowhere .ci-sessions/runs/a.jsonl",
        "mkdir .ci-sessions/runs/a.jsonl", "ln -s a.jsonl .ci-sessions/runs/a.jsonl", "touch .ci-sessions/runs/a.jsonl; chmod 0 .ci-sessions/runs/a.jsonl",
    ],
)  # fmt: skip
def test_a_file_that_is_no_record(tree, records, make):
    subprocess.run(["bash", "-c", make], cwd=tree.root, check=True)
    done = rollout(tree, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["docs_test"]["python"] == 1


def test_records_that_match_nothing_are_an_error(tree):
    done = rollout(tree, "--records", "/nonexistent")
    assert done.returncode == 2
    assert "--records is '/nonexistent'" in done.stderr


def test_a_short_write_does_not_join_two_events(tmp_path):
    """A disk that fills up takes half an event; what is written later is still readable."""
    journal = store.create_journal(tmp_path, "2026-01-01T00:00:00", "x")
    journal.append({"event": "run started", "n": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = journal.path.stat().st_size
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        journal.append({"event": "x", "pad": "y" * 1000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not journal.is_working
    assert [event["n"] for event in store.read_events(journal.path)] == [1]
    journal.append({"event": "run ended", "n": 3})
    journal.close()  # there is room again: all that happened is written
    assert len(list(store.read_events(journal.path))) == 3


def test_a_record_that_cannot_be_mended_leaves_no_part_of_it(tmp_path):
    """A test has deleted the record, and the disk is full."""
    journal = store.create_journal(tmp_path, "2026-01-01T00:00:00", "x")
    journal.append({"event": "run started", "pad": "y" * 1000})
    journal.path.unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not journal.is_working
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("spoil", ["unlink()", "write_text('')"])
def test_records_are_ignored_by_git_whatever_a_test_or_a_full_disk_left(tree, spoil):
    """CI reports any new file in the checkout as a failure."""
    tree.dispatch()
    tree.tests(f"import pathlib; pathlib.Path('.ci-sessions/.gitignore').{spoil}")
    git(tree.root, "commit", "-qam", "tests")
    assert tree.dispatch(flag="1", CI="true").returncode == 0
    (tree.root / ".ci-sessions" / ".gitignore").write_text("")
    tree.tests("")
    git(tree.root, "commit", "-qam", "tests")
    assert tree.dispatch(flag="1", CI="true").returncode == 0


@pytest.mark.parametrize("flag", ["0", "1", "shadow"])
def test_without_room_for_a_file_a_test_of_the_checkout_passes(tree, flag):
    """Not even a .gitignore can be written, so there is no folder that git would see."""
    tree.config = "python"
    check = '#!/bin/bash\ntest -z "$(git status --porcelain)"\n'
    write_script(tree.root / ".ci" / "pytorch" / "test.sh", check)
    (tree.root / "test" / "run_test.py").write_text("")
    git(tree.root, "commit", "-qam", "tests")
    code = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "os.execvp(sys.executable, [sys.executable, '-m', 'ci_sessions', 'dispatch'])"
    )
    done = tree.call(sys.executable, "-c", code, flag=flag)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "this run has no record" in done.stderr
    assert not (tree.root / ".ci-sessions").exists()


VANDAL = {
    "deletes it": "[os.unlink(p) for p in paths]", "empties it": "[open(p, 'w').close() for p in paths]",
    "overwrites it": "[open(p, 'w').write('{}') for p in paths]", "appends to it": "[open(p, 'a').write('{\"event\": \"run ended\", \"outcome\": \"passed\"}') for p in paths]",
    "replaces it by a link": "[(os.unlink(p), os.symlink('/etc/passwd', p)) for p in paths]", "replaces it by a dangling link": "[(os.unlink(p), os.symlink('/tmp/nowhere/x', p)) for p in paths]",
    "replaces it by a FIFO": "[(os.unlink(p), os.mkfifo(p)) for p in paths]", "replaces it by a folder": "[(os.unlink(p), os.mkdir(p)) for p in paths]",
    "deletes the folder": "import shutil; shutil.rmtree('.ci-sessions')", "renames the folder": "os.rename('.ci-sessions', '.ci-sessions-2')",
    "holds the locks": "import fcntl; subprocess.Popen([sys.executable, '-c', 'import fcntl, glob, time; fs = [open(p) for p in glob.glob(\".ci-sessions/**/*\", recursive=True) if p.endswith((\"lock\", \"jsonl\"))]; [fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB) for f in fs if f.name.endswith(\"jsonl\")]; time.sleep(60)'], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
}  # fmt: skip


@pytest.mark.parametrize("what", VANDAL)
@pytest.mark.parametrize("flag", ["0", "1"])
def test_a_test_that_spoils_the_record_of_its_own_run(tree, what, flag):
    body = f"import glob\npaths = glob.glob('.ci-sessions/runs/*.jsonl')\n{VANDAL[what]}\n"
    tree.tests(body + "sys.exit(3)").script(
        f"python3 - <<'E'\nimport os, subprocess, sys\n{body}\nE\nexit 3"
    )
    began = time.monotonic()
    assert tree.dispatch(flag=flag).returncode == 3
    assert time.monotonic() - began < 20
    (record,) = [record for record in tree.records() if "job" in record]
    assert (record["outcome"], record["exit_code"]) == ("failed", 3)


def test_the_record_of_a_running_run_is_not_removed(tree):
    tree.tests("open('pids', 'w').close(); time.sleep(4)")
    process = tree.start(flag="1")
    wait_for((tree.root / "pids").exists)
    (running,) = (tree.root / ".ci-sessions" / "runs").glob("*.jsonl")
    os.utime(running, (1, 1))
    tree.dispatch("--keep-days", "0", flag="0")
    assert running.exists()
    process.communicate(timeout=60)
    assert process.returncode == 0
    os.utime(running, (1, 1))
    tree.dispatch("--keep-days", "0", flag="0")
    assert not running.exists()


def test_a_child_inherits_no_lock(tree):
    """A daemon that outlives its run must not make it look active."""
    code = "import os\nfor n in os.listdir('/proc/self/fd'):\n    print(os.path.realpath(f'/proc/self/fd/{n}'))"
    tree.tests(code)
    done = tree.dispatch(flag="1")
    assert ".ci-sessions" not in done.stdout.partition("record:")[0]


def test_a_full_disk_at_the_start_is_a_warning(tmp_path, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", full)
    journal = store.create_journal(tmp_path, "2026-01-01T00:00:00", "x")
    journal.append({"event": "x"})
    journal.close()
    assert "this run has no record" in caplog.text


def test_killed_at_any_moment_the_record_can_be_read(tree):
    tree.tests("time.sleep(0.3)")
    for delay in (0.2, 0.35, 0.5, 0.65, 0.8, 1.0):
        process = tree.start(flag="1")
        time.sleep(delay)
        process.kill()
        process.communicate(timeout=30)
    runs = store.read_runs(tree.root / ".ci-sessions")
    files = list((tree.root / ".ci-sessions" / "runs").glob("*.jsonl"))
    assert len(runs) + sum(path.stat().st_size == 0 for path in files) == len(files)
    assert {str(run.outcome) for run in runs} <= {"aborted", "passed"}
    assert len(list(read_summaries(files))) == len(runs)


@pytest.fixture
def fleet(tmp_path):
    """Records that are large enough to be read by several processes, which takes some time."""
    filler = '{"event": "step started", "id": "s", "command": "' + "x" * 2000 + '"}\n'
    for part in range(4):
        with (tmp_path / f"{part}.jsonl").open("w") as out:
            for number in range(1, 9001):
                name = {"id": f"{part}.{number}"}
                out.write(f"{json.dumps(STARTED | name)}\n{filler}{json.dumps(ENDED | name)}\n")
    return tmp_path


@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="one process reads all records here",
)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_readers_of_a_fleet_end_without_a_word_if_the_command_does(fleet, signum):
    argv = [sys.executable, "-m", "ci_sessions", "rollout", "--records", str(fleet)]
    command = subprocess.Popen(
        argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    children = Path(f"/proc/{command.pid}/task/{command.pid}/children")
    wait_for(lambda: len(children.read_text().split()) >= 2)
    if signum == signal.SIGINT:
        os.killpg(command.pid, signum)  # Ctrl-C goes to all processes of a terminal
    else:
        command.send_signal(signum)
    # The pipe of standard error is open until all of its processes have ended.
    _, errors = command.communicate(timeout=30)
    is_killed = signum == signal.SIGKILL
    assert command.returncode == (-signum if is_killed else 128 + signum)
    assert errors == ("" if is_killed else f"error: interrupted by {signum.name}\n")
