"""Accepted differences: where a plan differs from the script on purpose, why, and until when.

They are read from a TOML file with one table per entry::

    format = 1
    [[difference]]
    what = "rm -f xla/torch_patches/.torch_pin"   # the plan's or script's command; * is a wildcard
    jobs = "xla, *"                               # the job's name as in reports
    why = "the file may not exist; the script ignores that too"
    until = 2027-06-30                            # or a version: "2.16"

``what = "env VALGRIND"`` names one variable, whichever commands have it.

An expired entry is an error, and so is one that no job needs any more.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, get_args

from packaging.version import Version

from ci_sessions.errors import InputError
from ci_sessions.parity.compare import STREAMS, Field
from ci_sessions.toml import Fields, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_sessions.parity.compare import Difference

__all__ = ["AcceptedDifference", "expired", "read_accepted"]

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedDifference:
    """One entry. ``what`` and ``jobs`` are patterns; empty ``stream`` and ``field`` match any.

    ``until`` is the last day on which it is valid, or the first version for which it is not.
    """

    what: str
    jobs: str
    why: str
    until: dt.date | Version
    stream: str = ""
    field: str = ""

    def covers(self, job: str, difference: Difference) -> bool:
        """Return whether the entry accepts a difference of the job with that name."""
        return (
            fnmatchcase(job, self.jobs)
            and self.stream in ("", difference.stream)
            and self.field in ("", difference.field)
            and any(_matches(self.what, text) for text in _names(difference))
        )


def _names(difference: Difference) -> Iterator[str]:
    """Yield what an entry may name: the commands, and ``env NAME`` for a variable."""
    for command in (difference.script, difference.plan):
        if command is not None:
            yield " ".join(command.argv)
    if difference.variable:
        yield f"env {difference.variable}"


def _matches(pattern: str, text: str) -> bool:
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(expression, text, re.DOTALL) is not None


def expired(entry: AcceptedDifference, today: dt.date, version: str) -> str | None:
    """Return why an entry is no longer valid, or None. ``version`` is the checkout's."""
    if isinstance(entry.until, Version):
        try:
            is_over = bool(version) and Version(Version(version).base_version) >= entry.until
        except ValueError:  # no version, or more digits than Python reads
            is_over = False
        reason = f"it is valid before version {entry.until}, but this is {version}"
        return reason if is_over else None
    return f"it was valid until {entry.until}" if today > entry.until else None


def read_accepted(path: Path | None = None) -> tuple[AcceptedDifference, ...]:
    """Read a file, by default the built-in one. Raises InputError with all of its errors."""
    file = read_toml(path, "accepted.toml", format_version=FORMAT)
    problems: list[str] = []
    top = Fields(file.data, problems)
    top.only("format", "difference")
    entries = [_parse(entry) for entry in top.tables("difference")]
    if problems:
        raise InputError(*(f"{file.name}: {problem}" for problem in problems))
    return tuple(entries)


def _parse(entry: Fields) -> AcceptedDifference:
    entry.only("what", "jobs", "why", "stream", "field", "until")
    return AcceptedDifference(
        what=entry.string("what"),
        jobs=entry.string("jobs"),
        why=entry.string("why"),
        stream=entry.choice("stream", STREAMS, ""),
        field=entry.choice("field", get_args(Field), ""),
        until=_parse_until(entry),
    )


def _parse_until(entry: Fields) -> dt.date | Version:
    until = entry.data.get("until")
    if isinstance(until, dt.date) and not isinstance(until, dt.datetime):
        return until
    try:
        return Version(until if isinstance(until, str) else "")
    except ValueError:
        entry.report("until", "a date such as 2027-06-30, or a version such as '2.16'")
        return dt.date.max
