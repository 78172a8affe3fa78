from __future__ import annotations

import os

import pytest

from ci_sessions.errors import InternalError
from ci_sessions.run import temporary
from ci_sessions.run.temporary import make_temporary_folder


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A folder instead of /dev/shm, one instead of the usual ones, and plenty of room."""
    for name in ("memory", "disk"):
        (tmp_path / name).mkdir()
    for path in (tmp_path, *tmp_path.parents):  # pytest's folders are for one user only
        mode = path.stat().st_mode
        if not mode & 0o001:
            path.chmod(mode | 0o001)
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(temporary.tempfile, "gettempdir", lambda: str(tmp_path / "disk"))
    monkeypatch.setattr(temporary, "_MEMORY", tmp_path / "memory")
    monkeypatch.setattr(temporary, "_DISK", ())
    monkeypatch.setattr(temporary, "_ROOM", 1)
    return tmp_path / "memory"


def test_a_trace_is_in_memory_where_any_user_can_enter_it(memory):
    folder = make_temporary_folder()
    assert folder.parent == memory
    assert folder.stat().st_mode & 0o777 == 0o711


def test_tmpdir_is_respected(memory, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(memory.parent / "disk"))
    assert make_temporary_folder().parent == memory.parent / "disk"


@pytest.mark.parametrize("fault", ["too small", "missing", "closed"])
def test_without_room_in_memory_it_is_on_disk(memory, monkeypatch, fault):
    if fault == "too small":
        status = os.statvfs(memory)
        monkeypatch.setattr(temporary, "_ROOM", status.f_bavail * status.f_frsize * 4)
    elif fault == "missing":
        memory.rmdir()
    else:
        memory.chmod(0o700)
    assert make_temporary_folder().parent == memory.parent / "disk"


def test_a_path_that_needs_quotes_is_not_used(memory, monkeypatch):
    spaced = memory.parent / "my disk"
    spaced.mkdir()
    monkeypatch.setattr(temporary, "_MEMORY", spaced)
    monkeypatch.setattr(temporary.tempfile, "gettempdir", lambda: str(spaced))
    with pytest.raises(InternalError, match="set TMPDIR"):
        make_temporary_folder()
