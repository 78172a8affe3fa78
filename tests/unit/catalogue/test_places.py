from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT, make_job

from ci_sessions.catalogue.places import place_of_checks, places_of_export, places_of_tests


def line_at(place):
    """Return the line that a place names."""
    path, _, number = place.split()[0].partition(":")
    return (ROOT / Path(path)).read_text().splitlines()[int(number) - 1]


def test_the_functions_that_plan_a_jobs_tests():
    (place,) = places_of_tests(make_job("jit_legacy"))
    assert line_at(place) == "def jit_legacy(job: Job, checkout: Checkout) -> list[Draft]:"
    assert place.endswith(" jit_legacy")
    several = places_of_tests(make_job("default", shard="1/3"))
    assert len(several) == len(set(several)) > 1


@pytest.mark.parametrize(
    ("command", "functions"),
    [
        ("aten/tools/run_tests.sh build/bin", ["aten"]),
        ("python test/run_test.py --cpp --verbose -i cpp/test_jit cpp/test_new", ["libtorch"]),
        ("python test/run_test.py --exclude-jit-executor --shard 1 3 --new-option", ["shard"]),
        ("nothing like it", None),
    ],
)
def test_of_several_functions_the_one_that_plans_the_most_similar_command(command, functions):
    job = make_job("default", shard="1/3")
    found = [place.split()[1] for place in places_of_tests(job, command.split())]
    assert found == (functions or [place.split()[1] for place in places_of_tests(job)])


def test_the_line_that_exports_a_variable():
    (place,) = places_of_export("VALGRIND")
    assert re.search(r"VALGRIND.*ON", line_at(place))


def test_a_variable_that_nothing_exports_is_added_for_the_job_or_a_device():
    lines = [line_at(place) for place in places_of_export("NO_SUCH_VARIABLE")]
    assert [line.partition("(")[0] for line in lines] == ["def job_exports", "def device_exports"]


def test_the_checks_before_the_tests():
    assert line_at(place_of_checks()).startswith("def setup_steps(")
