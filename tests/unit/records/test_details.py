"""The details of runs, from files that the tests write."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ci_sessions.records.details import RunDetails, read_details
from ci_sessions.records.query import Summary, read_summaries
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner


def run_in(path, name="1"):
    return Summary(
        id=name, config="smoke", job="x", runner=Runner.PYTHON, commit="c", started="",
        outcome=Outcome.PASSED, wall=1.0, path=str(path) if path else "",
    )  # fmt: skip


def started(name="1", **more):
    return {"event": "run started", "id": name, **more}


def step(**more):
    return {"event": "step ended", "id": "smoke.test_smoke.1", **more}


def cases(total, *failed, failures=0, errors=0, skipped=0):
    """Return a step with counts of cases, of which those named have failed."""
    counts = {"total": total, "failures": failures, "errors": errors, "skipped": skipped}
    return step(cases={**counts, "failed": [{"name": name} for name in failed]})


def write(path, *events):
    lines = (event if isinstance(event, bytes) else json.dumps(event).encode() for event in events)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def details_of(tmp_path, *steps):
    """Return the details of a run with these steps."""
    path = write(tmp_path / "a.jsonl", started(), *steps)
    return read_details([run_in(path)])["1"]


# --- which steps belong to which run


def test_each_run_has_the_steps_between_its_start_and_the_next(tmp_path):
    first = write(
        tmp_path / "a.jsonl",
        *(started("1"), step(peak=1), step(peak=7), {"event": "run ended", "id": "1"}),
        *(started("2"), step(peak=20), started("3"), step(peak=3)),
    )
    second = write(tmp_path / "b.jsonl", started("4"), step(peak=4))
    runs = [run_in(first, "1"), run_in(second, "4"), run_in(first, "3")]
    assert read_details(runs) == {
        "1": RunDetails(peak=7),
        "3": RunDetails(peak=3),
        "4": RunDetails(peak=4),
    }


def test_a_run_that_starts_again_in_its_file_has_all_of_its_steps(tmp_path):
    path = write(tmp_path / "a.jsonl", started(), step(cpu=1), started(), step(cpu=2))
    assert read_details([run_in(path)]) == {"1": RunDetails(cpu=3.0)}


def test_a_run_without_steps_has_details_that_are_not_known(tmp_path):
    found = details_of(tmp_path)
    assert found == RunDetails(
        total=-1, skipped=0, failed=frozenset(), is_complete=True, cpu=0.0, peak=0
    )
    assert found.has_cases is False


def test_a_run_that_cannot_be_read_again_has_no_details(tmp_path):
    path = write(tmp_path / "a.jsonl", started("2"), step(peak=1))
    runs = [run_in(tmp_path / "gone.jsonl"), run_in(path), run_in(""), run_in(path, "2")]
    assert read_details(runs) == {"2": RunDetails(peak=1)}
    assert read_details([]) == {}


def test_a_step_whose_output_has_the_name_of_an_event_counts(tmp_path):
    assert details_of(tmp_path, step(peak=3, tail=["run started"])).peak == 3


def test_a_step_before_the_first_run_belongs_to_none(tmp_path):
    path = write(tmp_path / "a.jsonl", step(peak=9), started(), step(peak=1))
    assert read_details([run_in(path)]) == {"1": RunDetails(peak=1)}


def test_only_the_end_of_a_step_counts(tmp_path):
    """A test chooses what it prints, so the words alone do not make an event."""
    found = details_of(
        tmp_path,
        step(peak=2),
        {**step(peak=99), "event": "step started"},
        {**step(peak=99), "event": "note", "tail": ["step ended"]},
        {**step(peak=99), "event": "note", "tail": ["run started"]},
        {"event": "note", "id": "2", "tail": ["run started"]},
        step(peak=3),
    )
    assert found == RunDetails(peak=3)


@pytest.mark.parametrize(
    "line", [b'{"event": "step ended", "id": "x", "peak": 9', b'{"event": "run started", "id": 1}']
)
def test_a_line_that_is_no_event_is_skipped(tmp_path, line):
    assert details_of(tmp_path, step(peak=2), line, step(peak=3)) == RunDetails(peak=3)


# --- what the steps add up to


def test_cases_of_the_steps_are_added(tmp_path):
    found = details_of(
        tmp_path,
        cases(5, "a", failures=1, skipped=2),
        step(),
        cases(7, "b", "a", failures=1, errors=1, skipped=1),
    )
    assert found == RunDetails(
        total=12, skipped=3, failed=frozenset({"a", "b"}), is_complete=True, cpu=0.0, peak=0
    )
    assert found.has_cases is True


@pytest.mark.parametrize(
    ("failures", "errors", "is_complete"),
    [(2, 0, True), (0, 2, True), (1, 1, True), (1, 0, True), (3, 0, False), (0, 3, False), (2, 1, False)],
)  # fmt: skip
def test_cases_are_complete_if_each_that_failed_is_named(tmp_path, failures, errors, is_complete):
    found = details_of(tmp_path, cases(9, "a", "b", failures=failures, errors=errors))
    assert found.is_complete is is_complete
    assert found.has_cases is is_complete


def test_cases_that_are_recorded_but_none_are_known(tmp_path):
    found = details_of(tmp_path, cases(0))
    assert found == RunDetails(total=0)
    assert found.has_cases is True


def test_cpu_time_is_added_and_memory_is_the_largest_peak(tmp_path):
    found = details_of(
        tmp_path, step(cpu=1.25, peak=300), step(cpu=2, peak=500), step(cpu=0.5, peak=400.9)
    )
    assert found == RunDetails(cpu=3.75, peak=500)
    assert (type(found.cpu), type(found.peak)) == (float, int)
    assert details_of(tmp_path, step(peak=-1)).peak == 0


# --- values that a test may have written


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (1, 1),
        (0.5, 0.5),
        ((1 << 50) - 1, (1 << 50) - 1),
        (1 << 50, 0),
        (10**400, 0),
        (-1, 0),
        (-0.5, 0),
        (True, 0),
        ("1", 0),
        (None, 0),
        ([1], 0),
        (float("nan"), 0),
        (float("inf"), 0),
    ],
)
def test_a_value_that_is_no_number_of_a_run_is_0(tmp_path, value, number):
    found = details_of(tmp_path, step(cpu=value, peak=value, cases={"total": value}))
    assert (found.cpu, type(found.cpu)) == (number, float)
    assert (found.peak, found.total) == (int(number), int(number))


@pytest.mark.parametrize("value", [None, [], "cases", 7])
def test_cases_that_are_no_table_are_not_known(tmp_path, value):
    assert details_of(tmp_path, step(cases=value)).total == -1


@pytest.mark.parametrize(
    ("failed", "names"),
    [
        (None, set()),
        ("a", set()),
        ({"name": "a"}, set()),
        (["a", None, {"name": 1}, {"NAME": "b"}, {}, {"name": "c"}], {"c"}),
        ([{"name": "a"}, {"name": ["b"]}], {"a"}),
    ],
)
def test_only_names_in_a_list_of_cases_count(tmp_path, failed, names):
    found = details_of(tmp_path, step(cases={"total": 3, "failures": 1, "failed": failed}))
    assert found.failed == names
    assert found.is_complete is bool(names)


def test_the_details_of_a_run_are_read_from_its_place(tmp_path):
    """Only as far as the next run, unlike in a search of the whole file."""
    step = {"event": "step ended", "id": "s", "test": "t", "outcome": "passed", "cpu": 1.0}
    events = []
    for name in "abc":
        events += [{"event": "run started", "id": name}, step, step]
        events += [{"event": "run ended", "id": name, "outcome": "passed"}]
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    found = list(read_summaries([path]))
    assert [one.place >= 0 for one in found] == [True, True, True]
    expected = read_details(replace(one, place=-1) for one in found)
    assert {name: one.cpu for name, one in expected.items()} == {"a": 2.0, "b": 2.0, "c": 2.0}
    assert read_details(found) == expected
