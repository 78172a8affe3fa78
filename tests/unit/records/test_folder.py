from __future__ import annotations

import os

from ci_sessions.records import folder
from ci_sessions.records.folder import records_folder


def test_records_lie_with_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    assert records_folder(None, tmp_path) == tmp_path / ".ci-sessions"
    (tmp_path / ".ci-sessions").mkdir()
    assert records_folder(None, tmp_path) == tmp_path / ".ci-sessions"


def test_a_given_folder_wins(tmp_path):
    assert str(records_folder("mine", tmp_path)) == "mine"


def test_a_checkout_in_the_package_keeps_no_records(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_OWN", (tmp_path / "site-packages" / "ci_sessions",))
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "site-packages" / "ci_sessions" / "resources" / "checkout"
    root.mkdir(parents=True)
    assert records_folder(None, root) == tmp_path / ".ci-sessions"


def test_a_checkout_that_cannot_be_written_to_keeps_no_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "pytorch"
    root.mkdir()
    access = os.access
    read_only = {str(root)}
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: access(path, mode) and not (mode & os.W_OK and str(path) in read_only),
    )
    assert records_folder(None, root) == tmp_path / ".ci-sessions"
    (root / ".ci-sessions").mkdir()  # which can be written to
    assert records_folder(None, root) == root / ".ci-sessions"
    (root / ".ci-sessions").rmdir()
    (root / ".ci-sessions").touch()
    assert records_folder(None, root) == tmp_path / ".ci-sessions"
