from __future__ import annotations

import pytest
from filelock import FileLock

from ci_sessions import clock
from ci_sessions.errors import CheckoutInUseError
from ci_sessions.records.checkout_lock import WAIT, lock_checkout


@pytest.fixture
def sleeps(monkeypatch):
    """Replace the clock by one that only sleeping moves; return the times slept."""
    slept = []
    monkeypatch.setattr(clock, "sleep", slept.append)
    monkeypatch.setattr(clock, "monotonic", lambda: sum(slept))
    return slept


@pytest.fixture
def held(tmp_path):
    """A checkout that another run has locked."""
    (tmp_path / ".ci-sessions").mkdir()
    with FileLock(tmp_path / ".ci-sessions" / "checkout.lock"):
        yield tmp_path


def test_a_lock_ends_with_its_block(tmp_path, sleeps):
    with lock_checkout(tmp_path, "smoke"), pytest.raises(CheckoutInUseError, match="run of smoke"):
        lock_checkout(tmp_path, "other", wait=0)
    with lock_checkout(tmp_path, "other", wait=0):
        assert sleeps == []


def test_the_wait_ends_after_ten_minutes(held, sleeps, caplog):
    with pytest.raises(CheckoutInUseError, match="waited for 10 min 00 s; try again when that"):
        lock_checkout(held, "smoke")
    assert sum(sleeps) == pytest.approx(WAIT) == 600
    assert caplog.text.count("waiting for that run to end, for up to 10 min") == 1


def test_no_wait_does_not_sleep(held, sleeps, caplog):
    with pytest.raises(CheckoutInUseError, match="wait until that run has ended"):
        lock_checkout(held, "smoke", wait=0)
    assert (sleeps, caplog.text) == ([], "")


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog):
    def fail(*_, **__):
        raise NotImplementedError("no flock")

    monkeypatch.setattr(FileLock, "acquire", fail)
    with lock_checkout(tmp_path, "smoke"):
        assert "cannot lock" in caplog.text
