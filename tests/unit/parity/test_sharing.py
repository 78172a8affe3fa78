from __future__ import annotations

import pytest

from ci_sessions.parity.recording import Fault, FaultKind, Note, NoteKind, Recording
from ci_sessions.parity.sharing import group_jobs, has_read, unmentioned, watching


def request(unknown=(), **variables):
    return {"variables": variables, "unknown": list(unknown)}


def test_a_variable_that_a_text_mentions_or_that_is_the_shells_own_is_not_ignored():
    jobs = [
        request(GITHUB_A="1", GITHUB_AB="1", LC_ALL="C", TZ="UTC", BASH_ENV="x", _X_Y="1"),
        request(JOB_B="2"),
    ]
    assert unmentioned(jobs, [b"python $GITHUB_AB\n", b"\xff"]) == {"JOB_B"}
    assert unmentioned(jobs, [b"python"]) == {"GITHUB_A", "GITHUB_AB", "JOB_B"}


def test_jobs_are_in_one_group_if_they_differ_only_in_ignored_variables():
    jobs = {
        "a": request(TEST_CONFIG="x", JOB_B="1"),
        "b": request(TEST_CONFIG="y", JOB_B="1"),
        "c": request(TEST_CONFIG="x"),
        "d": request(["SHA1"], TEST_CONFIG="x"),
    }
    assert group_jobs(jobs, frozenset({"JOB_B"})) == [["a", "c"], ["b"], ["d"]]
    assert group_jobs(jobs, frozenset()) == [["a"], ["b"], ["c"], ["d"]]


def test_the_ignored_variables_are_watched_besides_the_unknown_ones():
    asked = request(["SHA1"], JOB_B="1")
    assert watching(asked, frozenset({"JOB_B", "A_C"})) == {**asked, "watched": ["A_C", "JOB_B"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("JOB_B", True), ("all of the environment", True), ("JOB*", True), ("SHA1", False)],
)
def test_a_read_of_an_ignored_variable_forbids_sharing(text, expected):
    recording = Recording(0, (), (Note(NoteKind.UNKNOWN, text), Note(NoteKind.ASSUMED, "JOB_B")))
    assert has_read(recording, frozenset({"JOB_B"})) is expected


def test_a_trace_that_did_not_reach_the_end_is_not_shared():
    assert has_read(Recording(1, (), fault=Fault(FaultKind.FAILED, "x")), frozenset())
