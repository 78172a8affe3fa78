from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from pathlib import Path, PurePosixPath

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from records_of_runs import EVENTS, GOOD, LINES, as_lines

from ci_sessions.checkout.files import open_regular
from ci_sessions.errors import RecordError
from ci_sessions.records import store
from ci_sessions.text import Redactor


@given(
    st.lists(LINES | st.binary(max_size=20), max_size=5).map(b"\n".join)
    | st.lists(EVENTS, max_size=4).map(as_lines)
)
def test_any_bytes_in_a_file_leave_the_good_records_beside_it(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("records")
    (folder / "runs").mkdir()
    for name, content in (("a", data), ("b", as_lines(GOOD)), ("c", as_lines(GOOD))):
        (folder / "runs" / f"{name}.jsonl").write_bytes(content)
    found = store.read_runs(folder)
    assert [run.id for run in found].count("good") >= 2
    assert all(isinstance(run.started, str) for run in found)


STARTED = "2026-01-02T03:04:05.678Z"
EVENT = {"event": "run started", "format": 1, "id": "1", "job": {}, "started": STARTED}
DAY = 86_400


@pytest.fixture
def journal(tmp_path):
    journal = store.create_journal(tmp_path, STARTED, "x")
    journal.append(EVENT)
    return journal


def messages(caplog):
    return [one.getMessage() for one in caplog.records]


def test_an_unchanged_file_is_left_alone_at_the_end(journal, caplog):
    before = journal.path.stat()
    journal.close()
    assert journal.path.stat().st_ino == before.st_ino
    assert messages(caplog) == []


@pytest.mark.parametrize("change", ["edit", "remove", "remove the folder", "link"])
def test_a_changed_file_is_rewritten_at_the_end(tmp_path, journal, caplog, change):
    journal.append({"event": "run ended", "id": "1", "outcome": "passed"})
    expected, other = journal.path.read_bytes(), tmp_path / "other"
    other.write_text("mine")
    if change == "edit":
        journal.path.write_text("forged")
    elif change == "remove the folder":
        shutil.rmtree(tmp_path / "runs")
    else:
        journal.path.unlink()
    if change == "link":
        journal.path.symlink_to(other)
    journal.close()
    assert journal.path.read_bytes() == expected
    assert stat.S_IMODE(journal.path.lstat().st_mode) == 0o644
    assert not journal.path.is_symlink()
    assert other.read_text() == "mine"
    assert sorted(path.name for path in journal.path.parent.iterdir()) == [journal.path.name]
    assert messages(caplog) == [f"the record of this run was changed: rewrote {journal.path}"]


def test_a_record_is_rewritten_even_if_its_whole_folder_is_gone(tmp_path):
    journal = store.create_journal(tmp_path / "a" / "b", STARTED, "x")
    journal.append(EVENT)
    shutil.rmtree(tmp_path / "a")
    journal.close()
    assert json.loads(journal.path.read_text()) == EVENT


def test_a_folder_in_the_place_of_the_file_is_left_alone(journal):
    expected, path = journal.path.read_bytes(), journal.path
    path.unlink()
    path.mkdir()
    journal.close()
    assert journal.path == path.with_name(f"{path.stem}-restored.jsonl")
    assert journal.path.read_bytes() == expected
    assert path.is_dir()


def test_a_link_to_a_folder_in_the_place_of_the_file_is_replaced(tmp_path, journal):
    expected = journal.path.read_bytes()
    journal.path.unlink()
    journal.path.symlink_to(tmp_path)
    journal.close()
    assert journal.path.name == "2026-01-02T03-04-05-x.jsonl"
    assert journal.path.read_bytes() == expected


def test_a_file_that_cannot_be_rewritten_is_a_warning(journal, caplog, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    journal.path.unlink()
    monkeypatch.setattr(store, "_replace", full)
    journal.close()
    assert journal.is_working is False
    assert messages(caplog) == [
        (
            f"the record of this run is incomplete: cannot write {journal.path}: "
            "[Errno 28] No space left on device"
        )
    ]


def test_a_run_without_events_rewrites_nothing(tmp_path, caplog):
    journal = store.create_journal(tmp_path, STARTED, "x")
    journal.path.write_text("other")
    journal.close()
    assert journal.path.read_text() == "other"
    assert messages(caplog) == []


def test_an_event_is_not_written_through_a_link(tmp_path, journal, caplog):
    other = tmp_path / "other"
    other.write_text("")
    journal.path.unlink()
    journal.path.symlink_to(other)
    journal.append(EVENT)
    assert other.read_text() == ""
    assert f"cannot write {journal.path}: [Errno 40]" in caplog.text


def test_an_event_keeps_its_structure_and_other_values_become_text(tmp_path):
    redact = Redactor({"A_TOKEN": "passed", "B_TOKEN": "hunter22"})
    journal = store.create_journal(tmp_path, STARTED, "x", redact)
    journal.append({"outcome": "passed", "note": "passed hunter22", "path": PurePosixPath("a")})
    assert json.loads(journal.path.read_text()) == {
        "outcome": "passed", "note": "*** ***", "path": "a",
    }  # fmt: skip


def test_a_run_is_active_until_it_is_closed(tmp_path, journal):
    lock = tmp_path / "active" / f"{journal.path.stem}.lock"
    assert lock.exists()
    other = store.create_journal(tmp_path, STARTED, "other")
    assert not journal.is_alone()
    assert not other.is_alone()
    other.close()
    assert journal.is_alone()
    assert lock.exists(), "its own lock is kept"
    journal.close()
    assert list(lock.parent.iterdir()) == []


def test_a_stale_lock_is_removed(tmp_path, journal):
    stale = tmp_path / "active" / "stale.lock"
    stale.touch()
    assert journal.is_alone()
    assert not stale.exists()


@pytest.mark.parametrize("kind", ["link", "folder", "dangling link"])
def test_what_is_not_a_lock_file_is_not_a_run(tmp_path, journal, kind):
    other = store.create_journal(tmp_path / "elsewhere", STARTED, "other")
    path = tmp_path / "active" / "odd.lock"
    target = store._lock_path(other.path)
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(target if kind == "link" else "nothing")
    assert journal.is_alone()
    assert path.is_symlink() or path.is_dir()
    assert target.exists()


def test_a_file_system_without_locks_has_no_active_runs(tmp_path, journal, monkeypatch):
    class NoLocks:
        def __init__(self, *_, **__):
            raise NotImplementedError("no locks")

    (tmp_path / "active" / "other.lock").touch()
    monkeypatch.setattr(store, "FileLock", NoLocks)
    assert journal.is_alone()
    unlocked = store.create_journal(tmp_path, STARTED, "unlocked")
    unlocked.append(EVENT)
    unlocked.close()
    assert unlocked.path.exists()


def test_a_lock_that_is_held_is_not_waited_for(tmp_path):
    (tmp_path / "active").mkdir()
    held = FileLock(tmp_path / "active" / "2026-01-02T03-04-05-x.lock")
    with held:
        journal = store.create_journal(tmp_path, STARTED, "x")
        journal.append(EVENT)
        journal.close()
        assert held.is_locked
    assert journal.path.exists()


def test_a_lock_that_someone_removed_is_no_problem(journal):
    store._lock_path(journal.path).unlink()
    journal.close()


def test_a_journal_hides_nothing_by_default(journal):
    assert json.loads(journal.path.read_text()) == EVENT
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o644


def test_a_journal_is_created_in_a_folder_that_does_not_exist_yet(tmp_path):
    folder = tmp_path / "a" / "b"
    journal = store.create_journal(folder, STARTED, "Configuration_1/x")
    assert journal.path == folder / "runs" / "2026-01-02T03-04-05-Configuration_1-x.jsonl"
    assert journal.is_working is True
    again = store.create_journal(folder, STARTED, "Configuration_1/x")
    third = store.create_journal(folder, STARTED, "Configuration_1/x")
    assert [again.path.stem[-4:], third.path.stem[-4:]] == ["-x-2", "-x-3"]


def test_a_folder_that_cannot_be_created_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    journal = store.create_journal(tmp_path / "file", STARTED, "x")
    assert journal.is_working is False
    journal.append(EVENT)
    assert messages(caplog) == [
        (
            f"this run has no record: cannot create {tmp_path / 'file'}: "
            f"[Errno 17] File exists: '{tmp_path / 'file'}'"
        )
    ]


def test_a_long_configuration_is_cut_in_the_name_of_its_file(tmp_path):
    assert store.create_journal(tmp_path, STARTED, "x" * 300).path.stem[20:] == "x" * 80


def test_files_are_removed_that_are_older_than_the_given_days(tmp_path):
    ages = {"old": 2 * DAY + 1, "edge": 2 * DAY, "new": 2 * DAY - 1, "active": 9 * DAY}
    journals = {name: store.create_journal(tmp_path, STARTED, name) for name in ages}
    for name, age in ages.items():
        if name != "active":
            journals[name].close()
        os.utime(journals[name].path, (10 * DAY - age,) * 2)
    assert store.prune(tmp_path, 2, 10 * DAY) == [journals["old"].path]
    assert not journals["old"].path.exists()
    assert all(journals[name].path.exists() for name in ("edge", "new", "active"))


def test_what_cannot_be_removed_is_kept(tmp_path, journal):
    journal.close()
    folder = journal.path.with_name("2026-a-folder.jsonl")
    folder.mkdir()
    for path in (folder, journal.path):
        os.utime(path, (0, 0))
    assert store.prune(tmp_path, 1, 10 * DAY) == [journal.path]
    assert folder.is_dir()


def test_a_file_is_read_up_to_a_size(tmp_path, monkeypatch):
    line = json.dumps(EVENT).encode() + b"\n"
    monkeypatch.setattr(store, "_LARGEST", len(line))
    path = tmp_path / "a.jsonl"
    path.write_bytes(line)
    assert store.read_run(path).id == "1"
    path.write_bytes(line + b" ")
    with pytest.raises(RecordError, match=r"a\.jsonl is not a regular file of at most 0 MB"):
        store.read_run(path)


def test_a_link_is_not_read(tmp_path, journal):
    link = tmp_path / "a.jsonl"
    link.symlink_to(journal.path)
    with pytest.raises(RecordError) as caught:
        store.read_run(link)
    assert str(caught.value) == f"{link} is not a regular file of at most 64 MB. [bad-record]"


def test_empty_lines_are_skipped(tmp_path):
    path = tmp_path / "a.jsonl"
    end = {"event": "run ended", "id": "1", "outcome": "passed"}
    path.write_text(f"\n{json.dumps(EVENT)}\n\n{json.dumps(end)}\n")
    assert store.read_run(path).outcome == "passed"


def test_runs_are_sorted_by_their_start(tmp_path, caplog):
    (tmp_path / "runs").mkdir()
    for name, started in (("a", "2026-03"), ("b", "2026-01"), ("c", "2026-02")):
        event = {**EVENT, "id": name, "started": started}
        (tmp_path / "runs" / f"{name}.jsonl").write_text(json.dumps(event))
    bad = tmp_path / "runs" / "d.jsonl"
    bad.write_text("{}")
    assert [run.id for run in store.read_runs(tmp_path)] == ["b", "c", "a"]
    assert messages(caplog) == [
        f"skipped {bad}: a record has no 'run started' event: its beginning is missing. [bad-record]"
    ]


def test_no_lock_is_ever_waited_for(tmp_path, monkeypatch):
    settings = []

    def lock(path, **more):
        settings.append(more)
        return FileLock(path, **more)

    monkeypatch.setattr(store, "FileLock", lock)
    first = store.create_journal(tmp_path, STARTED, "a")
    second = store.create_journal(tmp_path, STARTED, "b")
    assert not second.is_alone()
    first.close()
    assert settings == [{"blocking": False}] * 3


def test_no_more_of_a_file_is_read_than_one_byte_over_the_limit(tmp_path, monkeypatch):
    """A test may have filled the disk with it."""
    read = []

    class Counted:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def read(self, size=-1):
            data = self.file.read(size)
            read.append(len(data))
            return data

    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * 1000)
    monkeypatch.setattr(store, "_LARGEST", 10)
    monkeypatch.setattr(
        store, "open_regular", lambda path, **more: Counted(open_regular(path, **more))
    )
    assert store._read_regular(path) is None
    assert read == [11]


def test_what_is_no_regular_file_has_no_bytes(tmp_path):
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    assert store._read_regular(tmp_path / "empty") == b""
    assert store._read_regular(tmp_path / "pipe") is None
    assert store._read_regular(tmp_path / "gone") is None
    assert store._read_regular(tmp_path) is None


def test_a_file_is_not_replaced_through_a_link_that_a_test_puts_there_meanwhile(
    tmp_path, monkeypatch
):
    path, other = tmp_path / "a.jsonl", tmp_path / "other"
    other.write_text("mine")
    unlink = Path.unlink

    def unlink_and_link(self, *, missing_ok=False):
        unlink(self, missing_ok=True)
        self.symlink_to(other)

    monkeypatch.setattr(Path, "unlink", unlink_and_link)
    with pytest.raises(FileExistsError):
        store._replace(path, b"data")
    assert other.read_text() == "mine"
    assert not path.exists()


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_file_that_cannot_be_replaced_leaves_no_partial_one(tmp_path, monkeypatch, is_gone):
    def fail(self, _target):
        if is_gone:
            self.unlink()
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "a.jsonl"
    path.write_text("before")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        store._replace(path, b"data")
    assert caught.value.errno == errno.EIO
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]
    assert path.read_text() == "before"


def test_a_folder_that_cannot_be_listed_has_nothing_to_remove(tmp_path, journal, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    journal.close()
    os.utime(journal.path, (0, 0))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "glob", fail)
        assert store.prune(tmp_path, 1, 10 * DAY) == []
    assert store.prune(tmp_path / "gone", 1, 10 * DAY) == []
    assert store.prune(tmp_path, 1, 10 * DAY) == [journal.path]


def test_a_log_that_cannot_be_removed_keeps_no_other(tmp_path, journal, monkeypatch):
    folder = tmp_path / "logs" / journal.path.stem
    kept = tmp_path / "logs" / "another-run" / "1.log"
    kept.parent.mkdir(parents=True)
    kept.touch()
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.log").touch()
    unlink, failed = os.unlink, []

    def fail_once(path, **more):
        if not failed and str(path).endswith(".log"):
            failed.append(path)
            raise OSError(errno.EBUSY, "Device or resource busy")
        unlink(path, **more)

    journal.close()
    os.utime(journal.path, (0, 0))
    monkeypatch.setattr(os, "unlink", fail_once)
    assert store.prune(tmp_path, 1, 10 * DAY) == [journal.path]
    assert [one.name for one in folder.iterdir()] == [os.path.basename(path) for path in failed]  # noqa: PTH119
    assert kept.exists()


# --- usual times


def write_run(folder, day, config="smoke", job="job", **steps):
    """Write the record of a run in which steps passed in these seconds, or had an outcome."""
    started = f"2026-01-{day:02}T00:00:00.000Z"
    journal = store.create_journal(folder, started, config)
    journal.append({**EVENT, "id": f"{started}/{job}/1", "started": started})
    for name, value in steps.items():
        outcome = value if isinstance(value, str) else "passed"
        step = {"id": name, "test": name, "number": 1, "kind": "test", "command": "x"}
        wall = 99.0 if isinstance(value, str) else value
        journal.append({"event": "step ended", **step, "outcome": outcome, "wall": wall})
    journal.close()
    return journal.path


def test_the_usual_time_of_a_step_is_that_of_its_newest_run_that_passed(tmp_path):
    write_run(tmp_path, 1, a=1.0, b=2.0, c="failed")
    write_run(tmp_path, 2, a=1.5, b="failed", d=4.0)
    assert store.usual_times(tmp_path, "smoke", "job") == {"a": 1.5, "b": 2.0, "d": 4.0}
    assert store.usual_times(tmp_path / "gone", "smoke", "job") == {}


def test_the_usual_times_are_of_one_job_and_configuration(tmp_path):
    write_run(tmp_path, 1, a=1.0)
    write_run(tmp_path, 2, job="job-2", a=2.0, b=2.0)
    write_run(tmp_path, 3, job="2-job", a=3.0)
    write_run(tmp_path, 4, config="timm", a=4.0, c=4.0)
    write_run(tmp_path, 5, config="a/b", a=5.0)
    assert store.usual_times(tmp_path, "smoke", "job") == {"a": 1.0}
    assert store.usual_times(tmp_path, "smoke", "job-2") == {"a": 2.0, "b": 2.0}
    assert store.usual_times(tmp_path, "timm", "job") == {"a": 4.0, "c": 4.0}
    assert store.usual_times(tmp_path, "a/b", "job") == {"a": 5.0}


def test_the_usual_times_are_of_the_10_newest_runs(tmp_path):
    for day in range(1, 12):
        write_run(tmp_path, day, **{f"on_{day}": float(day)})
    assert store.usual_times(tmp_path, "smoke", "job") == {
        f"on_{day}": float(day) for day in range(2, 12)
    }


def test_a_run_that_cannot_be_read_has_no_usual_times(tmp_path, caplog):
    write_run(tmp_path, 1, a=1.0)
    bad = write_run(tmp_path, 2, a=2.0)
    bad.write_text("{}\n{}\n")
    write_run(tmp_path, 3, b=3.0)
    assert store.usual_times(tmp_path, "smoke", "job") == {"a": 1.0, "b": 3.0}
    (message,) = messages(caplog)
    assert message.startswith(f"skipped {bad}: a record has no 'run started' event")
