"""Test cases in the output of unittest, pytest and xdoctest, for steps that write no JUnit XML.

The comparison of a model benchmark's results names the models that differ, which count as cases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ci_sessions.records.record import Case, Cases

__all__ = ["MAX_FAILED", "CaseScanner", "find_frame"]

MAX_FAILED = 500  # failed cases in a record
_MAX_LINE = 4000  # characters of a line of output that are scanned
_MAX_DETAIL = 2000  # lines after the name of a failed case in which its message is expected
_MAX_LINES = 500_000  # lines that may be about cases, so that reading takes seconds at most
_MAX_NUMBER = 9  # digits

_UNITTEST = re.compile(r"(ERROR|FAIL): (?:test )?(\S+) \((\S+)\)")
_UNITTEST_TOTAL = re.compile(r"Ran ([0-9]{1,9}) tests? in ")
_UNITTEST_RESULT = re.compile(r"(?:FAILED|OK) \(([a-z =,0-9]{1,200})\)$")
_DURATION = re.compile(r"^\[[0-9.]{1,20}s\] ")  # PyTorch's pytest plugin adds it
_PYTEST_SECTION = re.compile(r"_{3,} (\S.{0,500}?) _{3,}$")
_PYTEST_TOTAL = re.compile(r"=+ ((?:[0-9]|no tests).{0,300}) in [0-9.]+ ?s")  # xdoctest: "seconds"
_XDOCTEST = re.compile(r"python -m xdoctest (\S{1,500}\.py) (\S{1,200})$")
_NUMBERS = re.compile(r"([0-9]{1,9}) ([a-z]+)")
_PYTHON_FRAME = re.compile(r'  File "([^"]{1,500})", line ([0-9]{1,7})')
_PYTEST_FRAME = re.compile(r"([\w./+-]{1,300}\.py):([0-9]{1,7}): ")
_ITEMS = re.compile(r"Running ([0-9]{1,9}) items in this shard")
_MODELS = re.compile(r"(?:Error|Improvement): [0-9]{1,5} models have ([\w ]{1,100}):$")
_TEST_FILE = re.compile(
    r"(?:Running|PRINTING LOG FILE of) ([\w./-]{1,300})(?: [0-9]+/[0-9]+)? [.(]"
)
_STARTS = (
    *("Running ", "PRINTING LOG", "ERROR", "FAIL", "OK (", "Ran ", "____", "==="),
    *("Error: ", "Improvement: ", "python -m xdoctest "),
)
_ABOUT_CASES = re.compile(f"\n(?:{'|'.join(map(re.escape, _STARTS))})")
_INSTALLED = ("/lib/python", "site-packages/", "dist-packages/", "torch/testing/")


@dataclass(slots=True)
class _Detail:
    """What is read after the name of a failed case: its message, and where it failed."""

    name: str
    lines: int = 0
    message: str = ""
    file: str = ""
    line: int = 0
    is_of_models: bool = False


def find_frame(traceback: str) -> tuple[str, int]:
    """Return the file and line of the innermost frame outside installed packages, or "" and 0."""
    place = ("", 0)
    for line in traceback.splitlines():
        match = _PYTHON_FRAME.match(line) or _PYTEST_FRAME.match(line)
        if match and not any(part in match[1] for part in _INSTALLED):
            place = (match[1], int(match[2]))
    return place


class CaseScanner:
    """Counts the cases that unittest and pytest report, and collects those that failed.

    For checkouts whose run_test.py only writes XML in CI. Only the start of a very long line is
    scanned. The numbers of several test files in one output are added.
    """

    def __init__(self) -> None:
        self._failed: dict[str, Case] = {}
        self._sections: dict[str, _Detail] = {}
        self._detail: _Detail | None = None
        self._counts = {"total": 0, "failures": 0, "errors": 0, "skipped": 0}
        self._rest = ""
        self._test_file = ""
        self._lines_left = _MAX_LINES
        self._has_total = False
        self._is_of_xdoctest = False  # in the list of failed doctests
        self._announced: int | None = None  # in CI, run_test.py shows this but no total

    def feed(self, text: str) -> None:
        """Process a piece of output."""
        first = text.find("\n")
        if first < 0:
            if len(self._rest) < _MAX_LINE:
                self._rest += text[:_MAX_LINE]
            return
        self._read_first(self._rest + text[: min(first, _MAX_LINE)])
        last = text.rfind("\n")
        self._read_lines(text, first, last)
        self._rest = text[last + 1 : last + 1 + _MAX_LINE]

    def _read_first(self, line: str) -> None:
        """Read a line of which a part may have come before."""
        if self._detail is not None or line.startswith(_STARTS):
            self._read(line[:_MAX_LINE].rstrip("\r"))

    def _read_lines(self, text: str, end: int, last: int) -> None:
        """Read the lines about cases between two line feeds: one search skips nearly all others.

        The text is not copied for that, since this is done for all output.
        """
        while end < last:
            if self._detail is None:
                match = _ABOUT_CASES.search(text, end, last)
                if match is None:
                    return
                end = match.start()
            start, end = end + 1, text.index("\n", end + 1)
            self._read(text[start : min(end, start + _MAX_LINE)].rstrip("\r"))

    def cases(self) -> Cases | None:
        """Return the cases that were found, or None if nothing says how many ran."""
        self._close()
        if not (self._failed or self._has_total or self._announced == 0):
            return None
        failed = tuple(self._failed.values())
        errors = sum(case.fault == "error" for case in failed)
        return Cases(
            total=max(self._counts["total"], len(failed)),
            failures=max(self._counts["failures"], len(failed) - errors),
            errors=max(self._counts["errors"], errors),
            skipped=self._counts["skipped"],
            failed=failed,
            source="the output",
        )

    def _read(self, line: str) -> None:
        self._lines_left -= 1
        if self._lines_left > 0:
            self._line(line)
        else:
            self._detail = None

    def _line(self, line: str) -> None:
        if not line.startswith(_STARTS):
            self._read_detail(line)
        elif match := _TEST_FILE.match(line):
            self._close()
            self._test_file = match[1]
        elif match := _ITEMS.match(line):
            self._announced = (self._announced or 0) + int(match[1])
        elif line.startswith("==="):
            self._close()
            self._is_of_xdoctest = line.startswith("=== Failed tests ===")
            if match := _PYTEST_TOTAL.match(line):
                self._add_pytest_counts(match[1])
        elif match := _PYTEST_SECTION.match(line):
            self._close()
            self._detail = _Detail(match[1])
        elif match := _UNITTEST_TOTAL.match(line):
            self._close()
            self._has_total = True
            self._counts["total"] += int(match[1])
        elif match := _UNITTEST_RESULT.match(line):
            self._add_unittest_counts(match[1])
        else:
            self._read_name(line)

    def _read_name(self, line: str) -> None:
        """Read a line that names a failed case, or says that models follow."""
        if self._is_of_xdoctest and (match := _XDOCTEST.match(line)):
            # An installed module is named as it is imported.
            self._add(Case(f"{match[1].rpartition('-packages/')[2]}::{match[2]}", "failure"))
            return
        if match := _MODELS.match(line):
            self._close()
            self._detail = _Detail("", message=match[1], is_of_models=True)
            return
        if match := _UNITTEST.match(line):
            self._close()
            # Python 3.11 and later also print the case's name in the parentheses.
            name = match[3] if match[3].endswith(f".{match[2]}") else f"{match[3]}.{match[2]}"
            if self._add(Case(name, "error" if match[1] == "ERROR" else "failure")):
                self._detail = _Detail(name)
            return
        word, _, rest = line.partition(" ")
        name, _, message = _DURATION.sub("", rest).partition(" - ")
        if word in ("ERROR", "FAILED") and "::" in name and " " not in name:
            section = self._sections.get(".".join(name.split("::")[1:]), _Detail(""))
            fault = "error" if word == "ERROR" else "failure"
            if not message or message.endswith("..."):  # pytest cuts it to the width of the screen
                message = section.message or message
            self._add(Case(name, fault, message, section.file, section.line))

    def _add(self, case: Case) -> bool:
        has_room = len(self._failed) < MAX_FAILED
        if has_room:
            self._failed[case.name] = replace(case, test_file=self._test_file)
        return has_room

    def _read_detail(self, line: str) -> None:
        """Read a line of a traceback: a frame, or the message after the last frame."""
        detail = self._detail
        if detail is None:
            return
        detail.lines += 1
        if detail.is_of_models:
            self._detail = None
            for model in line.split():
                self._add(Case(model, "failure", detail.message))
        elif detail.lines > _MAX_DETAIL:
            self._close()
        elif _PYTHON_FRAME.match(line):
            detail.message = ""
            self._place(detail, line)
        elif _PYTEST_FRAME.match(line):
            self._place(detail, line)
        elif line.startswith("E   ") and not detail.message:
            detail.message = line[4:].strip()
        elif line[:1].strip("- ") and not detail.message and not line.startswith("Traceback "):
            detail.message = line.strip() if detail.file or detail.lines > 1 else ""

    @staticmethod
    def _place(detail: _Detail, line: str) -> None:
        """Keep the innermost frame that is not in an installed package."""
        file, number = find_frame(line)
        if file:
            detail.file, detail.line = file, number

    def _close(self) -> None:
        """End the description of a failed case."""
        detail, self._detail = self._detail, None
        if detail is None:
            return
        if detail.name in self._failed:
            case = self._failed[detail.name]
            found = replace(case, message=detail.message, file=detail.file, line=detail.line)
            self._failed[detail.name] = found
        elif len(self._sections) < MAX_FAILED:
            self._sections[detail.name] = detail

    def _add_unittest_counts(self, text: str) -> None:
        for part in text.split(","):
            name, _, number = part.strip().partition("=")
            if name in self._counts and number.isdecimal() and len(number) <= _MAX_NUMBER:
                self._counts[name] += int(number)

    def _add_pytest_counts(self, text: str) -> None:
        self._has_total = True
        numbers = {word: int(number) for number, word in _NUMBERS.findall(text)}
        errors = numbers.get("error", 0) + numbers.get("errors", 0)
        self._counts["failures"] += numbers.get("failed", 0)
        self._counts["errors"] += errors
        self._counts["skipped"] += numbers.get("skipped", 0)
        ran = ("passed", "failed", "skipped", "xfailed", "xpassed")
        self._counts["total"] += errors + sum(numbers.get(word, 0) for word in ran)
