"""The exceptions of this package: one class per cause, with an exit code and a stable reference.

Imports nothing from this package, so that every module can raise them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CheckoutError",
    "CheckoutInUseError",
    "CiSessionsError",
    "HardwareError",
    "InputError",
    "InternalError",
    "MissingToolError",
    "NoTestsError",
    "NotShardedError",
    "RecordError",
    "RolloutError",
    "UnknownConfigError",
]


class CiSessionsError(Exception):
    """Base class. Messages name the value that is wrong and what to do about it.

    ``exit_code`` is the exit code of the process; ``reference`` is a stable kebab-case name for
    logs, records and searches.
    """

    exit_code: ClassVar[int] = 70
    reference: ClassVar[str] = "internal"

    def __str__(self) -> str:
        return f"{super().__str__()} [{self.reference}]"


class InputError(CiSessionsError):
    """The input is invalid. Each problem names the value, the rule, and what to use instead."""

    exit_code = 2
    reference = "bad-input"

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems: Sequence[str] = problems

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.problems[0]} [{self.reference}]"
        lines = "".join(f"\n  {number}. {one}" for number, one in enumerate(self.problems, 1))
        return f"{len(self.problems)} errors in the input: [{self.reference}]{lines}"


class UnknownConfigError(InputError):
    """The table has no row for this TEST_CONFIG."""

    reference = "unknown-config"


class NotShardedError(InputError):
    """A configuration that test.sh does not shard was given several shards."""

    reference = "undivided-config"


class NoTestsError(InputError):
    """The plan has no test to run, so a green result would mean nothing."""

    reference = "no-test"


class CheckoutError(CiSessionsError):
    """The PyTorch checkout is missing, or lacks a file that it must have."""

    exit_code = 2
    reference = "bad-checkout"


class CheckoutInUseError(CiSessionsError):
    """Another run uses the checkout."""

    exit_code = 2
    reference = "checkout-in-use"


class HardwareError(CiSessionsError):
    """The job needs a device that this machine does not have."""

    exit_code = 2
    reference = "missing-device"


class MissingToolError(CiSessionsError):
    """A program that a step runs is not installed."""

    exit_code = 2
    reference = "missing-tool"


class RolloutError(InputError):
    """The rollout file, which says which jobs run in Python, cannot be read."""

    reference = "bad-rollout"


class RecordError(CiSessionsError):
    """A record cannot be read or written."""

    exit_code = 2
    reference = "bad-record"


class InternalError(CiSessionsError):
    """The runner itself failed, not a test."""
