from __future__ import annotations

import errno
import json
import os

import pytest

from ci_sessions.errors import RecordError
from ci_sessions.records import store
from ci_sessions.records.record import (
    Case,
    Cases,
    Outcome,
    RunRecord,
    StepRecord,
    run_from_events,
    step_ended_event,
    step_started_event,
)
from ci_sessions.records.route import Reason, RouteRecord, Runner, Shadow
from ci_sessions.records.verdict import JobVerdict

RUN = RunRecord(
    id="1",
    job={"config": "smoke", "build_environment": "linux", "shard": 1, "num_shards": 1},
    started="2026-01-02T03:04:05.678Z",
)
STEP = StepRecord(
    id="smoke.test_smoke.1",
    test="test_smoke",
    number=1,
    kind="test",
    command="python x",
    outcome=Outcome.FAILED,
    code=3,
    wall=1.5,
    cpu=1.25,
    peak=4096,
    cases=Cases(total=2, errors=1, failed=(Case("a.b", "error", "boom"),), source="x"),
    tail=("last words",),
)


def ended(**more):
    return RUN.__class__(**{**{f: getattr(RUN, f) for f in ("id", "job", "started")}, **more})


def through_json(event):
    return json.loads(json.dumps(event))


def test_a_run_survives_being_written_and_read():
    run = ended(outcome=Outcome.FAILED, exit_code=3, wall=2.0, ended="later", steps=(STEP,))
    events = [
        run.started_event(),
        step_started_event(STEP),
        step_ended_event(STEP),
        run.ended_event(),
    ]
    assert run_from_events(map(through_json, events)) == run
    assert run.failed_steps == (STEP,)


ROUTE = RouteRecord(
    runner=Runner.SHELL,
    intended=Runner.PYTHON,
    reason=Reason.SPLIT_IN,
    detail="bucket 3",
    phase="2A",
    commit="abc",
    is_partial=True,
    fallback="bug",
    error="KeyError",
    trace="Traceback",
    shadow=Shadow(verdict=JobVerdict.DIFFERENT, detail="test 1", seconds=0.5),
)


def test_a_route_survives_being_written_and_read():
    run = ended(route=ROUTE, runner=Runner.SHELL)
    assert run_from_events([through_json(run.started_event())]).route == ROUTE
    plain = RouteRecord(runner=Runner.PYTHON, intended=Runner.PYTHON, reason=Reason.FLAG_ON)
    assert RouteRecord.from_json(through_json(plain.to_json())) == plain
    with pytest.raises(RecordError, match="the route in a record cannot be read"):
        RouteRecord.from_json({"runner": "python", "reason": "weather"})


def test_a_run_has_tested_once_a_step_that_tests_has_begun():
    import dataclasses  # noqa: PLC0415

    def run(**more):
        return ended(steps=(dataclasses.replace(STEP, **more),))

    assert run(is_test=True).has_run_tests
    assert run(is_test=True, outcome=Outcome.ABORTED).has_run_tests
    assert not run(is_test=True, outcome=Outcome.SKIPPED).has_run_tests
    assert not run(is_test=False).has_run_tests


def test_a_run_that_was_cut_off_reads_as_aborted():
    run = run_from_events(
        [through_json(RUN.started_event()), through_json(step_started_event(STEP))]
    )
    assert run.outcome is Outcome.ABORTED
    assert [step.outcome for step in run.steps] == [Outcome.ABORTED]
    assert run.exit_code is None


def test_another_format_and_a_missing_first_event_are_errors():
    with pytest.raises(RecordError, match="has format 99, but this version of ci_sessions reads 1"):
        run_from_events([{**RUN.started_event(), "format": 99}])
    with pytest.raises(RecordError, match="no 'run started' event"):
        run_from_events([])


def test_a_journal_is_named_by_time_and_config_and_never_reused(tmp_path):
    first = store.create_journal(tmp_path, RUN.started, "a/b")
    first.append(RUN.started_event())
    second = store.create_journal(tmp_path, RUN.started, "a/b")
    assert first.path.name == "2026-01-02T03-04-05-a-b.jsonl"
    assert second.path.name == "2026-01-02T03-04-05-a-b-2.jsonl"
    assert (tmp_path / ".gitignore").read_text() == "*\n"


def test_a_torn_last_line_is_left_out_and_another_broken_one_is_an_error(tmp_path):
    journal = store.create_journal(tmp_path, RUN.started, "x")
    journal.append(RUN.started_event())
    with journal.path.open("a") as out:
        out.write('{"event": "step st')
    assert store.read_run(journal.path).outcome is Outcome.ABORTED
    with journal.path.open("a") as out:
        out.write("\n{}\n")
    with pytest.raises(RecordError, match="line 2 is not JSON"):
        store.read_run(journal.path)


def test_unreadable_runs_are_named_and_the_rest_is_read(tmp_path, caplog):
    good = store.create_journal(tmp_path, RUN.started, "good")
    good.append(RUN.started_event())
    (tmp_path / "runs" / "old.jsonl").write_text('{"event": "run started", "format": 0}\n')
    (tmp_path / "runs" / "list.jsonl").write_text("[1]\n")
    assert [run.id for run in store.read_runs(tmp_path)] == ["1"]
    assert "skipped" in caplog.text
    assert "old.jsonl" in caplog.text


def test_a_full_disk_is_a_warning_and_the_run_continues(tmp_path, monkeypatch, caplog):
    journal = store.create_journal(tmp_path, RUN.started, "x")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    journal.append(RUN.started_event())
    journal.append(RUN.started_event())
    assert not journal.is_working
    assert caplog.text.count("the record of this run is incomplete") == 1


def test_old_runs_are_removed_when_asked(tmp_path):
    old, new = (store.create_journal(tmp_path, RUN.started, name) for name in ("old", "new"))
    for journal in (old, new):
        journal.append(RUN.started_event())
        journal.close()
    os.utime(old.path, (1000, 1000))
    now = new.path.stat().st_mtime
    assert store.prune(tmp_path, 30, now) == [old.path]
    assert [run.id for run in store.read_runs(tmp_path)] == ["1"]


def test_no_folder_for_records_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    journal = store.create_journal(tmp_path / "file", RUN.started, "x")
    journal.append(RUN.started_event())
    assert "this run has no record: cannot create" in caplog.text


def test_runs_that_begin_in_the_same_second_have_files_of_their_own(tmp_path):
    journals = [store.create_journal(tmp_path, RUN.started, "x") for _ in range(3)]
    assert len({journal.path for journal in journals}) == 3, "none was written to yet"
    assert all(journal.path.exists() for journal in journals)


@pytest.mark.parametrize(
    "more",
    [
        {"started": 5},
        {"job": "smoke"},
        {"wall": "long"},
        {"route": {"runner": "python", "reason": "flag-on", "shadow": "equal", "shadow_seconds": 10**400}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_end", [False, True])
def test_a_value_that_no_record_has_makes_one_record_unreadable(tmp_path, caplog, more, is_end):
    good = store.create_journal(tmp_path, RUN.started, "good")
    bad = store.create_journal(tmp_path, RUN.started, "bad")
    start, end = RUN.started_event(), ended(outcome=Outcome.PASSED).ended_event()
    good.append(start)
    bad.append(start if is_end else {**start, **more})
    bad.append({**end, **more} if is_end else end)
    assert len(store.read_runs(tmp_path)) == 1
    assert "bad.jsonl: a record cannot be read" in caplog.text or "the route" in caplog.text


def test_the_route_at_the_end_replaces_that_of_the_start():
    plain = RouteRecord(runner=Runner.SHELL, intended=Runner.SHELL, reason=Reason.SHADOW)
    start = through_json(ended(route=plain, runner=Runner.SHELL).started_event())
    end = through_json(ended(route=ROUTE, outcome=Outcome.PASSED).ended_event())
    assert run_from_events([start, end]).route == ROUTE
    assert run_from_events([start]).route == plain
    del end["route"]
    assert run_from_events([start, end]).route == plain
    assert "route" not in ended(outcome=Outcome.PASSED).ended_event()


def test_the_runner_is_read_and_python_by_default():
    start = through_json(ended(runner=Runner.SHELL).started_event())
    assert run_from_events([start]).runner is Runner.SHELL
    del start["runner"]
    assert run_from_events([start]).runner is Runner.PYTHON


def test_events_that_this_version_does_not_know_are_ignored():
    start, end = RUN.started_event(), ended(outcome=Outcome.PASSED).ended_event()
    events = [{"event": "run ended"}, start, {"event": "note"}, end]
    assert run_from_events(events).outcome is Outcome.PASSED


def test_events_contain_plain_strings():
    events = [RUN.started_event(), ended().ended_event(), step_ended_event(STEP)]
    values = [event[name] for event in events for name in ("runner", "outcome") if name in event]
    assert {type(value) for value in values} == {str}


def test_a_step_without_a_tail_has_none():
    event = through_json(step_ended_event(STEP))
    del event["tail"]
    (step,) = run_from_events([RUN.started_event(), event]).steps
    assert step.tail == ()


def test_the_messages_of_unreadable_records_say_why():
    with pytest.raises(RecordError) as caught:
        run_from_events([])
    assert str(caught.value) == (
        "a record has no 'run started' event: its beginning is missing. [bad-record]"
    )
    with pytest.raises(RecordError, match=r"a record cannot be read: TypeError\(.started is 5.\)"):
        run_from_events([{**RUN.started_event(), "started": 5}])


def test_failed_cases_are_grouped_by_message():
    def case(name, message):
        return Case(name, "failure", message)

    failed = (
        *(case("a", "x"), case("b", ""), case("c", "y"), case("d", "z")),
        *(case("e", "y"), case("f", ""), case("g", "z"), case("h", "y")),
    )
    assert Cases(failed=failed).groups() == [
        (failed[2], 3),
        (failed[3], 2),
        (failed[0], 1),
        (failed[1], 1),
        (failed[5], 1),
    ]
    assert Cases(total=5).groups() == []
