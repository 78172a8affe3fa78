"""The lock of a checkout: two runs would overwrite each other's builds and reports.

The lock is an open file, so it ends with the process that holds it, however that ends. Which run
that is stands in a second file: a process that waits may empty the first one (filelock before 4.0).
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from ci_sessions import clock
from ci_sessions.checkout.files import open_regular
from ci_sessions.errors import CheckoutInUseError
from ci_sessions.log import logger
from ci_sessions.records.folder import create_folder, records_folder
from ci_sessions.text import duration, rough_duration

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import BaseFileLock

__all__ = ["WAIT", "lock_checkout"]

WAIT = 600.0  # seconds that a run waits for another one
_POLL = 0.2  # seconds
_LONGEST = 1 << 12  # bytes that are read from the file about a run
_LONGEST_NAME = 80  # characters of a configuration


def lock_checkout(root: Path, config: str, *, wait: float = WAIT) -> ExitStack:
    """Lock a checkout for the run of a configuration, after at most ``wait`` seconds.

    Returns a context that releases the lock at its end. Raises CheckoutInUseError if another run
    still uses the checkout then. If it cannot be locked at all, for example because it is
    read-only, that is a warning.
    """
    folder = records_folder(None, root)
    path, about = folder / "checkout.lock", folder / "checkout.json"
    try:
        create_folder(folder)
        _check_regular(path)
        lock = FileLock(path)
        _acquire(lock, root, about, wait)
    except CheckoutInUseError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever prevents a lock, the run is possible
        logger.warning("another run can use the checkout too: cannot lock %s: %s", path, error)
        return ExitStack()
    _describe(about, config)
    held = ExitStack()
    held.callback(_release, lock)
    return held


def _check_regular(path: Path) -> None:
    """Raise OSError if something else than a file is at this path: a test may have put it there."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OSError("it is not a regular file")


def _release(lock: BaseFileLock) -> None:
    with suppress(Exception):  # the end of the process releases it too
        lock.release()


def _acquire(lock: BaseFileLock, root: Path, about: Path, wait: float) -> None:
    start, is_told = clock.monotonic(), False
    while True:
        with suppress(Timeout):
            lock.acquire(blocking=False)
            return
        waited = clock.monotonic() - start
        if waited >= wait:
            how = f"waited for {duration(waited)}; try again when" if wait else "wait until"
            raise CheckoutInUseError(
                f"the checkout {root} is in use by {_holder(about)}: {how} that run has ended, or "
                "pass another checkout with --checkout."
            )
        if not is_told:
            logger.warning(
                "the checkout %s is in use by %s: waiting for that run to end, for up to %s "
                "(--no-wait does not wait)",
                *(root, _holder(about), rough_duration(wait)),
            )
            is_told = True
        clock.sleep(min(_POLL, wait - waited))


def _describe(about: Path, config: str) -> None:
    """Write which run holds the lock; without that, others only know that one does."""
    data = {"pid": os.getpid(), "config": config[:_LONGEST_NAME], "since": clock.timestamp()}
    with suppress(OSError):
        about.unlink(missing_ok=True)
        with about.open("x", encoding="utf-8") as out:
            json.dump(data, out)


def _holder(about: Path) -> str:
    """Return which run holds the lock: ``a run of smoke (process 7) since 16:46:40 (12 s ago)``."""
    try:
        with open_regular(about, follow_links=False) as file:
            data = json.loads(file.read(_LONGEST))
        config, pid, since = data["config"][:_LONGEST_NAME], int(data["pid"]), data["since"]
        time = clock.local_time(since)
    except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError):
        return "another run"
    named = f"a run of {config} (process {pid})"
    if time is None:
        return named
    ago = rough_duration(max(0.0, (clock.now() - time).total_seconds()))
    return f"{named} since {time:%H:%M:%S} ({ago} ago)"
