"""Find and terminate all descendants of this process, including those that left their group."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ci_sessions import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "GRACE",
    "adopt_orphans",
    "descendants",
    "group_size",
    "left_in_group",
    "terminate_descendants",
]

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
_TICK = 0.01  # seconds between checks
_MOMENT = 0.5  # seconds in which processes that are about to end do so
_PR_SET_CHILD_SUBREAPER = 36


def _processes() -> Iterator[tuple[int, int, int, str]]:
    """Yield the pid, parent, group and state of every process, from /proc; nothing without it."""
    pids = os.listdir("/proc") if sys.platform == "linux" else ()  # noqa: PTH208 - much faster
    for pid in filter(str.isdigit, pids):
        with suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as above
                state, parent, group = file.read().rpartition(b")")[2].split()[:3]
            yield int(pid), int(parent), int(group), state.decode()


def group_size(group: int) -> int:
    """Return the number of running processes in a group; zombies do not count."""
    if sys.platform != "linux":
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return 0
        return 1
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return 0  # as usual: then no process needs to be looked at
    except PermissionError:
        pass
    return sum(1 for _, _, its, state in _processes() if its == group and state not in "ZX")


def left_in_group(group: int, leaders: int = 0) -> int:
    """Return how many processes besides the ``leaders`` stay in a group for a moment.

    Helpers such as Python's resource tracker end by themselves just after the process they serve.
    """
    until = clock.monotonic() + _MOMENT
    while (left := group_size(group) - leaders) > 0 and clock.monotonic() < until:
        clock.sleep(_TICK)
    return max(0, left)


def adopt_orphans() -> None:
    """Become a subreaper (Linux): orphaned descendants become children of this process."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - slow to import, and only for runs

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> set[int]:
    """Return the pids of all descendants of this process."""
    children: dict[int, list[int]] = {}
    for pid, parent, _, state in _processes():
        if state not in "ZX":
            children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    new = [os.getpid()]
    while new:
        below = [pid for parent in new for pid in children.get(parent, ()) if pid not in found]
        found.update(below)
        new = below
    return found


def terminate_descendants(keep: set[int], is_impatient: Callable[[], bool] = lambda: False) -> int:
    """Terminate all descendants that are not in ``keep``; return how many there were.

    They get SIGTERM, and SIGKILL after a grace period, or at once if ``is_impatient``. New
    descendants that they start meanwhile are terminated too, within a time limit.
    """
    terminated: set[int] = set()
    deadline = clock.monotonic() + GRACE
    while (left := descendants() - keep) and clock.monotonic() < deadline:
        _send(left - terminated, signal.SIGTERM)
        terminated |= left
        if is_impatient():
            break
        clock.sleep(_TICK)
    deadline = clock.monotonic() + GRACE
    while (left := descendants() - keep) and clock.monotonic() < deadline:
        _send(left, signal.SIGSTOP)  # a stopped process cannot start another one
        terminated |= left
        _send((descendants() - keep) | left, signal.SIGKILL)
        clock.sleep(_TICK)
    for pid in terminated:
        with suppress(ChildProcessError, OSError):
            os.waitpid(pid, os.WNOHANG)
    return len(terminated)


def _send(pids: set[int], signum: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)
