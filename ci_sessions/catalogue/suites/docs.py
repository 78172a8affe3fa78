"""The documentation: its build script and its examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue.commands import run_test
from ci_sessions.plan.builders import added, command, replaces

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft


def docs_test(job: Job, checkout: Checkout) -> list[Draft]:
    """The checkout's docs-test.sh, then the docstring examples."""
    return [
        replaces("test_docs_test", command("$SCRIPTS/docs-test.sh"), name="test_docs"),
        added("test_tutorials", run_test("--include", "doctests", "--verbose")),
    ]
