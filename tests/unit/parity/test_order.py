"""The order of recorded commands does not depend on process IDs that wrap around."""

from __future__ import annotations

from itertools import permutations

import pytest

from ci_sessions.parity.order import parse_steps, sort_key
from ci_sessions.parity.recording import Recording, from_dict, read_log

PID_MAX = 32768
PLACES = {"root": "/base/tmp/checkout", "tmp": "/base/tmp"}


def record(name, pid, *, number=1, chain="", start=500):
    """Return a record as the recorder writes it."""
    fields = ("command", chain, number, f"{pid}:{start}", "test.sh:1\n", "/base/tmp/checkout", 1)
    return "".join(f"{field}\0" for field in (*fields, name, ""))


def names(records, pid_max=PID_MAX):
    commands, _, is_certain = read_log(records, {}, PLACES, pid_max)
    return [command.argv[0] for command in commands], is_certain


@pytest.mark.parametrize(
    "pids", [(100, 101, 102), (32766, 32767, 300), (32767, 300, 301), (32760, 310, 2000)]
)
def test_a_pipeline_keeps_its_order_where_process_ids_wrap(pids):
    records = [record(name, pid) for name, pid in zip("abc", pids, strict=True)]
    for shuffled in permutations(records):
        assert names(shuffled) == (["a", "b", "c"], True)


def test_a_late_wrap_does_not_move_what_came_before_it():
    """The first process of the job has a low ID: another command's processes wrap later."""
    records = [
        record("a", 20000, number=1, start=1),
        record("b", 32767, number=2, start=2),
        record("c", 400, number=2, start=2),
        record("d", 20001, number=3, start=9),
        record("e", 399, number=3, start=10),
    ]
    assert names(reversed(records)) == (["a", "b", "c", "d", "e"], True)


def test_start_times_decide_before_process_ids():
    """A long substitution and the next one in the same command: IDs went around in between."""
    records = [record("a", 5000, start=10), record("b", 4000, start=900)]
    assert names(reversed(records)) == (["a", "b"], True)


def test_processes_in_subshells_that_wrap():
    first, second = "1:32767:7 ", "1:350:7 "
    records = [
        record("a", 351, chain=first),
        record("b", 353, chain=first, number=2),
        record("c", 352, chain=second),
    ]
    assert names(reversed(records)) == (["a", "b", "c"], True)


def test_without_start_times_an_order_is_not_certain_and_not_cached():
    assert names([record("a", 100, start=""), record("b", 101, start="")]) == (["a", "b"], False)
    assert names([record("a", 100, start=""), record("b", 99, number=2, start="")])[1]
    assert Recording(0, ()).is_repeatable
    unclear = Recording(0, (), is_ordered=False)
    assert not unclear.is_repeatable
    assert from_dict(unclear.to_dict()) == unclear


def test_ids_that_are_spread_over_half_of_the_circle_are_not_certain():
    chains = [parse_steps(f"1:{pid}:5") for pid in (100, 11000, 22000)]
    assert sort_key(chains, PID_MAX)[1] is False
    assert sort_key(chains, 2**22)[1] is True
