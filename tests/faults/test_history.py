"""``history`` lists the runs of a checkout, whatever its records contain."""

from __future__ import annotations

import json
import sys

from faults.conftest import wait_for
from faults.test_records import BAD


def history(tree, *args, **more):
    command = (sys.executable, "-m", "ci_sessions", "history", *args)
    return tree.call("env", "-C", str(tree.root / "test"), *command, **more)


def test_runs_are_listed_newest_first(tree):
    tree.dispatch(flag="1")
    tree.dispatch(flag="0", CODE="3")
    done = history(tree)
    lines = [line for line in done.stdout.splitlines() if "jit_legacy" in line]
    assert ["1 failed" in line for line in lines] == [True, False]
    assert ["shell" in line for line in lines] == [True, False]
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 100
    assert f"records: {tree.root}/.ci-sessions/runs/RECORD*.jsonl" in done.stdout
    (failed,) = json.loads(history(tree, "--failed", "--json").stdout)
    assert failed["failed_tests"] == ["test_sh"]
    assert "2 runs in all: --last N lists more" in history(tree, "--last", "1").stdout


def test_without_runs_it_says_how_to_record_one(tree):
    done = history(tree)
    assert done.returncode == 0
    assert done.stdout == (
        f"no runs are recorded in {tree.root}/.ci-sessions: python -m ci_sessions run jit_legacy "
        "records one.\n"
    )
    assert json.loads(history(tree, "--json").stdout) == []


def test_runs_that_do_not_match_are_counted(tree):
    tree.dispatch()
    done = history(tree, "--failed", "--config", "smoke")
    assert "the run does not match" in done.stdout
    assert "leave out --config smoke and --failed" in done.stdout


def test_bad_records_are_skipped_with_a_warning(tree):
    tree.dispatch()
    for number, text in enumerate(BAD.values()):
        path = tree.root / ".ci-sessions" / "runs" / f"bad-{number}.jsonl"
        path.write_bytes(text.encode(errors="surrogateescape"))
    done = history(tree, "--last", "100")
    assert done.returncode == 0, done.stderr
    assert "that cannot be read, such as" in done.stderr
    assert "Traceback" not in done.stderr
    assert "jit_legacy" in done.stdout


def test_a_run_is_running_until_it_ends(tree):
    tree.tests("open('pids', 'w').close(); time.sleep(3)")
    process = tree.start(flag="1")
    wait_for((tree.root / "pids").exists)
    assert "running" in history(tree).stdout
    assert history(tree, "--failed").stdout.startswith("the run does not match")
    process.kill()
    process.communicate(timeout=60)
    assert "aborted" in history(tree).stdout


def test_the_nox_session(tree):
    done = tree.call(sys.executable, "-m", "nox", "-s", "history")
    assert "nox -s run -- jit_legacy records one" in done.stdout
