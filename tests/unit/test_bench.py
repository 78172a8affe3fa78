"""The arithmetic of the benchmarks, which decides whether a change is too slow."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "bench"))

from bench import LIMITS, Result, failures, tomllib
from cases import Case
from measuring import Command, Usage, environment, median, ratio

ROUNDS = [Usage(2.0, 1.0, 20), Usage(9.0, 1.2, 30), Usage(3.0, 0.9, 25)]
BASELINE = [Usage(1.0, 0.5, 10), Usage(3.0, 0.4, 10), Usage(2.0, 0.3, 10)]


def result(**more):
    command = Command(argv=("true",), cwd=Path())
    case = Case(
        name="x", command=lambda _: command, baseline=command, baseline_name="y", rounds=3, amount=50
    )  # fmt: skip
    values = {"usage": median(ROUNDS), "baseline": median(BASELINE), "ratio": 3.0, **more}
    return Result(case=case, **values)


def test_a_ratio_is_the_median_of_those_in_each_round():
    assert ratio(ROUNDS, BASELINE, "wall") == 2.0
    assert ratio(ROUNDS, BASELINE, "cpu") == pytest.approx(3.0)


def test_a_median_is_taken_of_each_value():
    assert median(ROUNDS) == Usage(3.0, 1.0, 25)
    assert result().rate == 50


@pytest.mark.parametrize(
    ("limit", "exceeded"),
    [
        ({}, []),
        ({"ratio": 3.0, "peak": 25}, []),
        ({"ratio": 2.9}, ["x: 3.00 x, at most 2.9 x"]),
        ({"peak": 24, "ratio": 4}, ["x: 25 MB, at most 24"]),
    ],
)
def test_a_limit_is_exceeded_by_more_than_it(limit, exceeded):
    assert failures(result(), {"x": limit}) == exceeded


def test_every_limit_has_room_and_a_known_measure():
    for limit in tomllib.loads(LIMITS.read_text()).values():
        assert set(limit) <= {"ratio", "peak"}
        assert all(value > 0 for value in limit.values())


def test_what_slows_python_is_not_passed_on(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OTHER", "1")
    found = environment({"MORE": "2"})
    assert (found.get("OTHER"), found.get("MORE")) == ("1", "2")
    assert "PYTHONDONTWRITEBYTECODE" not in found
