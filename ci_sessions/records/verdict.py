"""How plan and script of a job compare: codes that parity decides and records keep."""

from __future__ import annotations

import enum

__all__ = ["JobVerdict"]


class JobVerdict(str, enum.Enum):
    """How a job came out; the values are codes for JSON and records."""

    EQUAL = "equal"
    ACCEPTED = "accepted"  # equal but for accepted differences
    DIFFERENT = "different"
    UNTRACEABLE = "untraceable"
    NO_PLAN = "no-plan"
    OTHER_SCRIPT = "other-script"  # CI does not run test.sh for it
    ERROR = "error"  # the comparison itself failed

    def __str__(self) -> str:
        return self.value

    @property
    def is_clean(self) -> bool:
        """Tell whether plan and script do the same, as far as anybody minds."""
        return self in (JobVerdict.EQUAL, JobVerdict.ACCEPTED)

    @property
    def is_bad(self) -> bool:
        """Tell whether such a job may not move to Python."""
        return not self.is_clean and self is not JobVerdict.OTHER_SCRIPT
