from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from records_of_runs import EVENTS, GOOD, LINES, as_lines

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
