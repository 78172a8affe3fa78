"""Determines a step's outcome from its exit code, its output, or the state of the checkout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_sessions.plan.step import Expect
from ci_sessions.records.record import Outcome
from ci_sessions.run.process import Reason
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_sessions.plan.step import Policy
    from ci_sessions.run.process import ProcessResult

__all__ = ["judge_step", "needs_output"]

_UNTRACKED_THIRD_PARTY = "?? third_party"
_STATUS_LINE = re.compile(r"[ MTADRCU?!m]{2} ")  # of ``git status --porcelain``


def needs_output(policy: Policy) -> bool:
    """Return whether a step's outcome depends on its output."""
    is_checked = policy.required_output is not None or policy.judge is not None
    return is_checked or policy.expect in (Expect.CLEAN_CHECKOUT, Expect.NO_OUTPUT)


def judge_step(
    policy: Policy,
    result: ProcessResult,
    output: str,
    *,
    dirty_before: frozenset[str] | None,
    render: Callable[[str], str],
) -> tuple[Outcome, str]:
    """Return the outcome of a step, and a note if the exit code alone does not explain it.

    ``dirty_before`` has the lines of ``git status`` from before the run, or is None if git failed;
    ``render`` turns a template into plain text.
    """
    match result.reason:
        case Reason.SIGNAL:
            return Outcome.INTERRUPTED, f"terminated by a signal after {result.wall:.0f} s"
        case Reason.TIMEOUT:
            return Outcome.TIMED_OUT, f"terminated after {result.wall:.0f} s: time limit exceeded"
        case Reason.NOT_FOUND if policy.expect is not Expect.ANYTHING:
            return Outcome.FAILED, f"could not be started: {output.strip()}"
    if policy.expect is Expect.CLEAN_CHECKOUT:
        return _check_clean(result.code, output, dirty_before)
    problem = _find_problem(policy, result.code, output, render)
    left_behind = ""
    if result.left_behind:
        number = count(result.left_behind, "process", "processes")
        left_behind = f"terminated {number} that the step left running"
    if problem is None:
        return Outcome.PASSED, left_behind
    return Outcome.FAILED, problem or left_behind


def _find_problem(
    policy: Policy, code: int, output: str, render: Callable[[str], str]
) -> str | None:
    """Return why a step failed, empty if its exit code says so, or None if it passed."""
    match policy.expect:
        case Expect.FAILURE:
            required = render(policy.required_output) if policy.required_output else ""
            return _check_failure(code, output, required)
        case Expect.NO_OUTPUT if output.strip() or code:
            return f"expected no output, but got:\n{output.rstrip()}"
        case Expect.SUCCESS if code:
            return ""
    return None


def _check_failure(code: int, output: str, required: str) -> str | None:
    if code == 0:
        return "expected to fail, but passed"
    if required in output:
        return None
    return f"failed as expected, but without {required!r} in its output"


def _check_clean(
    code: int, output: str, dirty_before: frozenset[str] | None
) -> tuple[Outcome, str]:
    if code and dirty_before is None:  # test.sh takes this as clean
        reason = output.strip().partition("\n")[0]
        return Outcome.SKIPPED, f"not checked, because git failed: {reason}"
    if code:
        return Outcome.FAILED, f"git worked before the tests, but failed now:\n{output.rstrip()}"
    changes = [line for line in output.splitlines() if _STATUS_LINE.match(line)]  # no warnings
    new = [line for line in changes if line not in (dirty_before or ())]
    dirty = [line for line in new if _UNTRACKED_THIRD_PARTY not in line]
    if dirty:
        return Outcome.FAILED, "\n".join(["the checkout was left dirty:", *dirty])
    return Outcome.PASSED, ""
