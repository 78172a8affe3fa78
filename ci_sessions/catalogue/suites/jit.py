"""TorchScript: the legacy executor and its fuser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue.commands import assert_clean, run_test
from ci_sessions.plan.builders import added, replaces

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft


def jit_legacy(job: Job, checkout: Checkout) -> list[Draft]:
    """The JIT tests with the default executor, then those of the legacy executor."""
    legacy = ("test_jit_legacy", "test_jit_fuser_legacy")
    return [
        added("test_jit", run_test("--include", "test_jit", "--verbose")),
        replaces(
            "test_python_legacy_jit",
            run_test("--include", *legacy, "--verbose"),
            assert_clean(job, checkout),
            name="test_jit_legacy",
        ),
    ]
