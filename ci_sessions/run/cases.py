"""A step's test cases, from the JUnit XML that run_test.py writes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.log import logger
from ci_sessions.records.record import Case, CaseResult, Cases
from ci_sessions.run.case_scanner import MAX_FAILED
from ci_sessions.run.reports import FOLDER, Limits, ReportReader, find_reports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_sessions.text import Redactor

__all__ = ["complete_cases", "read_cases"]

_MAX_MESSAGE = 300  # characters of a message in a record, after redaction


def read_cases(
    root: Path,
    before: Mapping[Path, int],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    *,
    keeps_all: bool = False,
) -> Cases | None:
    """Read the reports written since ``find_reports`` returned ``before``; None if there are none.

    ``keeps_all``: also return the names of the cases that did not fail.

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
        failed=tuple(list(reader.failed.values())[:MAX_FAILED]),
        source=str(parents.pop()) if len(parents) == 1 else FOLDER,
        every=tuple(
            CaseResult(key[1], result, reader.seconds[key])
            for key, result in (reader.results.items() if keeps_all else ())
        ),
    )


def complete_cases(cases: Cases | None, redact: Redactor, root: Path) -> Cases | None:
    """Prepare cases for the record: no secrets, short messages, files relative to the checkout."""
    if cases is None:
        return None
    failed = tuple(_complete(case, redact, root) for case in cases.failed)
    every = tuple(replace(case, name=redact(case.name)) for case in cases.every)
    return replace(cases, failed=failed, every=every)


def _complete(case: Case, redact: Redactor, root: Path) -> Case:
    file = _file_in_checkout(case.file, root)
    return replace(
        case,
        name=redact(case.name),
        message=redact(case.message)[:_MAX_MESSAGE],  # redact first: a cut secret is not found
        file=redact(file),
        line=case.line if file else 0,
        test_file=redact(_test_file(case.test_file, root)),
    )


def _test_file(name: str, root: Path) -> str:
    """Return a test file's name for run_test.py, or "". Names of folders have dots for slashes."""
    for one in (name, name.replace(".", "/")):
        if one and _file_in_checkout(f"{one}.py", root) == f"test/{one}.py":
            return one
    return ""


def _file_in_checkout(name: str, root: Path) -> str:
    """Return the path of a file relative to the root, or "" if it is not in the checkout.

    Test files also run in ``test``, so a relative path may start there.
    """
    if not name:
        return ""
    for base in (root, root / "test"):
        path = Path(os.path.normpath(base / name))
        if path.is_relative_to(root) and path.is_file():
            return str(path.relative_to(root))
    return ""
