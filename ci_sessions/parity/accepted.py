"""Accepted differences: where the plan departs from the script on purpose, why, and until when.

A file in TOML, a table an entry::

    format = 1
    [[difference]]
    what = "rm -f xla/torch_patches/.torch_pin"   # the plan's words, or the script's; * is anything
    jobs = "xla, *"                               # the job's name as a report prints it
    why = "the file may be gone; the script ignores that too"
    until = 2027-06-30                            # or a version: "2.16"

An entry past its time fails, and so does one that no job has any more.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from ci_sessions.errors import InputError
from ci_sessions.parity.compare import STREAMS
from ci_sessions.toml import read_toml

if TYPE_CHECKING:
    from pathlib import Path

    from ci_sessions.parity.compare import Difference
    from ci_sessions.parity.recording import Command

__all__ = ["AcceptedDifference", "expired", "read_accepted"]

FORMAT = 1
_KEYS = {"what": str, "jobs": str, "why": str, "stream": str, "field": str}


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedDifference:
    """One departure. ``what`` and ``jobs`` are patterns; empty ``stream`` and ``field`` fit all.

    ``until`` is the last day on which it holds, or the first version on which it does not.
    """

    what: str
    jobs: str
    why: str
    until: dt.date | Version
    stream: str = ""
    field: str = ""

    def covers(self, job: str, difference: Difference) -> bool:
        """Tell whether it explains a difference of the job with that name."""
        return (
            fnmatchcase(job, self.jobs)
            and self.stream in ("", difference.stream)
            and self.field in ("", difference.field)
            and any(_fits(self.what, command) for command in (difference.script, difference.plan))
        )


def _fits(pattern: str, command: Command | None) -> bool:
    if command is None:
        return False
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(expression, " ".join(command.argv), re.DOTALL) is not None


def expired(entry: AcceptedDifference, today: dt.date, version: str) -> str | None:
    """Return why an entry does not hold any more, or None. ``version`` is the checkout's."""
    if isinstance(entry.until, Version):
        try:
            is_over = bool(version) and Version(Version(version).base_version) >= entry.until
        except InvalidVersion:
            is_over = False
        return f"it holds before version {entry.until}, and this is {version}" if is_over else None
    return f"it held until {entry.until}" if today > entry.until else None


def read_accepted(path: Path | None = None) -> tuple[AcceptedDifference, ...]:
    """Read a file, or the one that is shipped. Raises InputError with all that is wrong."""
    file = read_toml(path, "accepted.toml", format_version=FORMAT)
    faults: list[str] = []
    entries = []
    for number, entry in enumerate(file.data.get("difference", ()), 1):
        found = list(_faults(entry))
        faults += [f"{file.name}, difference {number}: {fault}" for fault in found]
        if not found:
            until = entry.pop("until")
            last = Version(until) if isinstance(until, str) else until
            entries.append(AcceptedDifference(until=last, **entry))
    if faults:
        raise InputError(*faults)
    return tuple(entries)


def _faults(entry: dict[str, Any]) -> list[str]:
    faults = [
        f"{key} is {entry.get(key)!r}: give a text."
        for key in ("what", "jobs", "why")
        if not isinstance(entry.get(key), str) or not entry[key].strip()
    ]
    faults += [f"{key} is not known." for key in entry if key not in (*_KEYS, "until")]
    if entry.get("stream", "test") not in STREAMS:
        faults.append(f"stream is {entry['stream']!r}: one of {', '.join(STREAMS)}.")
    until = entry.get("until")
    is_date = isinstance(until, dt.date) and not isinstance(until, dt.datetime)
    if not is_date and not (isinstance(until, str) and _is_version(until)):
        faults.append(
            f"until is {until!r}: give a day such as 2027-06-30, or a version such as '2.16'."
        )
    return faults


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
