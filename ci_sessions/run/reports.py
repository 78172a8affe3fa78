"""Reads the JUnit reports that test steps write, without trusting them.

Only regular files in the reports folder are opened, never through a symbolic link. There are limits
on their number and size, on the number of cases and on the time. Reports with a document type,
which may define entities, are rejected. A report never changes the result of its step.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from xml.parsers import expat

from ci_sessions import clock
from ci_sessions.checkout.files import open_regular
from ci_sessions.records.record import Case
from ci_sessions.run.case_scanner import find_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["FOLDER", "Limits", "Report", "ReportReader", "find_reports"]

FOLDER = "test/test-reports"
_WRITERS = ("python-unittest", "python-pytest")  # folders with a folder for each test file
_BAD = ("failure", "error")
_PIECE = 65536
_DEEPEST = 12  # folders below FOLDER
_LONGEST_NAME = 500  # characters
_LONGEST_CASE = 1e7  # seconds
_LONGEST_MESSAGE = 4000  # characters of a message, its end


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for reading reports: folder entries, bytes per file and in total, cases, seconds."""

    entries: int = 20_000
    file_bytes: int = 64 << 20
    all_bytes: int = 256 << 20
    cases: int = 200_000
    seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Report:
    """A file below the reports' folder, and when it was last written (ns)."""

    path: Path
    written: int


class _RejectedError(Exception):
    """A report is not read. The message is the reason."""


def find_reports(root: Path, limits: Limits = Limits()) -> dict[Path, int]:
    """Return the reports in ``root/test/test-reports``, with their modification times (ns)."""
    until = clock.monotonic() + limits.seconds
    folder = root
    for name in FOLDER.split("/"):
        folder /= name
        if folder.is_symlink():
            return {}
    found: dict[Path, int] = {}
    for number, entry in enumerate(_files(str(folder), _DEEPEST)):
        if number >= limits.entries or clock.monotonic() > until:
            break
        if entry.name.endswith(".xml"):
            with suppress(OSError):
                found[root / entry.path] = entry.stat(follow_symlinks=False).st_mtime_ns
    return found


def _files(folder: str, depth: int) -> Iterator[os.DirEntry[str]]:
    """Yield the regular files in a folder and its subfolders, without following links."""
    try:
        entries = os.scandir(folder)
    except OSError:
        return
    with entries:
        for entry in entries:
            try:
                is_folder = entry.is_dir(follow_symlinks=False)
                is_file = entry.is_file(follow_symlinks=False)
            except OSError:
                continue
            if is_folder and depth:
                yield from _files(entry.path, depth - 1)
            elif is_file:
                yield entry


@dataclass(slots=True)
class ReportReader:
    """Reads reports; the limits apply to all of them together.

    ``results`` maps each case, as (folder of its report, name), to its last result: ``passed``,
    ``skipped``, ``failure`` or ``error``, and ``seconds`` to how long that took. ``rejected`` has
    the reports that were not read, and why.
    """

    limits: Limits = field(default_factory=Limits)
    results: dict[tuple[str, str], str] = field(default_factory=dict)
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    failed: dict[tuple[str, str], Case] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)
    _bytes: int = 0
    _until: float = 0.0

    def read(self, reports: Mapping[Path, int]) -> None:
        """Read reports, oldest first, so that the last run of a case counts."""
        self._until = clock.monotonic() + self.limits.seconds
        for path in sorted(reports, key=lambda path: (reports[path], str(path))):
            try:
                self._read_one(path)
            except _RejectedError as error:
                self.rejected.append(f"{path.name}: {error}")
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                self.rejected.append(f"{path.name}: {reason}")

    def _read_one(self, path: Path) -> None:
        with open_regular(path, follow_links=False) as file:
            size = os.fstat(file.fileno()).st_size
            if size > self.limits.file_bytes or self._bytes + size > self.limits.all_bytes:
                raise _RejectedError(f"{size:,} bytes are more than is read")
            self._bytes += size
            cases = _CaseParser(self.limits.cases - len(self.results))
            left = size
            while left > 0:  # the file may be growing
                if clock.monotonic() > self._until:
                    raise _RejectedError("reading took too long")
                piece = file.read(min(_PIECE, left))
                left = left - len(piece) if piece else 0
                cases.feed(piece, is_last=left <= 0)
        test_file = path.parent.name if path.parent.parent.name in _WRITERS else ""
        for name, case in cases.results.items():
            key = (str(path.parent), name)
            self.results[key] = case.fault
            self.seconds[key] = cases.seconds[name]
            self.failed.pop(key, None)
            if case.fault in _BAD:
                self.failed[key] = replace(case, test_file=test_file)


class _CaseParser:
    """Parses one report piece by piece. ``results`` maps names to cases, also those that passed."""

    def __init__(self, most: int) -> None:
        self.results: dict[str, Case] = {}
        self.seconds: dict[str, float] = {}
        self._most = most
        self._time = 0.0
        self._name: str | None = None
        self._result, self._message, self._place = "passed", "", ("", 0)
        self._text: list[str] | None = None
        self._length = 0
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        self._parser = parser

    def feed(self, data: bytes, *, is_last: bool) -> None:
        try:
            self._parser.Parse(data, is_last)
        except (expat.ExpatError, LookupError) as error:  # LookupError: an unknown encoding
            raise _RejectedError(f"is not XML: {error}") from error

    def _doctype(self, *_: object) -> None:
        raise _RejectedError("has a document type")

    def _start(self, tag: str, given: Mapping[str, str]) -> None:
        if tag == "testcase":
            self._name, self._time = _name(given), _seconds(given.get("time", ""))
            self._result, self._message, self._place = "passed", "", ("", 0)
        elif self._name is not None and tag in _BAD:
            if self._result not in _BAD:
                self._result = tag
                self._message = given.get("message", "")[-_LONGEST_MESSAGE:]
                self._text = []
        # unittest-xml-reporting writes an expected failure, which is a success, as skipped.
        elif self._name is not None and tag == "skipped" and given.get("type") != "XFAIL":
            self._result = "skipped" if self._result == "passed" else self._result

    def _characters(self, text: str) -> None:
        if self._text is None:
            return
        self._text.append(text)
        self._length += len(text)
        if self._length > 2 * _LONGEST_MESSAGE:
            self._keep_end()

    def _keep_end(self) -> None:
        self._text = ["".join(self._text or ())[-_LONGEST_MESSAGE:]]
        self._length = len(self._text[0])

    def _end(self, tag: str) -> None:
        if tag in _BAD and self._text is not None:
            text = "".join(self._text)
            self._message, self._place = self._message or text, find_frame(text)
            self._text, self._length = None, 0
        elif tag == "testcase" and self._name is not None:
            if self._name not in self.results and len(self.results) >= self._most:
                raise _RejectedError("more cases than are read")
            message = _last_line(self._message)
            self.results[self._name] = Case(self._name, self._result, message, *self._place)
            self.seconds[self._name] = self._time
            self._name, self._text = None, None


def _name(given: Mapping[str, str]) -> str:
    name = f"{given.get('classname', '')}.{given.get('name', '')}".strip(".")
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def _seconds(text: str) -> float:
    """Return the time of a case, or 0 if it is not one."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < _LONGEST_CASE else 0.0


def _last_line(text: str) -> str:
    """Return the last line of a message that is not blank, usually the most informative one."""
    return text[-_LONGEST_MESSAGE:].rstrip().rpartition("\n")[2].strip()
