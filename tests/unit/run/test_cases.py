from __future__ import annotations

import os

import pytest

from ci_sessions.records.record import Case, CaseResult
from ci_sessions.run.cases import read_cases
from ci_sessions.run.reports import find_reports

XML = """<testsuites><testsuite>
<testcase classname="jit.A" name="test_ok"/>
<testcase classname="jit.A" name="test_skip"><skipped/></testcase>
<testcase classname="jit.A" name="test_xfail"><skipped type="XFAIL" message="expected failure"/></testcase>
<testcase classname="jit.A" name="test_bad"><failure message="first&#10;AssertionError: 1 != 2"/></testcase>
<testcase classname="jit.A" name="test_err"><error>Traceback
OSError: no such file</error></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def reports(tmp_path):
    folder = tmp_path / "test" / "test-reports" / "python-unittest" / "x"
    folder.mkdir(parents=True)
    return folder


def test_cases_are_counted_and_failed_ones_named(tmp_path, reports):
    before = find_reports(tmp_path)
    (reports / "a.xml").write_text(XML)
    cases = read_cases(tmp_path, before)
    assert (cases.total, cases.failures, cases.errors, cases.skipped) == (5, 1, 1, 1)
    assert cases.failed == (
        Case("jit.A.test_bad", "failure", "AssertionError: 1 != 2", test_file="x"),
        Case("jit.A.test_err", "error", "OSError: no such file", test_file="x"),
    )
    assert cases.source == "test/test-reports/python-unittest/x"


def test_older_reports_are_not_this_steps(tmp_path, reports):
    (reports / "a.xml").write_text(XML)
    assert read_cases(tmp_path, find_reports(tmp_path)) is None


def test_a_case_that_ran_again_counts_once_by_its_last_run(tmp_path, reports):
    (reports / "a.xml").write_text(XML)
    (reports / "b.xml").write_text(
        '<testsuite><testcase classname="jit.A" name="test_bad"/></testsuite>'
    )
    os.utime(reports / "a.xml", (1, 1))
    cases = read_cases(tmp_path, {})
    assert (cases.total, cases.failures, cases.errors) == (5, 0, 1)


def test_an_incomplete_report_is_ignored(tmp_path, reports):
    (reports / "a.xml").write_text(XML[:100])
    assert read_cases(tmp_path, {}) is None
    (reports.parent / "b.xml").write_text(XML)
    assert read_cases(tmp_path, {}).source == "test/test-reports"


def test_no_report_folder_at_all(tmp_path):
    assert read_cases(tmp_path, {}) is None


def test_all_cases_are_kept_with_their_times_if_a_report_is_to_name_them(tmp_path, reports):
    (reports / "a.xml").write_text(XML.replace('"test_ok"', '"test_ok" time="1.5"'))
    cases = read_cases(tmp_path, {}, keeps_all=True)
    assert cases.every[0] == CaseResult("jit.A.test_ok", "passed", 1.5)
    assert [case.result for case in cases.every] == [
        "passed",
        "skipped",
        "passed",
        "failure",
        "error",
    ]
    assert read_cases(tmp_path, {}).every == ()


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e99"])
def test_a_time_that_is_none_is_0(tmp_path, reports, text):
    (reports / "a.xml").write_text(XML.replace('"test_ok"', f'"test_ok" time="{text}"'))
    assert read_cases(tmp_path, {}, keeps_all=True).every[0].seconds == 0
