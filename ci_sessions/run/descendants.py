"""The processes below this one: found in /proc, also those that left their group, and ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["GRACE", "adopt_orphans", "descendants", "end_descendants", "group_size"]

GRACE = 5.0  # seconds between asking a process to end and killing it
_TICK = 0.01  # seconds between looks
_PR_SET_CHILD_SUBREAPER = 36


def _processes() -> Iterator[tuple[int, int, int, str]]:
    """Give pid, parent, group and state of every process, from /proc (nothing elsewhere)."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            pid, rest = entry.parent.name, entry.read_text(errors="replace").rpartition(")")[2]
            state, parent, group = rest.split()[:3]
            yield int(pid), int(parent), int(group), state


def group_size(group: int) -> int:
    """Count the living processes of a group; zombies are dead already."""
    if sys.platform != "linux":
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return 0
        return 1
    return sum(1 for _, _, its, state in _processes() if its == group and state not in "ZX")


def adopt_orphans() -> None:
    """Ask Linux to hand this process its descendants' orphans, so that none gets out of sight."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> set[int]:
    """Return the pids of all processes below this one."""
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


def end_descendants(but: set[int]) -> int:
    """End every process below this one that is not in ``but``; return how many there were."""
    mine = descendants() - but
    for signum in (signal.SIGTERM, signal.SIGKILL):
        for pid in mine:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signum)
        deadline = clock.seconds() + (GRACE if signum == signal.SIGTERM else 1.0)
        while clock.seconds() < deadline and descendants() & mine:
            clock.sleep(_TICK)
        if not descendants() & mine:
            break
    for pid in mine:
        with suppress(ChildProcessError, OSError):
            os.waitpid(pid, os.WNOHANG)
    return len(mine)
