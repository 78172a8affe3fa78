from __future__ import annotations

import json
import os

import pytest

from ci_sessions.inventory.measured import measured_seconds, merge_times


@pytest.fixture
def report(tmp_path):
    """Write a report of a test file; each is newer than the one before."""
    written = []

    def report(folder, *cases, text=None):
        path = tmp_path / "test" / "test-reports" / folder / f"{len(written)}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = "".join(
            f'<testcase classname="T" name="{name}" time="{time}"/>' for name, time in cases
        )
        path.write_text(f"<testsuite>{rows}</testsuite>" if text is None else text)
        written.append(path)
        os.utime(path, (len(written), len(written)))

    return report


def test_a_file_takes_what_its_cases_take(report, tmp_path):
    report("python-pytest/test_ops", ("a", 1.5), ("b", 2))
    report("python-pytest/test_ops", ("c", 3))  # another part of it
    report("python-unittest/distributed.test_store", ("a", 0.25))
    assert measured_seconds(tmp_path) == {"distributed/test_store": 0.25, "test_ops": 6.5}


def test_the_last_run_of_a_case_counts(report, tmp_path):
    report("python-pytest/test_ops", ("a", 9))
    report("python-pytest/test_ops", ("a", 1))
    assert measured_seconds(tmp_path) == {"test_ops": 1.0}


@pytest.mark.parametrize("time", ["inf", "nan", "-1", "1e300", "", "x"])
def test_a_time_that_is_none_does_not_count(report, tmp_path, time):
    report("python-pytest/test_ops", ("a", time), ("b", 1))
    assert measured_seconds(tmp_path) == {"test_ops": 1.0}


def test_a_report_that_is_broken_or_has_entities_is_left_out(report, tmp_path):
    report("python-pytest/test_a", text="<testsuite>")
    report("python-pytest/test_b", text='<!DOCTYPE x [<!ENTITY e "x">]><testsuite/>')
    report("other/test_c", ("a", 1))
    assert measured_seconds(tmp_path) == {}


def test_times_are_added_to_those_that_there_are():
    times = {"default": {"default": {"test_ops": 5.0}}, "linux": {"slow": {"test_nn": 1.0}}}
    found = json.loads(merge_times(times, "linux", "slow", {"test_ops": 7.0}))
    assert found == {
        "default": {"default": {"test_ops": 5.0}, "slow": {"test_ops": 7.0}},
        "linux": {"slow": {"test_nn": 1.0, "test_ops": 7.0}},
    }
