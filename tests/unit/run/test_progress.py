from __future__ import annotations

import os

import pytest

from ci_sessions.run.progress import Progress, last_test, running_test


@pytest.mark.parametrize(
    ("text", "last", "running"),
    [
        ("test_a (m.T) ... ok\ntest_b (m.T) ... ", "m.T.test_b", "m.T.test_b"),
        ("test_b (m.T.test_b) ... ok\n", "m.T.test_b", ""),
        ("test_b (m.T.test_b)\nWhat it does. ... ", "m.T.test_b", "m.T.test_b"),
        ("a/test_x.py::T::test_a PASSED [ 5%]\na/test_x.py::T::test_b ",
         "a/test_x.py::T::test_b", "a/test_x.py::T::test_b"),
        ("a/test_x.py::T::test_b FAILED\nmore\n", "a/test_x.py::T::test_b", ""),
        ("nothing", "", ""),
    ],
)  # fmt: skip
def test_the_last_test_and_the_one_that_runs(text, last, running):
    assert (last_test(text), running_test(text)) == (last, running)


def test_the_log_that_run_test_writes_is_followed(tmp_path):
    folder = tmp_path / "test" / "test-reports"
    folder.mkdir(parents=True)
    (folder / "old_1_toprint.log").write_text("test_old.py::test_x ")
    os.utime(folder / "old_1_toprint.log", (1, 1))
    progress = Progress(tmp_path)
    progress.feed("test_y (m.T) ... ")
    assert progress.doing == "m.T.test_y"
    (folder / "test_ops_1_toprint.log").write_text("x\n" * 9000 + "\ntest_ops.py::T::test_hangs ")
    progress = Progress(tmp_path)
    assert progress.doing == "test_ops.py::T::test_hangs"
    assert progress.tail()[-2:] == ("x", "test_ops.py::T::test_hangs ")


def test_only_regular_files_are_read(tmp_path):
    folder = tmp_path / "test" / "test-reports"
    folder.mkdir(parents=True)
    progress = Progress(tmp_path)
    os.mkfifo(folder / "a_toprint.log")
    (folder / "b_toprint.log").symlink_to("/etc/passwd")
    assert progress.end_of_log() == ""
