"""The tail of a step's output, which is shown if it fails without a failed test case."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci_sessions.run.output import OutputCapture
from ci_sessions.run.progress import Progress
from ci_sessions.text import Redactor

RUNNER = """\
Traceback (most recent call last):
  File "/pytorch/test/run_test.py", line 2255, in <module>
    main()
  File "/pytorch/test/run_test.py", line 2075, in run_tests
    raise RuntimeError(failure.message + keep_going_message)
RuntimeError: test_matmul_cuda 1/1 failed!

Tip: You can keep running tests even on failure by passing --keep-going to run_test.py.
If running on CI, add the 'keep-going' label to your PR and rerun your jobs.
"""
CAUSE = 'Traceback (most recent call last):\n  File "a.py", line 1\nAssertionError: no\n'


class Nothing:
    def write(self, text):
        pass


@pytest.fixture
def tail(tmp_path):
    """Return the tail of an output that arrives in pieces."""

    def read(*pieces):
        capture = OutputCapture(
            Nothing(),
            Redactor({}),
            Progress(Path(tmp_path)),
            keep_text=False,
            log=[].append,
        )
        for piece in pieces:
            capture(piece)
        return capture.tail()

    return read


def test_the_last_lines_that_are_not_blank(tail):
    assert tail("".join(f"line {n}\n\n" for n in range(100)))[::7] == ("line 92", "line 99")
    assert tail("a\rb\rc\n", "d") == ("c", "d")


def test_the_traceback_with_which_run_test_ends_gives_way_to_the_cause(tail):
    assert tail(CAUSE, "test_matmul_cuda 1/1 failed!\n", RUNNER) == (
        *CAUSE.splitlines(),
        "test_matmul_cuda 1/1 failed!",
    )


def test_what_follows_that_traceback_stays(tail):
    assert tail("cause\n", RUNNER, "line 8: 12 Killed\n") == ("cause", "line 8: 12 Killed")
    assert tail(RUNNER)[-1].startswith("If running on CI")


@pytest.mark.parametrize("last", ["AssertionError: no", "RuntimeError: it failed!"])
def test_another_traceback_stays(tail, last):
    text = f'Traceback (most recent call last):\n  File "test/x.py", line 1\n{last}\n'
    assert tail("before\n", text) == ("before", *text.splitlines())
