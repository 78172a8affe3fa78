"""Several processes that read files, whose rows come in the files' order."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ci_sessions.errors import InternalError
from ci_sessions.records import processes, query
from ci_sessions.records.processes import read_in_processes, usable_processes
from ci_sessions.records.query import read_summaries

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only on Linux do several processes read records"
)


def numbers(path):
    """The numbers that a file's name says: 'start-end'."""
    yield from ((path.name, number) for number in range(*map(int, path.name.split("-"))))


FILES = [Path(name) for name in ("0-3", "0-0", "10-1500", "7-8", "0-9000", "5-6", "2-2")]


def test_small_files_are_read_in_groups(tmp_path):
    sizes = [1_000_000, 10, 2_000_000, 3_000_000, 10, 10, 9_000_000, 10]
    paths = [tmp_path / str(number) for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        with path.open("wb") as file:
            file.truncate(size)
    groups, total = query._groups([*paths, tmp_path / "missing"])
    assert [[path.name for path in group] for group in groups] == [
        ["0", "1", "2", "3"],
        ["4", "5", "6"],
        ["7", "missing"],
    ]
    assert total == sum(sizes)
    many, _ = query._groups([tmp_path / "missing"] * 10_000)
    assert len(many) == 5, "also opening files takes time"


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_rows_come_in_the_order_of_the_files(number):
    expected = [row for path in FILES for row in numbers(path)]
    assert list(read_in_processes(FILES, numbers, number)) == expected
    assert not multiprocessing.active_children()


def test_what_comes_too_early_is_bounded(monkeypatch):
    """A process that is far ahead waits until it is its turn."""
    monkeypatch.setattr(processes, "_MOST_WAITING", 2)
    files = [Path("0-20000"), Path("0-30000"), Path("0-10")]
    expected = [row for path in files for row in numbers(path)]
    assert list(read_in_processes(files, numbers, 2)) == expected


def test_no_process_is_left_if_the_rest_is_not_wanted():
    with closing(read_in_processes([Path("0-100000")] * 4, numbers, 2)) as rows:
        assert next(rows) == ("0-100000", 0)
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()


def test_a_process_that_is_killed_is_an_error_and_not_the_end_of_the_records():
    def read(path):
        yield from numbers(path)
        if path.name == "5-6":
            os.kill(os.getpid(), signal.SIGKILL)

    rows = read_in_processes(FILES, read, 2)
    with pytest.raises(InternalError, match="ended early"):
        list(rows)
    assert not multiprocessing.active_children()


def test_signals_are_left_to_the_parent():
    def read(path):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        yield path.name

    assert list(read_in_processes(FILES[:2], read, 2)) == ["0-3", "0-0"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_without_room_for_processes_this_one_reads(monkeypatch):
    forks = []

    def fork():
        forks.append(1)
        if len(forks) == 2:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return os_fork()

    os_fork = os.fork
    monkeypatch.setattr(os, "fork", fork)
    expected = [row for path in FILES for row in numbers(path)]
    assert list(read_in_processes(FILES, numbers, 3)) == expected
    assert not multiprocessing.active_children()


def test_at_least_one_process_and_not_more_than_cpus_reads():
    assert 1 <= usable_processes() <= len(os.sched_getaffinity(0))


def test_many_records_are_read_like_few(tmp_path, monkeypatch, caplog):
    for part in range(5):
        lines = [
            f'{{"event": "run started", "format": 1, "id": "{part}.{n}", "job": {{"config": "smoke"}}}}\n'
            f'{{"event": "step ended", "id": "s", "test": "t{n}", "outcome": "{"failed" if n % 9 == 0 else "passed"}"}}\n'
            f'{{"event": "run ended", "id": "{part}.{n}", "outcome": "{"strange" if n == 7 else "passed"}"}}\n'
            for n in range(700)
        ]  # fmt: skip
        (tmp_path / f"{part}.jsonl").write_text("".join(lines))
    paths = [*sorted(tmp_path.iterdir()), tmp_path / "missing.jsonl"]
    expected = list(read_summaries(paths))
    (message,) = caplog.messages
    caplog.clear()
    monkeypatch.setattr(query, "_LARGE", 0)
    monkeypatch.setattr(query, "_GROUP", 1)
    monkeypatch.setattr(processes, "usable_processes", lambda: 3)
    found = list(read_summaries(paths))
    assert found == expected
    assert [run.place for run in found] == [run.place for run in expected]
    assert len(found) == 5 * 699
    assert found[0].failed_tests == ("t0",)
    assert caplog.messages == [message]
    assert message.startswith("skipped 6 records")
