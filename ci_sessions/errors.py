"""Every error of this package: one class a cause, with its exit code and a stable reference.

Nothing of ours is imported here, so that any module can raise without knowing the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CheckoutError",
    "CiSessionsError",
    "HardwareError",
    "InputError",
    "InternalError",
    "MissingToolError",
    "NoTestError",
    "RecordError",
    "RolloutError",
    "UndividedError",
    "UnknownConfigError",
]


class CiSessionsError(Exception):
    """Base of all: a message that names the value and the next act.

    ``exit_code`` is what a command line ends with; ``reference`` is a stable kebab-case name that
    logs, records and searches can rely on.
    """

    exit_code: ClassVar[int] = 70
    reference: ClassVar[str] = "internal"

    def __str__(self) -> str:
        return f"{super().__str__()} [{self.reference}]"


class InputError(CiSessionsError):
    """What was asked for cannot be: each fault names a value, the rule, and what to type."""

    exit_code = 2
    reference = "bad-input"

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults: Sequence[str] = faults

    def __str__(self) -> str:
        if len(self.faults) == 1:
            return f"{self.faults[0]} [{self.reference}]"
        lines = "".join(f"\n  {number}. {fault}" for number, fault in enumerate(self.faults, 1))
        return f"{len(self.faults)} errors in the input: [{self.reference}]{lines}"


class UnknownConfigError(InputError):
    """No row of the table is meant for this TEST_CONFIG."""

    reference = "unknown-config"


class UndividedError(InputError):
    """A configuration that test.sh knows for undivided jobs only was given several shards."""

    reference = "undivided-config"


class NoTestError(InputError):
    """The plan has no test to run, so a green result would mean nothing."""

    reference = "no-test"


class CheckoutError(CiSessionsError):
    """There is no PyTorch tree where one was named, or a file that it must have is missing."""

    exit_code = 2
    reference = "bad-checkout"


class HardwareError(CiSessionsError):
    """The job needs a device that this machine lacks."""

    exit_code = 2
    reference = "missing-device"


class MissingToolError(CiSessionsError):
    """A program that a step names is not on this machine."""

    exit_code = 2
    reference = "missing-tool"


class RolloutError(InputError):
    """The file that says which jobs run in Python cannot be read."""

    reference = "bad-rollout"


class RecordError(CiSessionsError):
    """A record cannot be read or written."""

    exit_code = 2
    reference = "bad-record"


class InternalError(CiSessionsError):
    """A fault of the runner itself, never of a test."""
