"""The verdict of comparing a job's plan with the script, shared by parity and records."""

from __future__ import annotations

from ci_sessions.text import StrEnum

__all__ = ["JobVerdict"]


class JobVerdict(StrEnum):
    """The result of comparing a job's plan with the script; the values are codes."""

    EQUAL = "equal"
    ACCEPTED = "accepted"  # equal except for accepted differences
    DIFFERENT = "different"
    UNTRACEABLE = "untraceable"
    UNKNOWN = "unknown"  # the script reads a value that is known only at run time
    NEW = "new"  # between two revisions: only the later one has the job
    GONE = "gone"  # only the earlier one has it
    NO_PLAN = "no-plan"
    OTHER_SCRIPT = "other-script"  # CI does not run test.sh for it
    ERROR = "error"  # the comparison itself failed

    @property
    def is_success(self) -> bool:
        """Whether plan and script are equal, or differ only in accepted ways."""
        return self in (JobVerdict.EQUAL, JobVerdict.ACCEPTED)

    @property
    def is_failure(self) -> bool:
        """Whether the job must not move to Python."""
        return not self.is_success and self is not JobVerdict.OTHER_SCRIPT
