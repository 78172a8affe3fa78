"""Reaps a child process, or terminates it with its whole process group."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.run.descendants import GRACE, group_size

if TYPE_CHECKING:
    import resource
    import subprocess  # noqa: TID251 - its type only

    from ci_sessions.run.signals import Signals

__all__ = ["reap", "shell_code", "terminate_group"]

_TICK = 0.01  # seconds between checks


def reap(child: subprocess.Popen[bytes], *, wait: bool = False) -> resource.struct_rusage | None:
    """Reap the child if it has ended, and return its resource usage.

    Raises ChildProcessError if its exit status is not available (see SIGCHLD in ``signals``).
    """
    if child.returncode is not None:
        return None
    pid, status, usage = os.wait4(child.pid, 0 if wait else os.WNOHANG)
    if pid == 0:
        return None
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage


def terminate_group(
    child: subprocess.Popen[bytes], first: int, signals: Signals
) -> resource.struct_rusage | None:
    """Terminate a child's process group: signal, wait, kill. A further signal shortens the wait.

    Returns the child's resource usage if this reaps it.
    """
    usage = reap(child)
    deadline = clock.monotonic() + GRACE
    signum = first
    while group_size(child.pid) or child.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signum)
        if signum == signal.SIGKILL:
            usage = usage or reap(child, wait=True)
        until = min(deadline, clock.monotonic() + GRACE)
        while clock.monotonic() < until and (group_size(child.pid) or child.returncode is None):
            usage = usage or reap(child)
            if signals.is_impatient():
                break
            clock.sleep(_TICK)
        if signum == signal.SIGKILL:
            break
        signum = signal.SIGKILL
    return usage


def shell_code(code: int) -> int:
    """Return a child's exit code as a shell reports it: 128 + N for signal N."""
    return 128 - code if code < 0 else code
