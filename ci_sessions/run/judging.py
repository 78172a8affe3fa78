"""What a step's end means: by its exit code, its output, or what it left in the checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.plan.step import Expect
from ci_sessions.records.record import Outcome
from ci_sessions.run.process import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_sessions.plan.step import Policy
    from ci_sessions.run.process import Ended

__all__ = ["judge_step", "needs_output"]

_UNTRACKED_THIRD_PARTY = "?? third_party"


def needs_output(policy: Policy) -> bool:
    """Tell whether a step is judged by what it prints."""
    by_text = policy.required_output is not None or policy.judge is not None
    return by_text or policy.expect in (Expect.CLEAN_CHECKOUT, Expect.NO_OUTPUT)


def judge_step(
    policy: Policy,
    ended: Ended,
    text: str,
    *,
    dirty: frozenset[str],
    render: Callable[[str], str],
) -> tuple[Outcome, str]:
    """Return the outcome of a step, and a note where the exit code does not say it all.

    ``dirty`` are the lines of ``git status`` from before the run; ``render`` gives the plain text
    of a template.
    """
    left = f"{ended.left_behind} processes left behind: ended" if ended.left_behind else ""
    if ended.reason is Reason.TIMEOUT:
        return Outcome.TIMED_OUT, f"ended after {ended.wall:.0f} s, its time limit"
    match policy.expect:
        case Expect.SUCCESS:
            fault = None if ended.code == 0 else ""
        case Expect.ANYTHING:
            fault = None
        case Expect.FAILURE:
            required = policy.required_output
            fault = _of_expected_failure(ended.code, text, render(required) if required else "")
        case Expect.NO_OUTPUT:
            is_good = ended.code == 0 and not text.strip()
            fault = None if is_good else f"not empty:\n{text.rstrip()}"
        case Expect.CLEAN_CHECKOUT:
            fault = _of_checkout(ended.code, text, dirty)
    return (Outcome.PASSED, left) if fault is None else (Outcome.FAILED, fault or left)


def _of_expected_failure(code: int, text: str, required: str) -> str | None:
    if code == 0:
        return "it was expected to fail, and did not"
    if required in text:
        return None
    return f"it failed as expected, but without {required!r} in what it printed"


def _of_checkout(code: int, text: str, dirty: frozenset[str]) -> str | None:
    # Outside a repository git fails, and there is nothing to compare; test.sh sees it so too.
    lines = [line for line in text.splitlines() if line not in dirty] if code == 0 else []
    left = [line for line in lines if _UNTRACKED_THIRD_PARTY not in line]
    return "\n".join(["the checkout was left dirty:", *left]) if left else None
