"""The packed list of runs and their details, as a browser unpacks them."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ci_sessions.records.query import Summary
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner
from ci_sessions.report.page.packing import DetailsPacker, pack, run_columns
from ci_sessions.text import for_log

STARTED = "2026-11-01T10:00:00.123Z"
RUN = Summary(
    id=f"{STARTED}/job/abc", config="smoke", job="job", runner=Runner.PYTHON, commit="0123456789abcdef", started=STARTED,
    outcome=Outcome.FAILED, wall=12.34, failed_tests=("a", "b"), path="records/runs/x.jsonl",
)  # fmt: skip


def unpack(text):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_a_column_has_each_text_once():
    other = replace(RUN, config="docs_test", started="2026-11-01T09:00:00.000Z", id="odd")
    columns = run_columns([RUN, other, RUN])
    assert columns["texts"]["config"] == ["smoke", "docs_test"]
    assert columns["codes"]["config"] == [0, 1, 0]
    assert columns["texts"]["failed"] == ["a, b"]
    assert columns["texts"]["commit"] == ["0123456789"]
    assert columns["wall"] == [123, 123, 123]
    assert columns["started"][1:] == [-3_600_123, 3_600_123]
    assert columns["id"] == ["abc", "=odd", "abc"]
    assert (columns["file"][0], columns["texts"]["folder"]) == ("x.jsonl", ["records/runs"])


def test_a_time_that_is_none_is_0_and_the_id_is_whole():
    columns = run_columns([replace(RUN, started="x", id="x/job/abc")])
    assert (columns["started"], columns["id"]) == ([0], ["=x/job/abc"])


@given(st.text(), st.text())
def test_any_text_is_packed_so_that_it_cannot_end_its_element(name, started):
    run = replace(RUN, config=name, id=name, started=started, job="</script><script>alert(1)")
    text = pack(run_columns([run]))
    assert text.isascii()
    assert "<" not in text
    (shown,) = unpack(text)["id"]
    assert shown.removesuffix("…") == f"={for_log(name)[:300]}"


def test_details_are_packed_until_there_is_no_more_room():
    packer = DetailsPacker(3_000)
    for number in range(1_000):
        packer.add(number, f"<p>{number**50}</p>")
    assert packer.is_full
    found = unpack(packer.text())
    assert 1 < len(found) == packer.number < 1_000
    assert found["1"] == "<p>1</p>"


def test_no_details_are_an_empty_object():
    assert unpack(DetailsPacker(10).text()) == {}
