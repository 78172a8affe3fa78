"""``--junit``: the report of a real run, whatever happens to it, and of no run that it could harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from integration.conftest import ci, git, wait_for, write_script
from junitparser import Error, JUnitXml

RED = """
import unittest


class T(unittest.TestCase):
    def test_red(self):
        self.assertEqual(1, 2, "sums")

    def test_green(self):
        pass
"""


@pytest.fixture
def red(checkout):
    """A checkout in which one case of ``jit_legacy`` fails."""
    (checkout / "test" / "test_jit_legacy.py").write_text(RED)
    git(checkout, "add", "-A", "-f")
    git(checkout, "commit", "-qm", "red")
    return checkout


def read(path):
    """Return the cases of a report by suite, each with what failed it."""
    return {
        suite.name: {
            case.name: type(case.result[0]).__name__ if case.result else "" for case in suite
        }
        for suite in JUnitXml.fromfile(str(path))
    }


def test_a_red_run_has_a_suite_for_each_step_and_all_cases(red, tmp_path):
    path = tmp_path / "out" / "junit.xml"
    done = ci("run", "jit_legacy", "--junit", path, cwd=red, check=1)
    suites = read(path)
    legacy = suites["jit_legacy.test_jit_legacy.1"]
    assert legacy["test_red"] == "Failure"
    assert legacy["test_green"] == ""
    assert set(suites["jit_legacy.test_jit.1"].values()) == {""}
    assert "JUnit" not in done.stderr


def test_dispatch_writes_it_in_python_and_with_the_script(red, tmp_path):
    for flag, suite in (("1", "jit_legacy.test_jit_legacy.1"), ("0", "jit_legacy.test_sh.1")):
        path = tmp_path / f"{flag}.xml"
        label = {"BUILD_ENVIRONMENT": "linux-jammy-py3.10-gcc11", "TEST_CONFIG": "jit_legacy"}
        ci("dispatch", "--junit", path, cwd=red, env={**label, "USE_PYTHON_TEST_RUNNER": flag})
        assert suite in read(path), flag


def test_an_interrupted_run_has_a_report_with_the_step_that_was_cut_off(checkout, tmp_path):
    path, started = tmp_path / "junit.xml", tmp_path / "started"
    write_script(
        checkout / "aten" / "tools" / "run_tests.sh", f"#!/bin/bash\ntouch '{started}'\nsleep 300\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_sessions", "run", "python", "--test", "test_aten", "--junit", str(path)],
        cwd=checkout, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(started.exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    (cut,) = [case for suite in JUnitXml.fromfile(str(path)) for case in suite if case.result and isinstance(case.result[0], Error)]  # fmt: skip
    assert cut.result[0].message.startswith("interrupted, exit 143 (SIGTERM)")


@pytest.mark.parametrize("place", ["folder", "file/junit.xml", "link"])
def test_a_report_that_cannot_be_written_changes_no_result(checkout, tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    path = tmp_path / place
    done = ci("run", "jit_legacy", "--test", "test_jit", "--junit", path, cwd=checkout, check=0)
    if place == "link":  # the link is replaced, and what it named is not written
        assert read(path)
        assert not (tmp_path / "target").exists()
    else:
        assert "cannot write the JUnit report" in done.stderr
    assert "PASSED" in done.stdout


def test_the_report_of_an_earlier_run_is_not_left_if_this_one_is_killed(checkout, tmp_path):
    path, started = tmp_path / "junit.xml", tmp_path / "started"
    path.write_text("<testsuites/>")
    write_script(
        checkout / "aten" / "tools" / "run_tests.sh",
        f"#!/bin/bash\ntouch '{started}'\nexec sleep 5\n",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_sessions", "run", "python", "--test", "test_aten", "--junit", str(path)],
        cwd=checkout, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(started.exists)
    process.kill()
    process.wait(60)
    assert not path.exists()
