"""Failed cases of many runs: new ones, and those that are flaky."""

from __future__ import annotations

from ci_sessions.records.query import Summary
from ci_sessions.records.record import Case, Cases, Outcome, RunRecord, StepRecord
from ci_sessions.records.route import Runner
from ci_sessions.report.page.failures import FailedCases


def run(day, *failed, job="j", commit="", passed=False, left_out=0):
    """Return a run, as a summary and as a record."""
    started = f"2026-11-{day:02}T10:00:00.000Z"
    name = f"{started}/{job}/{len(failed)}{passed}{commit}"
    outcome = Outcome.PASSED if passed else Outcome.FAILED
    summary = Summary(
        id=name, config="smoke", job=job, runner=Runner.PYTHON, commit=commit, started=started, outcome=outcome, wall=1.0,
    )  # fmt: skip
    cases = Cases(
        10,
        len(failed) + left_out,
        failed=tuple(Case(one, "failure", f"no {one}") for one in failed),
    )
    step = StepRecord(id="s", test="t", number=1, kind="test", command="x", outcome=outcome, cases=cases)  # fmt: skip
    return summary, RunRecord(id=name, job={}, started=started, outcome=outcome, steps=(step,))


def result(*runs):
    found = FailedCases()
    for summary, record in reversed(runs):
        if not summary.is_pass:
            found.add(summary, record)
    return {case.name: case for case in found.result([summary for summary, _ in runs])}


def test_a_case_is_counted_once_in_each_run_with_its_jobs_and_commits():
    cases = result(run(1, "a", "a"), run(2, "a", job="k", commit="1"), run(3, "b"))
    assert [len(one.failed) for one in cases.values()] == [2, 1]
    assert (cases["a"].jobs, cases["a"].commits, cases["a"].message) == (2, 1, "no a")
    assert [one.started[8:10] for one in cases["a"].failed] == ["01", "02"]


def test_a_case_that_passed_at_the_same_commit_is_flaky():
    cases = result(run(1, "a", commit="1"), run(1, commit="1", passed=True))
    assert len(cases["a"].passed) == 1


def test_another_failure_at_the_same_commit_is_a_run_in_which_it_passed():
    cases = result(run(1, "a", commit="1"), run(1, "b", "c", commit="1"))
    assert len(cases["a"].passed) == len(cases["b"].passed) == 1


def test_a_red_run_whose_failed_cases_are_not_all_known_shows_nothing_about_others():
    cases = result(run(1, "a", commit="1"), run(1, "b", "c", commit="1", left_out=1))
    assert cases["a"].passed == []
    assert len(cases["b"].passed) == 1


def test_a_pass_of_another_job_or_commit_or_without_a_commit_is_none():
    cases = result(
        run(1, "a", commit="1"), run(1, job="k", commit="1", passed=True), run(2, commit="2", passed=True),
        run(3, "b"), run(3, passed=True),
    )  # fmt: skip
    assert cases["a"].passed == cases["b"].passed == []


def test_a_failure_is_new_if_there_were_runs_before_it():
    cases = result(run(1, "old"), run(9, "old"), run(10, "new"))
    assert not cases["old"].is_new
    assert cases["new"].is_new


def test_nothing_is_new_if_all_runs_are():
    assert not result(run(9, "a"), run(10, "b"))["b"].is_new
