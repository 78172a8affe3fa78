from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from ci_sessions.records.query import Summary
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner
from ci_sessions.report.history import describe_history, history_to_json

NOW = datetime(2026, 11, 24, 16, 46, 40, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    """Local time is one hour ahead of UTC."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def run(started="2026-11-24T16:46:00.000Z", config="jit_legacy", **more):
    stamp = started[:19].replace(":", "-")
    fields = {
        "id": started, "config": config, "job": "x", "runner": Runner.PYTHON, "commit": "", "started": started,
        "outcome": Outcome.PASSED, "wall": 312.0, "build": "linux-py3.13", "path": f"/co/.ci-sessions/runs/{stamp}-{config}.jsonl",
    }  # fmt: skip
    return Summary(**(fields | more))


RUNS = [
    run(),
    run("2026-11-24T13:40:00.000Z", "distributed", shard="1/3", outcome=Outcome.FAILED,
        build="linux-jammy-cuda13.0-py3.10-gcc11", failed_tests=("test_a", "test_b"), wall=7512.0),
    run("2026-11-22T23:30:00.000Z", runner=Runner.SHELL, outcome=Outcome.ABORTED, wall=0.0),
]  # fmt: skip


def test_one_line_a_run_in_local_time_by_day():
    assert describe_history(RUNS, set(), NOW).splitlines() == [
        "          ago  configuration  build            shard  runner  result       time  record",
        "",
        "Tue 24 Nov 2026",
        "  17:46  40 s  jit_legacy     linux-py3.13            python  passed       5:12  2026-11-24T16-46-00",
        "  14:40   3 h  distributed    …0-py3.10-gcc11  1/3    python  2 failed  2:05:12  2026-11-24T13-40-00",
        "",
        "Mon 23 Nov 2026",
        "  00:30  41 h  jit_legacy     linux-py3.13            shell   aborted            2026-11-22T23-30-00",
        "",
        "records: /co/.ci-sessions/runs/RECORD*.jsonl",
    ]


def test_a_wide_terminal_shortens_nothing():
    assert "linux-jammy-cuda13.0-py3.10-gcc11" in describe_history(RUNS, set(), NOW, 200)


def test_no_line_is_longer_than_100_characters_whatever_a_record_says():
    long = run(
        config="c" * 300, build="b" * 300, path=f"/x/{'r' * 300}.jsonl", shard="1000/1000",
        outcome=Outcome.RUNNER_ERROR, failed_tests=tuple(map(str, range(2000))), wall=9e6,
    )  # fmt: skip
    assert max(map(len, describe_history([*RUNS, long], set(), NOW).splitlines()[:-1])) <= 100


def test_a_record_cannot_forge_lines_commands_or_colours():
    text = describe_history([run(config="a\n::error::x\x1b[31m##[group]\r")], set(), NOW)
    line = next(line for line in text.splitlines() if "17:46" in line)
    assert line.split()[3:6] == ["a", ":", ":error::x#"]
    assert "\x1b" not in text


def test_a_run_that_has_not_ended_is_running_if_its_lock_is_held():
    aborted = RUNS[2]
    assert "running" in describe_history(RUNS, {aborted.path}, NOW)
    assert [item["outcome"] for item in history_to_json(RUNS, {aborted.path})] == [
        "passed",
        "failed",
        "running",
    ]


@pytest.mark.parametrize(
    "started", ["", "soon", "2026-11-24T16:46:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_a_time_that_is_none_is_left_out(started):
    """A time without a zone, or beyond the calendar, is not shown as a time."""
    text = describe_history([run(started)], set(), NOW)
    assert "jit_legacy" in text


def test_records_of_several_folders_are_named_by_json():
    other = run(path="/other/x.jsonl")
    assert describe_history([run(), other], set(), NOW).endswith("--json prints their paths")
