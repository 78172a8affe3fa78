from __future__ import annotations

import errno
import io
import json
import os
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from records_of_runs import EVENTS, GOOD, LINES, as_lines

from ci_sessions.records import query
from ci_sessions.records.query import Summary, read_summaries
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner
from ci_sessions.records.verdict import JobVerdict


@given(st.lists(LINES | st.binary(max_size=20), max_size=5).map(b"\n".join))
def test_any_bytes_in_a_file_leave_the_good_records_beside_it(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("records")
    (folder / "a.jsonl").write_bytes(data)
    (folder / "b.jsonl").write_bytes(as_lines(GOOD))
    found = list(read_summaries(sorted(folder.iterdir())))
    assert all(isinstance(one, Summary) for one in found)
    assert found[-1].id == "good"


@given(st.lists(EVENTS, max_size=4))
@example([{"event": "run started", "format": 1, "id": "x", "job": {"config": "nested"}}])
def test_any_events_give_summaries_with_the_declared_types(tmp_path_factory, events):
    path = tmp_path_factory.mktemp("records") / "a.jsonl"
    path.write_bytes(as_lines([*GOOD, *events]))
    found = list(read_summaries([path]))
    for one in found:
        assert isinstance(one.outcome, Outcome)
        assert isinstance(one.runner, Runner)
        assert isinstance(one.wall, float)
        assert one.shadow is None or isinstance(one.shadow, JobVerdict)
        texts = (one.id, one.config, one.job, one.commit, one.started, one.fallback, one.reason)
        assert all(isinstance(text, str) for text in texts)


START = {
    "event": "run started", "format": 1, "id": "r", "started": "2026-01-02", "runner": "shell",
    "job": {"config": "smoke", "id": "job"},
    "route": {"commit": "abc", "fallback": "bug", "shadow": "different", "reason": "split-in", "is_partial": True},
}  # fmt: skip
END = {"event": "run ended", "id": "r", "outcome": "failed", "wall": 2.5}
SUMMARY = Summary(
    id="r", config="smoke", job="job", runner=Runner.SHELL, commit="abc", started="2026-01-02",
    outcome=Outcome.FAILED, wall=2.5, fallback="bug", shadow=JobVerdict.DIFFERENT, reason="split-in", is_partial=True,
)  # fmt: skip


def read(tmp_path, *events):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(
        (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n" for event in events
    ))  # fmt: skip
    return [replace(found, path="") for found in read_summaries([path])]


def test_a_summary_has_every_field_of_its_run(tmp_path):
    assert read(tmp_path, START, END) == [SUMMARY]


def test_a_run_without_an_end_is_aborted(tmp_path):
    expected = replace(SUMMARY, outcome=Outcome.ABORTED, wall=0.0)
    assert read(tmp_path, START) == [expected]
    assert read(tmp_path, START, {"event": "run ended", "id": "r"}) == [expected]


def test_the_route_at_the_end_replaces_that_of_the_start(tmp_path):
    """What a shadow found is known only then."""
    end = {**END, "route": {**START["route"], "shadow": "equal", "fallback": ""}}
    assert read(tmp_path, START, end) == [replace(SUMMARY, shadow=JobVerdict.EQUAL, fallback="")]


def test_what_a_run_leaves_out_has_a_default(tmp_path, caplog):
    (found,) = read(
        tmp_path, {"event": "run started", "id": "r"}, {"event": "run ended", "id": "r"}
    )
    assert found == Summary(
        id="r", config="", job="", runner=Runner.PYTHON, commit="", started="",
        outcome=Outcome.ABORTED, wall=0.0, reason="",
    )  # fmt: skip
    assert found.is_partial is False
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("wall", "seconds"),
    [(0, 0.0), (0.0, 0.0), (0.5, 0.5), (1, 1.0), (9_999_999, 9_999_999.0), (None, 0.0)],
)
def test_a_duration_is_seconds(tmp_path, wall, seconds):
    (found,) = read(tmp_path, START, {**END, "wall": wall})
    assert (found.wall, type(found.wall)) == (seconds, float)


@pytest.mark.parametrize("wall", [True, "1", [1], -0.1, 1e7, float("nan"), float("inf"), 10**400])
def test_a_duration_that_no_run_has_makes_its_run_unreadable(tmp_path, caplog, wall):
    assert read(tmp_path, START, {**END, "wall": wall}) == []
    assert "skipped 1 record that cannot be read" in caplog.text


def test_an_event_of_another_kind_ends_no_run(tmp_path):
    other = {**END, "event": "step ended", "note": ["run ended"]}
    unknown = {**END, "id": "another"}
    assert read(tmp_path, START, other, unknown, END) == [SUMMARY]


@pytest.mark.parametrize(
    "line",
    [
        b'["run started"]',
        b'{"event": "run started"}',
        b'{"event": "run started", "id": 7}',
        b'"run started" {',
    ],
)
def test_a_line_that_is_no_event_is_skipped(tmp_path, caplog, line):
    assert read(tmp_path, line, START, END, line) == [SUMMARY]
    message = f"skipped 2 records that cannot be read, such as {tmp_path / 'a.jsonl'}"
    assert [one.getMessage() for one in caplog.records] == [message]


def test_the_warning_names_the_first_file_that_cannot_be_read(tmp_path, caplog):
    (tmp_path / "b.jsonl").write_text(json.dumps({**START, "started": 7}))
    os.mkfifo(tmp_path / "c.jsonl")
    paths = [tmp_path / f"{name}.jsonl" for name in "abc"]
    assert list(read_summaries(paths[1:])) == []
    assert list(read_summaries(paths[:1])) == []
    assert list(read_summaries(paths[2:])) == []
    assert [one.getMessage() for one in caplog.records] == [
        f"skipped 2 records that cannot be read, such as {paths[1]}",
        f"skipped 1 record that cannot be read, such as {paths[0]} (No such file or directory)",
        f"skipped 1 record that cannot be read, such as {paths[2]} (it is not a regular file)",
    ]


def test_a_file_whose_reading_fails_is_named(tmp_path, caplog, monkeypatch):
    class Broken(io.BytesIO):
        def read(self, _size=-1):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(query, "open_regular", lambda _: Broken())
    assert list(read_summaries([tmp_path / "a.jsonl"])) == []
    assert "such as " + str(tmp_path / "a.jsonl") + " (Input/output error)" in caplog.text


def test_a_line_that_is_very_long_is_not_read_whole(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(query, "_LONGEST_LINE", 400)
    long = {**START, "id": "long", "note": "x" * 900}
    assert read(tmp_path, long, START, END) == [SUMMARY]
    assert "skipped 1 record" in caplog.text


@pytest.mark.parametrize("size", [1, 7, 50, 400, 10_000])
def test_the_size_of_blocks_does_not_matter(tmp_path, monkeypatch, size):
    runs = [({**START, "id": f"r{n}"}, {**END, "id": f"r{n}"}) for n in range(3)]
    step = {"event": "step ended", "test": "test_x", "outcome": "failed"}
    events = [runs[0][0], {**step, "id": "s"}, runs[0][1], b"x" * 3000, *runs[1], *runs[2]]
    expected = read(tmp_path, *events)
    assert [(one.id, one.failed_tests) for one in expected] == [
        ("r0", ("test_x",)), ("r1", ()), ("r2", ()),
    ]  # fmt: skip
    monkeypatch.setattr(query, "_BLOCK", size)
    monkeypatch.setattr(query, "_LONGEST_LINE", 2000)
    assert read(tmp_path, *events) == expected


@pytest.mark.parametrize("size", [7, 10_000])
def test_runs_can_be_read_again_from_their_places(tmp_path, monkeypatch, size):
    monkeypatch.setattr(query, "_BLOCK", size)
    first, second = ({**START, "id": name} for name in "ab")
    step = {"event": "step ended", "id": "s", "test": "test_x", "outcome": "failed"}
    read(tmp_path, first, second, step, {**END, "id": "b"}, {**END, "id": "a"})
    path = tmp_path / "a.jsonl"
    found = list(read_summaries([path]))
    assert [one.id for one in found] == ["b", "a"]
    places = [one.place for one in found]
    assert list(query.read_again(str(path), places)) == found
    assert list(query.read_again(str(path), [places[0] + 1])) == []


JOB = {"config": "smoke", "build_environment": "linux", "shard": 2, "num_shards": 3, "id": "x"}


def write(path, *events):
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def started(name="1", **more):
    return {"event": "run started", "format": 1, "id": name, "job": JOB, "started": "t", **more}


def step(test, outcome, **more):
    return {
        "event": "step ended",
        "id": f"smoke.{test}.1",
        "test": test,
        "outcome": outcome,
        **more,
    }


def ended(name="1"):
    return {"event": "run ended", "id": name, "outcome": "failed", "wall": 1.0}


def test_the_failed_tests_of_each_run_in_a_file(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        *(started("1"), step("a", "passed"), step("b", "failed"), step("b", "failed")),
        *(step("setup", "failed"), step("c", "timed out"), step("d", "skipped"), ended("1")),
        *(started("2"), step("e", "aborted"), step(["x"], "failed"), step("f", "exploded")),
    )
    first, second = read_summaries([path])
    assert (first.failed_tests, second.failed_tests) == (("b", "c"), ("e",))
    assert (first.build, first.shard, first.path) == ("linux", "2/3", str(path))
    assert str(second.outcome) == "aborted"


def test_a_failed_step_counts_also_if_its_output_says_passed(tmp_path):
    text = '"outcome": "passed"'
    path = write(tmp_path / "a.jsonl", started(), step("a", "failed", tail=[text]), ended())
    (run,) = read_summaries([path])
    assert run.failed_tests == ("a",)


TEXTS = ("", "run tests", '"outcome": "passed"', '"step ended"', '"run ended"', "step ended", "\n{")


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["passed", "failed", "skipped", "timed out"]),
            st.sampled_from(TEXTS),
            st.sampled_from(TEXTS),
        ),
        max_size=8,
    ),
    separators=st.sampled_from([(", ", ": "), (",", ":")]),
)
def test_failed_tests_are_those_that_plain_reading_finds(tmp_path_factory, steps, separators):
    events = [started()]
    for test, outcome, command, tail in steps:
        events.append({"event": "step started", "id": test, "command": command})
        events.append(step(test, outcome, command=command, tail=[tail], cases={"outcome": tail}))
    events.append(ended())
    path = tmp_path_factory.mktemp("records") / "a.jsonl"
    path.write_text("".join(json.dumps(one, separators=separators) + "\n" for one in events))
    (run,) = read_summaries([path])
    expected = [test for test, outcome, *_ in steps if outcome in ("failed", "timed out")]
    assert run.failed_tests == tuple(dict.fromkeys(expected))


def test_a_step_that_cannot_be_read_is_left_out(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    torn = json.dumps(step("a", "failed"))[:-9]
    path.write_text("\n".join([json.dumps(started()), torn, json.dumps(ended())]))
    (run,) = read_summaries([path])
    assert run.failed_tests == ()
    assert caplog.text == ""


def test_a_job_without_shards_has_none(tmp_path):
    for job in ({}, {"shard": 1, "num_shards": 1}, {"shard": "1", "num_shards": [3]}):
        (run,) = read_summaries([write(tmp_path / "a.jsonl", started(job=job), ended())])
        assert run.shard == ""


def test_a_step_before_the_first_run_is_left_out(tmp_path):
    path = write(tmp_path / "a.jsonl", step("a", "failed"), started(), step("b", "failed"), ended())
    (run,) = read_summaries([path])
    assert run.failed_tests == ("b",)


def test_only_the_end_of_a_step_is_a_failure_of_its_test(tmp_path):
    begun = {**step("a", "failed"), "event": "step started"}
    path = write(tmp_path / "a.jsonl", started(), begun, step("b", "timed out"), ended())
    (run,) = read_summaries([path])
    assert run.failed_tests == ("b",)


def test_a_job_of_two_shards_names_its_own(tmp_path):
    job = {"shard": 1, "num_shards": 2}
    (run,) = read_summaries([write(tmp_path / "a.jsonl", started(job=job), ended())])
    assert run.shard == "1/2"


@pytest.mark.parametrize("name", ["run started", "run ended"])
def test_a_failed_step_counts_also_if_its_output_has_the_name_of_an_event(tmp_path, name):
    path = write(tmp_path / "a.jsonl", started(), step("a", "failed", tail=[name]), ended())
    (run,) = read_summaries([path])
    assert run.failed_tests == ("a",)
