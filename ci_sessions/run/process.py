"""The only user of subprocess: start a child in its own group, stream what it writes, end it all.

Each child leads a session of its own, so that ending the group ends its grandchildren. What leaves
the group (a daemon) is found by ``descendants.py``.
"""

from __future__ import annotations

import enum
import os
import resource
import selectors
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.run.descendants import GRACE, group_size
from ci_sessions.run.pipe import PipeReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Captured",
    "Ended",
    "LineProcess",
    "ProgramOutput",
    "Reason",
    "capture",
    "capture_program",
    "no_core_dumps",
    "stream",
]

_TICK = 0.1  # seconds between looks at the child and its limits
_DRAIN = 1.0  # seconds that output may trail a child's end, held open by a grandchild
_CHUNK = 65536
NOT_FOUND = 127
TIMED_OUT = 124


class Reason(enum.Enum):
    """Why a child is no more."""

    EXIT = "exit"
    TIMEOUT = "timeout"
    NOT_FOUND = "not found"  # it never was


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. Times in seconds; ``peak`` is the largest resident set, in bytes.

    Time and memory are the operating system's own accounting (``wait4``) and include the child's
    children. ``code`` is the child's own, 128 + N for signal N.
    """

    code: int
    wall: float
    cpu: float
    peak: int
    reason: Reason = Reason.EXIT
    left_behind: int = 0


@dataclass(frozen=True, slots=True)
class Captured:
    """The answer to a short question: exit code and standard output."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class ProgramOutput:
    """What a program printed: exit code, standard output, standard error."""

    code: int
    output: bytes
    errors: str


def capture(line: str, *, cwd: Path, env: Mapping[str, str], limit: float = 60.0) -> Captured:
    """Run a line of bash, at most ``limit`` seconds; return what it prints, as ``$(…)`` would."""
    try:
        done = subprocess.run(
            ["bash", "-c", line],  # noqa: S607 - bash from PATH is what the checkout's scripts use
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Captured(TIMED_OUT, "")
    except FileNotFoundError:
        return Captured(NOT_FOUND, "")
    return Captured(done.returncode, done.stdout.decode(errors="replace").rstrip("\n"))


def capture_program(argv: Sequence[str], *, limit: float = 60.0) -> ProgramOutput:
    """Run a program to its end, at most ``limit`` seconds, and return all that it printed.

    One that cannot be started has code 127, one that took too long 124.
    """
    try:
        done = subprocess.run(list(argv), capture_output=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return ProgramOutput(TIMED_OUT, b"", f"{argv[0]} took more than {limit:g} s")
    except OSError as error:
        return ProgramOutput(NOT_FOUND, b"", f"{argv[0]}: {error.strerror}")
    return ProgramOutput(done.returncode, done.stdout, done.stderr.decode(errors="replace").strip())


class LineProcess:
    """A child that answers each line with a line, in a session of its own; a context manager.

    ``errors`` is the file that takes its standard error.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], errors: Path) -> None:
        with errors.open("wb") as told:
            self._child = subprocess.Popen(
                list(argv),
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                start_new_session=True,
            )
        self._rest = b""

    def __enter__(self) -> LineProcess:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def ask(self, line: str, limit: float) -> str | None:
        """Send a line and return the answer; None when it ended, or took over ``limit`` seconds."""
        stdin, stdout = self._child.stdin, self._child.stdout
        if stdin is None or stdout is None:  # pragma: no cover - Popen was given pipes
            return None
        try:
            stdin.write(line.encode() + b"\n")
            stdin.flush()
        except (BrokenPipeError, ValueError):
            return None
        return self._read(stdout.fileno(), clock.seconds() + limit)

    def _read(self, handle: int, until: float) -> str | None:
        pieces = [self._rest]
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while b"\n" not in pieces[-1]:
                if not selector.select(max(0.0, until - clock.seconds())):
                    return None
                piece = os.read(handle, _CHUNK)
                if not piece:
                    return None
                pieces.append(piece)
        line, _, self._rest = b"".join(pieces).partition(b"\n")
        return line.decode()

    def end(self) -> None:
        """End the child and its group, now."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def stream(  # noqa: PLR0913 - a process has this many sides
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    emit: Callable[[str], None],
    limit: float | None = None,
    on_tick: Callable[[float], None] = lambda _: None,
) -> Ended:
    """Run a command, hand its output to ``emit`` as it comes, and say how it ended.

    Output is standard output and error together, decoded as UTF-8 with a mark for what is not.
    ``limit`` is in seconds. On a signal the whole group ends before ``Interrupted`` goes on.
    """
    began = clock.seconds()
    try:
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        emit(f"{error.filename or argv[0]}: {error.strerror}\n")
        code = 126 if isinstance(error, PermissionError) else NOT_FOUND
        return Ended(code, clock.seconds() - began, 0.0, 0, Reason.NOT_FOUND)
    try:
        return _follow(child, began, emit, limit, on_tick)
    except BaseException as error:
        first = signal.SIGINT if getattr(error, "signum", 0) == signal.SIGINT else signal.SIGTERM
        _end_group(child, first)
        raise
    finally:
        if child.stdout is not None:
            child.stdout.close()


def _follow(
    child: subprocess.Popen[bytes],
    began: float,
    emit: Callable[[str], None],
    limit: float | None,
    on_tick: Callable[[float], None],
) -> Ended:
    if child.stdout is None:  # pragma: no cover - Popen was given a pipe
        raise ValueError("the child has no output to read")
    output = PipeReader(child.stdout, emit)
    usage: resource.struct_rusage | None = None
    reason = Reason.EXIT
    gone: float | None = None
    while True:
        is_open = output.read(_TICK)
        elapsed = clock.seconds() - began
        on_tick(elapsed)
        if usage is None:
            usage = _reap(child)
            gone = clock.seconds() if usage else None
        if usage is None and limit is not None and elapsed > limit:
            reason = Reason.TIMEOUT
            usage = _end_group(child, signal.SIGTERM)
            gone = clock.seconds()
        if gone is not None and (not is_open or clock.seconds() - gone > _DRAIN):
            break
    output.finish()
    left = group_size(child.pid)
    if left:
        _end_group(child, signal.SIGTERM)
    code = TIMED_OUT if reason is Reason.TIMEOUT else _shell_code(child.returncode)
    return Ended(
        code,
        clock.seconds() - began,
        usage.ru_utime + usage.ru_stime if usage else 0.0,
        usage.ru_maxrss * 1024 if usage else 0,
        reason,
        left,
    )


def _reap(child: subprocess.Popen[bytes], *, wait: bool = False) -> resource.struct_rusage | None:
    """Collect the child if it has ended, with the system's accounting of it."""
    if child.returncode is not None:
        return None
    try:
        pid, status, usage = os.wait4(child.pid, 0 if wait else os.WNOHANG)
    except ChildProcessError:  # pragma: no cover - somebody else reaped it
        child.returncode = 0
        return None
    if pid == 0:
        return None
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage


def _end_group(child: subprocess.Popen[bytes], first: int) -> resource.struct_rusage | None:
    """End all of a child's group: ask, wait, kill. Returns the child's accounting, if now ended."""
    usage = _reap(child)
    deadline = clock.seconds() + GRACE
    signum = first
    while group_size(child.pid) or child.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signum)
        if signum == signal.SIGKILL:
            usage = usage or _reap(child, wait=True)
        until = min(deadline, clock.seconds() + GRACE)
        while clock.seconds() < until and (group_size(child.pid) or child.returncode is None):
            usage = usage or _reap(child)
            clock.sleep(_TICK / 10)
        if signum == signal.SIGKILL:
            break
        signum = signal.SIGKILL
    return usage


def _shell_code(code: int | None) -> int:
    if code is None:  # pragma: no cover - the child was reaped before
        return NOT_FOUND
    return 128 - code if code < 0 else code


def no_core_dumps() -> None:
    """Do as ``ulimit -c 0``: a rerun that crashes often must not fill the disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
