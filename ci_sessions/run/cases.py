"""A step's test cases, from the JUnit XML that run_test.py writes, or from the step's output."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ci_sessions.log import logger
from ci_sessions.records.record import Case, Cases
from ci_sessions.run.reports import FOLDER, Limits, ReportReader, find_reports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_sessions.text import Redactor

__all__ = ["CaseScanner", "read_cases", "redact_cases"]

_MAX_FAILED = 500  # failed cases in a record
_MAX_LINE = 4000  # characters of a line of output that are scanned
_MAX_MESSAGE = 300  # characters of a message in a record, after redaction

_UNITTEST = re.compile(r"(ERROR|FAIL): (?:test )?(\S+) \((\S+)\)")


def read_cases(
    root: Path,
    before: Mapping[Path, int],
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Cases | None:
    """Read the reports written since ``find_reports`` returned ``before``; None if there are none.

    A case that was rerun counts once, with its last result. There is a warning about reports that
    cannot be read, for example because their writer was killed.
    """
    now = find_reports(root, limits)
    new = {path: written for path, written in now.items() if before.get(path) != written}
    reader = ReportReader(limits)
    reader.read(new)
    if reader.rejected:
        logger.warning(
            "%d of %d reports in %s were not read, such as %s",
            *(len(reader.rejected), len(new), FOLDER, reader.rejected[0]),
        )
    if not reader.results:
        return None
    results = list(reader.results.values())
    parents = {path.parent.relative_to(root) for path in new}
    return Cases(
        total=len(results),
        failures=results.count("failure"),
        errors=results.count("error"),
        skipped=results.count("skipped"),
        failed=tuple(list(reader.failed.values())[:_MAX_FAILED]),
        source=str(parents.pop()) if len(parents) == 1 else FOLDER,
    )


def redact_cases(cases: Cases | None, redact: Redactor) -> Cases | None:
    """Redact secrets in the failed cases, and shorten their messages for the record."""
    if cases is None:
        return None
    failed = tuple(
        replace(
            case,
            name=redact(case.name),
            message=redact(case.message)[:_MAX_MESSAGE],  # redact first: a cut secret is not found
        )
        for case in cases.failed
    )
    return replace(cases, failed=failed)


class CaseScanner:
    """Collects the failed cases that unittest and pytest print.

    For checkouts whose run_test.py only writes XML in CI. It finds the cases that failed, but not
    the total number. Only the start of a very long line is scanned.
    """

    def __init__(self) -> None:
        self._failed: dict[str, Case] = {}
        self._rest = ""

    def feed(self, text: str) -> None:
        """Process a piece of output."""
        start = 0
        while (end := text.find("\n", start)) >= 0:
            line = self._rest + text[start : min(end, start + _MAX_LINE)]
            if line.startswith(("ERROR", "FAIL")):
                self._line(line[:_MAX_LINE])
            self._rest, start = "", end + 1
        if len(self._rest) < _MAX_LINE:
            self._rest += text[start : start + _MAX_LINE]

    def _line(self, line: str) -> None:
        if match := _UNITTEST.match(line):
            # Python 3.11 and later also print the case's name in the parentheses.
            name = match[3] if match[3].endswith(f".{match[2]}") else f"{match[3]}.{match[2]}"
            self._add(name, match[1], "")
            return
        word, _, rest = line.partition(" ")
        name, _, message = rest.partition(" - ")
        if word in ("ERROR", "FAILED") and "::" in name and " " not in name:
            self._add(name, word, message)

    def _add(self, name: str, word: str, message: str) -> None:
        if len(self._failed) < _MAX_FAILED:
            fault = "error" if word == "ERROR" else "failure"
            self._failed[name] = Case(name, fault, message)

    def cases(self) -> Cases | None:
        """Return the failed cases that were found, or None."""
        if not self._failed:
            return None
        failed = tuple(self._failed.values())
        errors = sum(case.fault == "error" for case in failed)
        return Cases(
            failures=len(failed) - errors, errors=errors, failed=failed, source="the output"
        )
