from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from records_of_runs import EVENTS, GOOD, LINES, as_lines

from ci_sessions.records import store


@given(
    st.lists(LINES | st.binary(max_size=20), max_size=5).map(b"\n".join)
    | st.lists(EVENTS, max_size=4).map(as_lines)
)
def test_any_bytes_in_a_file_leave_the_good_records_beside_it(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("records")
    (folder / "runs").mkdir()
    for name, content in (("a", data), ("b", as_lines(GOOD)), ("c", as_lines(GOOD))):
        (folder / "runs" / f"{name}.jsonl").write_bytes(content)
    found = store.read_runs(folder)
    assert [run.id for run in found].count("good") >= 2
    assert all(isinstance(run.started, str) for run in found)
