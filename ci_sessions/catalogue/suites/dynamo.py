"""The graph capture front end: its own tests, CPython's under it, and PyTorch's wrapped in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.plan.builders import (
    UPLOAD,
    assert_clean,
    command,
    install,
    install_torchvision,
    replaces,
    run_test,
)

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Step, Test

EINOPS_VERSIONS = ("0.5.0", "0.6.1", "0.7.0", "0.8.1", "0.8.2")
NOT_WRAPPED = (
    "--exclude-inductor-tests",
    "--exclude-jit-executor",
    "--exclude-distributed-tests",
    "--exclude-torch-export-tests",
    "--exclude-aot-dispatch-tests",
    "--exclude-quantization-tests",
)


def core(job: Job, checkout: Checkout) -> list[Test]:
    """Dynamo's own tests."""
    test = run_test("--include-dynamo-core-tests", "--verbose", UPLOAD)
    return [replaces("test_dynamo_core", test, assert_clean(job, checkout))]


def cpython(job: Job, checkout: Checkout) -> list[Test]:
    """CPython's tests under dynamo: all of them, so target determination is off."""
    test = run_test("--include-cpython-tests", "--dynamo", "--verbose", UPLOAD, env={"NO_TD": "1"})
    return [replaces("test_dynamo_cpython", test, assert_clean(job, checkout))]


def wrapped(job: Job, checkout: Checkout) -> list[Test]:
    """One shard of PyTorch's Python tests, each compiled by dynamo."""
    shard = ("--shard", str(job.shard.number), str(job.shard.total))
    return [
        replaces(
            "test_dynamo_wrapped_shard",
            install_torchvision(job),
            command("python", "tools/dynamo/verify_dynamo.py"),
            run_test("--dynamo", *NOT_WRAPPED, *shard, "--verbose", UPLOAD),
            assert_clean(job, checkout),
        )
    ]


def einops(job: Job, checkout: Checkout) -> list[Test]:
    """The einops tests with each version that users have."""
    steps: list[Step] = []
    for version in EINOPS_VERSIONS:
        steps.append(install("pip", "install", f"einops=={version}"))
        steps.append(run_test("--einops", "--verbose", UPLOAD))
    return [replaces("test_einops", steps, assert_clean(job, checkout))]
