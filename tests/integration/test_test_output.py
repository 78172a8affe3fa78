"""Cases in the real output of unittest and pytest."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ci_sessions.records.record import Case
from ci_sessions.run.case_scanner import CaseScanner

TESTS = '''
import os
import unittest


class T(unittest.TestCase):
    def test_ok(self):
        pass

    def test_red(self):
        """What it does."""
        self.assertEqual([1], [2], "sums")

    def test_error(self):
        open("/nowhere/at/all")

    def test_chain(self):
        try:
            os.unlink("/nowhere")
        except OSError as error:
            raise RuntimeError("first line\\nsecond line") from error

    @unittest.skip("later")
    def test_skip(self):
        pass


if __name__ == "__main__":
    unittest.main(verbosity=2)
'''


def scan_run(tmp_path, *command):
    """Scan what a command prints for the tests above, in pieces of a few characters."""
    (tmp_path / "test_it.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    text = done.stdout + done.stderr
    scanner = CaseScanner()
    for start in range(0, len(text), 7):
        scanner.feed(text[start : start + 7])
    return scanner.cases()


def test_the_output_of_unittest_has_counts_messages_and_lines(tmp_path):
    cases = scan_run(tmp_path, "test_it.py")
    assert (cases.total, cases.failures, cases.errors, cases.skipped) == (5, 1, 2, 1)
    found = {case.name: case for case in cases.failed}
    file = str(tmp_path / "test_it.py")
    assert found["__main__.T.test_red"].message == "AssertionError: Lists differ: [1] != [2]"
    assert found["__main__.T.test_red"].line == 12
    missing = "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/at/all'"
    assert found["__main__.T.test_error"] == Case(
        "__main__.T.test_error", "error", missing, file, 15
    )
    chain = found["__main__.T.test_chain"]
    assert (chain.message, chain.line) == ("RuntimeError: first line", 21)


@pytest.mark.parametrize("style", ["native", "long", "short"])
def test_the_output_of_pytest_has_counts_messages_and_lines(tmp_path, style):
    cases = scan_run(tmp_path, "-m", "pytest", "-p", "no:cacheprovider", f"--tb={style}")
    assert (cases.total, cases.failures, cases.errors, cases.skipped) == (5, 3, 0, 1)
    red = next(case for case in cases.failed if case.name == "test_it.py::T::test_red")
    assert red.message.startswith("AssertionError: Lists differ: [1] != [2]")
    assert (red.file.rpartition("/")[2], red.line) == ("test_it.py", 12)
