from __future__ import annotations

import pytest
from inventories import part

from ci_sessions.inventory.facts import BuildFacts
from ci_sessions.inventory.printed import derive_answer, read_answer
from ci_sessions.inventory.selection import Fault, Question

TEXT = """\
Found test times from artifacts
Running all tests
Running parallel tests on 3 processes
Name: tests to run (est. time: 12.5min)
  Serial tests (1):
    test_nn 1/1
  Parallel tests (2):
    test_ops 2/3
    doctests 1/1
Name: excluded (est. time: 0.0min)
  Serial tests (0):
  Parallel tests (0):
"""
SHARDS = [
    [600.0, [["test_fx 1/1", 600.0]]],
    [750.0, [["test_ops 2/3", 590.0], ["test_nn 1/1", 160.0], ["doctests 1/1", None]]],
]
DATA = {
    "code": 0,
    "text": TEXT,
    "shards": SHARDS,
    "serial": ["test_nn"],
    "selected": ["test_fx", "test_nn", "test_ops", "doctests"],
    "processes": 3,
}
PARTS = (part("test_nn", 1, 1, True, 2.667), part("test_ops", 2, 3, False, 9.833), part("doctests"))


def question(number=2, total=2):
    argv = ("test/run_test.py", "--shard", str(number), str(total))
    return Question(argv=argv, env={}, facts=BuildFacts())


def test_the_printed_list_is_the_selection():
    found = read_answer(question(), DATA)
    assert found.parts == PARTS
    assert (found.minutes, found.basis, found.processes) == (12.5, "build", 3)


def test_another_shard_follows_from_the_division_as_it_would_be_printed():
    assert derive_answer(question(2), DATA, "build") == read_answer(question(2), DATA)
    first = derive_answer(question(1), DATA, "build")
    assert (first.parts, first.minutes) == ((part("test_fx", minutes=10.0),), 10.0)


def test_nothing_follows_from_a_division_into_another_number_of_shards():
    assert derive_answer(question(1, 3), DATA, "build") is None
    assert derive_answer(question(), {**DATA, "shards": []}, "build") is None


def test_an_old_release_prints_names_so_its_functions_count():
    data = {
        "code": 0,
        "text": "Selected tests:\n test_nn\n test_ops",
        "selected": ["test_nn", "test_ops"],
        "serial": ["test_nn"],
    }
    found = read_answer(question(), data)
    assert found.parts == (part("test_nn", serial=True), part("test_ops"))
    assert (found.minutes, found.basis) == (None, "none")


def test_without_times_there_is_no_estimate():
    shards = [
        [0.0, []],
        [0.0, [["test_ops 2/3", None], ["test_nn 1/1", None], ["doctests 1/1", None]]],
    ]
    text = TEXT.replace("12.5", "0.0").replace("Found test times", "Failed to find")
    found = read_answer(question(), {**DATA, "shards": shards, "text": text})
    assert (found.minutes, found.basis) == (None, "none")
    assert all(one.minutes is None for one in found.parts)


@pytest.mark.parametrize(
    ("line", "basis"),
    [
        ("Using default build env and slow test config instead.", "config"),
        ("Using default build env and default test config instead.", "default"),
    ],
)
def test_the_basis_of_the_times_is_what_it_prints(line, basis):
    text = TEXT.replace("Found test times from artifacts", line)
    assert read_answer(question(), {**DATA, "text": text}).basis == basis


@pytest.mark.parametrize(
    ("data", "text", "is_rejected"),
    [
        ({"code": 2, "text": "usage: x\nrun_test.py: error: argument -i/--include: invalid choice: 'test_x' (choose from 'a', 'b')\n"}, "run_test.py refuses: argument -i/--include: invalid choice: 'test_x'", True),
        ({"code": 1, "text": ""}, "run_test.py refuses: no reason is printed", True),
        ({"unanswerable": "torch.backends"}, "run_test.py asks for torch.backends, which only a build can answer", False),
        ({"fault": "SyntaxError: bad"}, "run_test.py cannot be asked: SyntaxError: bad", False),
        ({"code": 0, "text": "hello"}, "run_test.py --dry-run printed no list of tests", False),
    ],
)  # fmt: skip
def test_why_there_is_no_answer(data, text, is_rejected):
    assert read_answer(question(), data) == Fault(text, is_rejected)


def test_a_long_reason_is_cut():
    assert len(read_answer(question(), {"fault": "x" * 9000}).text) < 300
