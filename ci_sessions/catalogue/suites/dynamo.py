"""Dynamo, the graph capture front end: its own tests, and CPython's and PyTorch's run under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue.commands import (
    assert_clean,
    install_torchvision,
    run_test,
    shard_args,
    upload_args,
)
from ci_sessions.checkout.features import Feature
from ci_sessions.job.variables import NO_TD
from ci_sessions.plan.builders import command, install, replaces

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft
    from ci_sessions.plan.step import Step

EINOPS_VERSIONS = ("0.5.0", "0.6.1", "0.7.0", "0.8.1", "0.8.2")
_NOT_WRAPPED = (
    "--exclude-inductor-tests",
    "--exclude-jit-executor",
    "--exclude-distributed-tests",
    "--exclude-torch-export-tests",
    "--exclude-aot-dispatch-tests",
)


def _not_wrapped(checkout: Checkout) -> tuple[str, ...]:
    quantization = ("--exclude-quantization-tests",)
    return (*_NOT_WRAPPED, *(quantization if checkout.has(Feature.QUANTIZATION_OPTION) else ()))


def core(job: Job, checkout: Checkout) -> list[Draft]:
    """Dynamo's own tests."""
    test = run_test("--include-dynamo-core-tests", "--verbose", *upload_args(checkout))
    return [replaces("test_dynamo_core", test, assert_clean(job, checkout))]


def cpython(job: Job, checkout: Checkout) -> list[Draft]:
    """CPython's tests under dynamo, all of them: target determination is off."""
    test = run_test(
        "--include-cpython-tests",
        "--dynamo",
        "--verbose",
        *upload_args(checkout),
        env={NO_TD.name: "1"},
    )
    return [replaces("test_dynamo_cpython", test, assert_clean(job, checkout))]


def wrapped(job: Job, checkout: Checkout) -> list[Draft]:
    """One shard of PyTorch's Python tests, each compiled with dynamo."""
    shard = shard_args(job)
    return [
        replaces(
            "test_dynamo_wrapped_shard",
            install_torchvision(job),
            command("python", "tools/dynamo/verify_dynamo.py"),
            run_test(
                "--dynamo", *_not_wrapped(checkout), *shard, "--verbose", *upload_args(checkout)
            ),
            assert_clean(job, checkout),
        )
    ]


def einops(job: Job, checkout: Checkout) -> list[Draft]:
    """The einops tests with each einops version in use."""
    steps: list[Step] = []
    for version in EINOPS_VERSIONS:
        steps.append(install("pip", "install", f"einops=={version}"))
        steps.append(run_test("--einops", "--verbose", *upload_args(checkout)))
    return [replaces("test_einops", steps, assert_clean(job, checkout))]
