from __future__ import annotations

import os

from ci_sessions.records import logs as module
from ci_sessions.records import store
from ci_sessions.records.logs import StepLog


def test_a_log_has_the_whole_output(tmp_path):
    log = StepLog(tmp_path / "logs", "jit.test_jit.1")
    log.write("a\n")
    log.write("b\udcff")
    log.close()
    assert log.path == tmp_path / "logs" / "jit.test_jit.1.log"
    assert log.path.read_bytes() == b"a\nb\xff"


def test_of_a_long_output_the_beginning_and_the_end_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_END", 4)
    log = StepLog(tmp_path, "x", largest=5)
    for piece in ("0123", "456", "789", "abcdefgh", "i"):
        log.write(piece)
    log.close()
    text = log.path.read_text()
    assert text == "01234\n… 10 bytes of output are left out here …\nfghi"
    assert len("01234" + "fghi") + 10 == len("0123456789abcdefghi")


def test_names_are_safe_and_never_the_same(tmp_path):
    (tmp_path / "c.log").symlink_to("/nowhere/x")
    logs = [StepLog(tmp_path, name) for name in ("../a b", "../a b", "c")]
    for log in logs:
        log.close()
    assert [log.path.name for log in logs] == ["-a-b.log", "-a-b-2.log", "c-2.log"]


def test_a_log_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    log = StepLog(tmp_path / "file", "x")
    log.write("text")
    log.close()
    assert log.path is None
    assert "this step has no log" in caplog.text


def test_logs_are_removed_with_their_record(tmp_path):
    journal = store.create_journal(tmp_path, "2026-01-01T00:00:00", "x")
    log = journal.open_log("a")
    log.close()
    journal.close()
    os.utime(journal.path, (1, 1))
    assert log.path.exists()
    store.prune(tmp_path, 1, 10 * 86400)
    assert not log.path.parent.exists()
