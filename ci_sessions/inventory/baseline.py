"""Accepted findings of an audit: which, why, since when, and how many files each job ran then.

They are read from a TOML file, which ``audit --write-baseline`` writes for the first time::

    format = 1
    [[accepted]]
    kind = "unrun"                  # or empty, incomplete, repeated, refused
    what = "test_bundled_images"    # the finding's name as printed; * is a wildcard
    why = "needs a server"
    since = 2026-11-28
    [files]                         # test files of each configuration
    default = 420

A finding that no entry accepts is new. So is a configuration that runs fewer files than it did, or
many more.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ci_sessions.errors import InputError
from ci_sessions.inventory.audit import KINDS
from ci_sessions.toml import Fields, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ci_sessions.inventory.audit import Audit, Finding

__all__ = ["Accepted", "Baseline", "Change", "read_baseline", "write_baseline"]

FORMAT = 1
_GROWTH, _MARGIN = 1.25, 2  # a configuration may run a quarter more files, or two


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """One entry. ``what`` is a pattern of names of findings."""

    kind: str
    what: str
    why: str
    since: dt.date

    def covers(self, finding: Finding) -> bool:
        """Return whether the entry accepts a finding."""
        is_same = self.what == finding.name or fnmatchcase(finding.name, self.what)
        return self.kind == finding.kind and is_same


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A configuration whose number of test files changed by more than new tests explain."""

    config: str
    before: int
    now: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """The entries, and the number of test files of each configuration when it was written."""

    accepted: tuple[Accepted, ...] = ()
    files: Mapping[str, int]

    def entry_for(self, finding: Finding) -> Accepted | None:
        """Return the entry that accepts a finding, or None if it is new."""
        return next((entry for entry in self.accepted if entry.covers(finding)), None)

    def unused(self, audit: Audit) -> list[Accepted]:
        """Return the entries that accept nothing any more."""
        found = [*audit.findings]
        return [entry for entry in self.accepted if not any(map(entry.covers, found))]

    def changes(self, files: Mapping[str, int]) -> list[Change]:
        """Return the configurations that run fewer files than before, or many more."""
        return [
            Change(config=config, before=before, now=files.get(config, 0))
            for config, before in self.files.items()
            if not before <= files.get(config, 0) <= max(before * _GROWTH, before + _MARGIN)
        ]


def read_baseline(path: Path) -> Baseline:
    """Read a file. Raises InputError with all of its errors."""
    file = read_toml(path, "", format_version=FORMAT)
    problems: list[str] = []
    top = Fields(file.data, problems)
    top.only("format", "accepted", "files")
    entries = tuple(_parse(entry) for entry in top.tables("accepted"))
    table = top.table("files")
    files = {name: table.integer(name, 0, 1_000_000) for name in table.data}
    if problems:
        raise InputError(*(f"{file.name}: {problem}" for problem in problems))
    return Baseline(accepted=entries, files=files)


def _parse(entry: Fields) -> Accepted:
    entry.only("kind", "what", "why", "since")
    since = entry.data.get("since")
    if not isinstance(since, dt.date) or isinstance(since, dt.datetime):
        entry.report("since", "a date such as 2026-11-28")
        since = dt.date.max
    return Accepted(
        kind=entry.choice("kind", KINDS),
        what=entry.string("what"),
        why=entry.string("why"),
        since=since,
    )


def write_baseline(audit: Audit, files: Mapping[str, int], today: dt.date) -> str:
    """Return the text of a baseline that accepts all findings, each with its own text as reason."""
    return "\n".join([f"format = {FORMAT}", *_entries(audit, today), "", "[files]", *_files(files)])


def _entries(audit: Audit, today: dt.date) -> Iterator[str]:
    for finding in audit.findings:
        yield ""
        yield "[[accepted]]"
        yield f"kind = {json.dumps(finding.kind)}"
        yield f"what = {_string(finding.name)}"
        yield f"why = {_string(finding.text)}"
        yield f"since = {today.isoformat()}"


def _files(files: Mapping[str, int]) -> Iterator[str]:
    yield from (f"{_string(config)} = {number}" for config, number in files.items())
    yield ""


def _string(text: str) -> str:
    """Return a basic string of TOML, which has the escapes of JSON."""
    return json.dumps(text).replace("\x7f", "\\u007f")
