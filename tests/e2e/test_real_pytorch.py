"""Jobs on a real PyTorch: one that fails for a known reason, and two that pass."""

from __future__ import annotations

import html
import os
import subprocess
import sys
import time

import pytest
from integration.conftest import suggested
from junitparser import JUnitXml

from ci_sessions.records.store import read_runs

GREEN = "test_complex test_comparison_utils test_function_schema test_show_pickle test_logging"


@pytest.fixture
def run(pytorch, tmp_path):
    """Run a configuration with JUnit reports, as in CI; return the output and the record."""

    def run(*words, **variables):
        env = {**os.environ, "PATH": pytorch.path, "CI": "1", **variables}
        env.pop("GITHUB_ACTIONS", None)
        done = subprocess.run(
            [sys.executable, "-m", "ci_sessions", "run", *words, "--checkout", str(pytorch.root),
             "--records", str(tmp_path / ".ci-sessions")],
            cwd=tmp_path, env=env, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        return done, read_runs(tmp_path / ".ci-sessions")[-1]

    return run


def test_the_legacy_jit_fails_without_libraries_that_debian_omits(run, tmp_path):
    done, record = run(
        *("jit_legacy", "--test", "test_jit_legacy", "--junit", str(tmp_path / "junit.xml")),
        *("--build-environment", "linux-jammy-py3.10-gcc11"),
    )
    end = done.stdout[done.stdout.index("\nFAILED  jit_legacy") :]
    print(end)
    assert done.returncode == record.exit_code == 1
    assert "Ran 2643 tests" in done.stdout
    assert "Ran 50 tests" in done.stdout
    assert "2,693 cases: 35 errors, 199 skipped" in end
    cases = record.failed_steps[0].cases
    assert (cases.total, cases.errors, cases.failures, len(cases.failed)) == (2693, 35, 0, 35)
    names = {case.name for case in cases.failed}
    assert "jit.test_torchbind.TestTorchbind.test_torchbind_tracing_nested" in names
    missing = [case for case in cases.failed if "cannot open shared object file" in case.message]
    assert len(missing) == 34
    assert "--test test_jit_legacy --step 1" in end
    assert len(end.splitlines()) <= 30
    check_reports(tmp_path, cases)


def check_reports(folder, cases):
    """Check that the JUnit report and the page have what the record has."""
    suites = {suite.name: suite for suite in JUnitXml.fromfile(str(folder / "junit.xml"))}
    suite = suites["jit_legacy.test_jit_legacy.1"]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (2693, 0, 35, 199)
    assert sum(case.time for case in suite) > 10
    subprocess.run(
        [sys.executable, "-m", "ci_sessions", "report", "--records", ".ci-sessions"],
        cwd=folder,
        check=True,
    )
    page = html.unescape((folder / "ci-sessions-report.html").read_text())
    assert "test_jit_legacy: 35 cases failed" in page
    assert all(case.message in page for case, _ in cases.groups())
    assert "--case jit.test_torchbind.TestTorchbind." in page


def test_without_reports_a_red_job_names_its_errors_and_one_case_of_it_repeats(run, pytorch):
    done, record = run(
        *("jit_legacy", "--test", "test_jit_legacy"),
        *("--build-environment", "linux-jammy-py3.10-gcc11"),
        CI="",
    )
    end = done.stdout[done.stdout.index("\nFAILED  jit_legacy") :]
    print(end)
    (step,) = record.failed_steps
    assert step.cases.source == "the output"
    assert (step.cases.total, step.cases.errors, step.cases.skipped) == (2693, 35, 199)
    assert all(case.message and case.test_file == "test_jit_legacy" for case in step.cases.failed)
    (line, *_) = suggested(done.stdout)["one case of each message"]
    began = time.monotonic()
    again = subprocess.run(
        line, shell=True, cwd="/", capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": pytorch.path, "CI": ""},
    )  # fmt: skip
    print(again.stdout[-2000:])
    assert again.returncode == 1
    assert "Ran 1 test in" in again.stdout
    assert time.monotonic() - began < 60


def test_a_python_job_passes(run):
    done, record = run("python", "--test", "test_python", TESTS_TO_INCLUDE=GREEN)
    print(done.stdout[-800:])
    assert done.returncode == record.exit_code == 0
    (step,) = [step for step in record.steps if step.cases]
    assert step.cases.total > 0
    assert (step.cases.errors, step.cases.failures) == (0, 0)
    assert step.peak > 50 * 2**20
    assert step.cpu > 1


def test_the_aten_binaries(run):
    """A clang 9 build runs without valgrind, which finds errors in Debian's libraries."""
    done, record = run(
        "python", "--test", "test_aten", "--build-environment", "linux-bookworm-py3.11-clang9"
    )
    print(done.stdout[-800:])
    assert done.returncode == record.exit_code == 0
    for binary in ("basic", "atest", "native_test", "Dimname_test", "operators_test"):
        assert f"+ ./{binary}" in done.stdout
    assert "[  PASSED  ]" in done.stdout
