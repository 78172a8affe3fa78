from __future__ import annotations

import logging
import os

from ci_sessions.parity.pool import _log_sandbox
from ci_sessions.run.scratch import remove


def test_a_system_without_landlock_causes_a_warning(caplog):
    _log_sandbox(["limits", "landlock 3"])
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        _log_sandbox([])
    assert "this system has no Landlock" in caplog.text


def test_a_folder_without_permissions_is_removed(tmp_path):
    folder = tmp_path / "base"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "c").write_text("x")
    (folder / "link").symlink_to(tmp_path)
    os.chmod(folder / "a", 0)  # noqa: PTH101
    remove(folder)
    assert not folder.exists()
    assert tmp_path.exists()
