"""The test cases of a step: from the JUnit XML that run_test.py writes, or else from its output."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING

from ci_sessions.records.record import Case, Cases

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_sessions.text import Redactor

__all__ = ["CaseScanner", "read_cases", "redacted_cases", "reports_below"]

REPORTS = "test/test-reports"
_MOST = 500  # failed cases kept in a record
_LONGEST = 4000  # characters of a message taken
_KEPT = 300  # characters of a message that a record keeps, after redaction

_UNITTEST = re.compile(r"^(ERROR|FAIL): (?:test )?(\S+) \((\S+)\)")
_PYTEST = re.compile(r"^(ERROR|FAILED) (\S+::\S+)(?: - (.*))?$")


def reports_below(root: Path) -> dict[Path, int]:
    """Return the reports below ``root/test/test-reports`` and when each was last written (ns)."""
    return {path: path.stat().st_mtime_ns for path in (root / REPORTS).rglob("*.xml")}


def read_cases(root: Path, before: dict[Path, int]) -> Cases | None:
    """Read the reports that were written since ``reports_below`` gave ``before``.

    A case that was run again counts once; it failed if its last run did. Returns None where there
    is no new report. A report that is not XML (a killed writer) is passed over.
    """
    now = reports_below(root)
    files = sorted(
        (path for path, written in now.items() if before.get(path) != written),
        key=lambda path: now[path],
    )
    # The same class runs in several test files, each of which reports to a folder of its own.
    seen: dict[tuple[Path, str], tuple[str, Case | None]] = {}
    for path in files:
        for name, verdict, case in _cases_in(path):
            seen[path.parent, name] = (verdict, case)
    if not seen:
        return None
    verdicts = [verdict for verdict, _ in seen.values()]
    failed = [case for _, case in seen.values() if case is not None]
    parents = {path.parent.relative_to(root) for path in files}
    source = str(parents.pop()) if len(parents) == 1 else REPORTS
    return Cases(
        total=len(seen),
        failures=verdicts.count("failure"),
        errors=verdicts.count("error"),
        skipped=verdicts.count("skipped"),
        failed=tuple(failed[:_MOST]),
        source=source,
    )


def _cases_in(path: Path) -> Iterator[tuple[str, str, Case | None]]:
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - see above
    except (ET.ParseError, OSError):
        return
    for element in root.iter("testcase"):
        name = f"{element.get('classname', '')}.{element.get('name', '')}".strip(".")
        for fault in ("failure", "error"):
            found = element.find(fault)
            if found is not None:
                text = found.get("message") or found.text or ""
                yield name, fault, Case(name, fault, _last_words(text))
                break
        else:
            skipped = element.find("skipped")
            # unittest-xml-reporting writes an expected failure, which is a success, as skipped.
            is_skipped = skipped is not None and skipped.get("type") != "XFAIL"
            yield name, "skipped" if is_skipped else "passed", None


def _last_words(text: str) -> str:
    """Return the line of a message that says most: the last that is not blank."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_LONGEST] if lines else ""


def redacted_cases(cases: Cases | None, redact: Redactor) -> Cases | None:
    """Return cases without secrets, their messages cut to what a record keeps."""
    if cases is None:
        return None
    failed = tuple(
        replace(
            case,
            name=redact(case.name),
            message=redact(case.message)[:_KEPT],  # cut what is redacted, not before
        )
        for case in cases.failed
    )
    return replace(cases, failed=failed)


class CaseScanner:
    """Collects failed cases from a test's output, as unittest and pytest print them.

    For a checkout whose run_test.py writes XML under CI only. It knows which cases failed, not how
    many there were.
    """

    def __init__(self) -> None:
        self._failed: dict[str, Case] = {}
        self._rest = ""

    def feed(self, text: str) -> None:
        """Take a piece of output."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if match := _UNITTEST.match(line):
                # Python 3.11 and later print the case's name in the parentheses too.
                name = match[3] if match[3].endswith(f".{match[2]}") else f"{match[3]}.{match[2]}"
                self._add(name, match[1], "")
            elif match := _PYTEST.match(line):
                self._add(match[2], match[1], match[3] or "")

    def _add(self, name: str, word: str, message: str) -> None:
        if len(self._failed) < _MOST:
            fault = "error" if word == "ERROR" else "failure"
            self._failed[name] = Case(name, fault, message[:_LONGEST])

    def cases(self) -> Cases | None:
        """Return what was found, or None."""
        if not self._failed:
            return None
        failed = tuple(self._failed.values())
        errors = sum(case.fault == "error" for case in failed)
        return Cases(
            failures=len(failed) - errors, errors=errors, failed=failed, source="the output"
        )
