"""JUnit reports: valid by the schema, and read by junitparser, as other systems would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped
from lxml import etree

from ci_sessions.records.record import (
    Case,
    CaseResult,
    Cases,
    Outcome,
    RunRecord,
    StepRecord,
    step_ended_event,
)
from ci_sessions.report.junit import junit_lines
from ci_sessions.text import Redactor

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).with_name("junit.xsd")))
STEP = StepRecord(
    id="jit_legacy.test_jit.1", test="test_jit", number=1, kind="test", command="python test/run_test.py", is_test=True,
    started="2026-11-01T10:00:01.000Z", outcome=Outcome.FAILED, code=1, wall=90.25,
)  # fmt: skip
RUN = RunRecord(
    id="r", job={"config": "jit_legacy", "build_environment": "linux-x", "shard": 2, "num_shards": 3},
    started="2026-11-01T10:00:00.000Z", outcome=Outcome.FAILED, exit_code=1, wall=100.0,
)  # fmt: skip
CASES = Cases(
    4, 1, 1, 1, failed=(Case("a.T.bad", "failure", "1 != 2", "test/a.py", 7), Case("a.T.err", "error", "no file")),
    every=(
        CaseResult("a.T.good[x.y]", "passed", 0.5), CaseResult("a.T.bad", "failure", 1.5), CaseResult("a.T.err", "error"),
        CaseResult("a.T.not", "skipped"),
    ),
)  # fmt: skip


def report(*steps, redact=str, **run):
    """Return the report as junitparser reads it, after the schema accepted it."""
    text = "\n".join(junit_lines(replace(RUN, steps=steps, **run), redact))
    data = text.encode("utf-8", "replace")
    SCHEMA.assertValid(etree.fromstring(data))
    return JUnitXml.fromstring(data)


def cases_of(suite):
    """Return the cases of a suite: (class, name, kind of result or "", message)."""
    found = []
    for case in suite:
        (result,) = case.result or (None,)
        kind = {Error: "error", Failure: "failure", Skipped: "skipped"}.get(type(result), "")
        found.append((case.classname, case.name, kind, result.message if result else ""))
    return found


def test_a_step_is_a_suite_with_all_of_its_cases():
    xml = report(replace(STEP, cases=CASES))
    (suite,) = xml
    assert (xml.tests, xml.failures, xml.errors, xml.time) == (4, 1, 1, 100)
    assert (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) == ("jit_legacy.test_jit.1", 4, 1, 1, 1)  # fmt: skip
    assert (suite.time, suite.timestamp) == (90.25, "2026-11-01T10:00:01")
    assert cases_of(suite) == [
        ("a.T", "good[x.y]", "", ""), ("a.T", "bad", "failure", "1 != 2"), ("a.T", "err", "error", "no file"), ("a.T", "not", "skipped", ""),
    ]  # fmt: skip
    assert [case.time for case in suite] == [0.5, 1.5, 0, 0]
    assert next(iter(list(suite)[1].result)).text == "1 != 2\ntest/a.py:7"
    properties = {one.name: one.value for one in suite.properties()}
    assert properties["shard"] == "2/3"
    assert "cases" not in properties


def test_without_reports_the_failed_cases_and_their_number_are_known():
    (suite,) = report(replace(STEP, cases=replace(CASES, every=())))
    assert [name for _, name, *_ in cases_of(suite)] == ["bad", "err"]
    assert {one.name: one.value for one in suite.properties()}["cases"] == "4"


def test_a_step_that_failed_without_a_failed_case_is_one_itself():
    green = Cases(1, every=(CaseResult("a.T.good", "passed"),))
    step = replace(STEP, cases=green, code=139, tail=("Fatal", "error"))
    (suite,) = report(step)
    assert cases_of(suite) == [
        ("a.T", "good", "", ""),
        ("jit_legacy.test_jit", "step 1: python test/run_test.py", "failure", "failed, exit 139 (SIGSEGV)"),
    ]  # fmt: skip
    assert next(iter(list(suite)[1].result)).text == "Fatal\nerror"


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.PASSED, ""), (Outcome.SKIPPED, "skipped"), (Outcome.FAILED, "failure"), (Outcome.TIMED_OUT, "error"),
        (Outcome.INTERRUPTED, "error"), (Outcome.ABORTED, "error"),
    ],
)  # fmt: skip
def test_a_step_without_cases_has_its_own_outcome(outcome, kind):
    (suite, *_) = report(replace(STEP, outcome=outcome, note="why"), outcome=outcome)
    ((_, _, found, message),) = cases_of(suite)
    assert found == kind
    assert ("why" in message) == bool(kind)


@pytest.mark.parametrize("outcome", [Outcome.INTERRUPTED, Outcome.RUNNER_ERROR, Outcome.NO_TEST])
def test_a_run_that_failed_without_a_failed_step_is_red(outcome):
    xml = report(replace(STEP, outcome=Outcome.PASSED), outcome=outcome, note="no space left")
    assert xml.failures + xml.errors == 1
    assert cases_of(list(xml)[-1])[0][3] == f"{outcome}: no space left"


def test_a_failure_in_a_step_that_had_to_fail_is_none():
    xml = report(replace(STEP, outcome=Outcome.PASSED, cases=CASES), outcome=Outcome.PASSED)
    assert (xml.failures, xml.errors) == (0, 0)
    assert cases_of(next(iter(xml)))[1][2:] == ("skipped", "failure, but the step passed: 1 != 2")


def test_secrets_are_hidden():
    step = replace(STEP, command="x very-secret-value")
    (suite,) = report(step, redact=Redactor({"A_TOKEN": "very-secret-value"}))
    assert cases_of(suite)[0][1] == "step 1: x ***"


@given(st.text(), st.text(), st.text())
def test_any_text_gives_a_valid_report(name, message, command):
    cases = Cases(1, 1, failed=(Case(name, "failure", message, message, 1),))
    report(replace(STEP, id=name, command=command, cases=cases), replace(STEP, tail=(message,)))


def test_a_record_has_no_case_that_passed():
    event = step_ended_event(replace(STEP, cases=CASES))
    assert "every" not in event["cases"]
    assert [case["name"] for case in event["cases"]["failed"]] == ["a.T.bad", "a.T.err"]
