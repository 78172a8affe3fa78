"""The documentation: its build script, and the examples in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.plan.builders import added, command, replaces, run_test

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Test


def docs_test(job: Job, checkout: Checkout) -> list[Test]:
    """The checkout's docs-test.sh, then the runnable examples of the docstrings."""
    script = f"{checkout.script_folder}/docs-test.sh"
    return [
        replaces("test_docs_test", command(script), name="test_docs"),
        added("test_tutorials", run_test("--include", "doctests", "--verbose")),
    ]
