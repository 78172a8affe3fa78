"""Single runs among many, read again with their steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_of_runs import LINES, as_lines

from ci_sessions.records.query import read_summaries
from ci_sessions.records.record import Outcome
from ci_sessions.records.whole import read_whole


def events(name, *steps, end=True):
    yield {
        "event": "run started",
        "format": 1,
        "id": name,
        "started": "2026-01-02T03:04:05.678Z",
        "job": {"config": "smoke"},
    }
    for step in steps:
        yield {
            "event": "step ended",
            "id": step,
            "test": step,
            "number": 1,
            "kind": "test",
            "command": "x",
            "outcome": "passed",
        }
    if end:
        yield {"event": "run ended", "id": name, "outcome": "passed", "wall": 1.5}


def read(tmp_path, *parts):
    path = tmp_path / "all.jsonl"
    path.write_bytes(b"".join(as_lines(part) for part in parts))
    return {run.id: run for run in read_summaries([path])}


def test_each_run_of_a_file_has_its_own_steps(tmp_path):
    runs = read(tmp_path, events("a", "a1", "a2"), events("b", "b1"), events("c"))
    found = {name: [step.id for step in read_whole(run).steps] for name, run in runs.items()}
    assert found == {"a": ["a1", "a2"], "b": ["b1"], "c": []}


def test_a_run_whose_end_is_after_another_has_it_from_its_summary(tmp_path):
    last = [{"event": "run ended", "id": "a", "outcome": "failed", "wall": 9.0}]
    runs = read(tmp_path, events("a", "a1", end=False), events("b", "b1"), last)
    record = read_whole(runs["a"])
    assert (record.outcome, record.wall, len(record.steps)) == (Outcome.FAILED, 9.0, 1)


def test_a_run_that_is_not_there_any_more_is_none(tmp_path):
    runs = read(tmp_path, events("a"), events("b"))
    assert read_whole(replace(runs["a"], place=-1)) is None
    assert read_whole(replace(runs["b"], place=runs["b"].place + 1)) is None
    assert read_whole(replace(runs["a"], id="x")) is None
    (tmp_path / "all.jsonl").unlink()
    assert read_whole(runs["a"]) is None


@given(st.lists(LINES, max_size=8))
def test_any_lines_are_read_or_left_out(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("records") / "all.jsonl"
    path.write_bytes(b"\n".join(lines))
    for run in read_summaries([path]):
        record = read_whole(run)
        assert record is None or record.id == run.id


BAD = (
    {"wall": 1e400}, {"wall": -1}, {"cpu": 1e300}, {"peak": 10**40}, {"cases": {"total": "x", "failed": []}},
    {"cases": {"failed": [{"name": 5, "fault": "error"}]}}, {"cases": {"failed": [{"name": "t", "fault": "error", "message": []}]}},
    {"cases": {"failed": [{"name": "t", "fault": "error", "line": "x"}]}}, {"tail": [5, None, "x"]}, {"log": {}},
)  # fmt: skip


@pytest.mark.parametrize("values", BAD)
def test_values_that_no_step_has_are_left_out(tmp_path, values):
    start, step, end = events("a", "a1")
    (run,) = read(tmp_path, [start, {**step, **values}, end]).values()
    (step,) = read_whole(run).steps
    assert (step.wall, step.cpu, step.peak, step.cases, step.log) == (0, 0, 0, None, "")
    assert step.tail in ((), ("x",))
