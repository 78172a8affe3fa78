"""The only user of subprocess: start a child, stream its output, terminate its process group.

Each child starts a new session, so that terminating its process group also terminates its own
children. ``descendants.py`` finds the processes that left the group, such as daemons.
"""

from __future__ import annotations

import enum
import errno
import os
import resource
import selectors
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci_sessions import clock
from ci_sessions.run.descendants import left_in_group
from ci_sessions.run.pipe import PipeReader
from ci_sessions.run.signals import Interrupted, Signals
from ci_sessions.run.termination import reap, shell_code, terminate_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "LineProcess",
    "ProcessResult",
    "ProgramOutput",
    "Reason",
    "ShellOutput",
    "capture",
    "capture_program",
    "disable_core_dumps",
    "not_started",
    "run_attached",
    "start",
    "stream",
]

_TICK = 0.1  # seconds between checks of the child and its time limit
_DRAIN = 1.0  # seconds to wait for output after a child's exit, if a grandchild holds the pipe open
_CHUNK = 65536
_MAX_READS_AFTER_EXIT = 16  # chunks: more than a pipe holds, if nobody takes the output
_MAX_CAPTURED = 4 << 20  # characters
NOT_EXECUTABLE = 126
NOT_FOUND = 127
TIMED_OUT = 124
SIGNALLED = 128  # exit codes above this are 128 + N, for signal N


class Reason(enum.Enum):
    """Why a child process ended."""

    EXIT = "exit"
    TIMEOUT = "timeout"
    NOT_FOUND = "not found"  # it could not be started
    SIGNAL = "signal"  # the run was interrupted


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """How a child process ended. Times are in seconds, ``peak`` is the maximum memory in bytes.

    Time and memory come from the operating system (``wait4``) and include the child's children.
    ``code`` is the exit code, 128 + N for signal N. ``left_behind`` counts the processes that were
    still running in its group.
    """

    code: int
    wall: float
    cpu: float
    peak: int
    reason: Reason = Reason.EXIT
    left_behind: int = 0

    @property
    def is_cut_off(self) -> bool:
        """Whether a time limit or a signal ended the child."""
        is_crash = SIGNALLED < self.code <= SIGNALLED + signal.NSIG
        return self.reason in (Reason.TIMEOUT, Reason.SIGNAL) or is_crash


@dataclass(frozen=True, slots=True)
class ShellOutput:
    """The exit code and standard output of a line of shell."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class ProgramOutput:
    """The exit code and output of a program."""

    code: int
    stdout: bytes
    stderr: str


def capture(
    line: str,
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float = 60.0,
    signals: Signals | None = None,
) -> ShellOutput:
    """Run a line of bash and return its output as ``$(…)`` does, or the start of a large one.

    ``timeout`` is in seconds. Raises ``Interrupted`` for a signal noted by ``signals``.
    """
    pieces: list[str] = []

    def keep(text: str) -> None:
        if sum(map(len, pieces)) < _MAX_CAPTURED:
            pieces.append(text)

    result = stream(
        ["bash", "-c", line],
        cwd=cwd,
        env=env,
        emit=keep,
        timeout=timeout,
        signals=signals,
        with_stderr=False,
    )
    if result.reason is Reason.SIGNAL:
        raise Interrupted(result.code - 128)
    text = "" if result.reason is Reason.NOT_FOUND else "".join(pieces).rstrip("\n")
    return ShellOutput(result.code, text)


def capture_program(argv: Sequence[str], *, timeout: float = 60.0) -> ProgramOutput:
    """Run a program and return its output. ``timeout`` is in seconds.

    The exit code is 127 if it cannot be started, 124 after a timeout.
    """
    try:
        done = subprocess.run(list(argv), capture_output=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return ProgramOutput(TIMED_OUT, b"", f"{argv[0]} took more than {timeout:g} s")
    except OSError as error:
        return ProgramOutput(NOT_FOUND, b"", f"{argv[0]}: {error.strerror}")
    return ProgramOutput(done.returncode, done.stdout, done.stderr.decode(errors="replace").strip())


def run_attached(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run a command that uses this process's own streams; return its exit code.

    A signal terminates its process group before ``Interrupted`` propagates.
    """
    child = start(argv, cwd=cwd, env=dict(env))
    try:
        return shell_code(child.wait())
    except BaseException:
        terminate_group(child, signal.SIGTERM, Signals())
        raise


class LineProcess:
    """A child process that answers each line with one line; a context manager.

    It runs in a session of its own. ``stderr`` is the file for its standard error.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], stderr: Path) -> None:
        with stderr.open("wb") as file:
            self._child = subprocess.Popen(
                list(argv),
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )
        self._rest = b""

    def __enter__(self) -> LineProcess:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    def ask(self, line: str, timeout: float) -> str | None:
        """Send a line and return the answer; None if the child ended or timed out (seconds)."""
        stdin, stdout = self._child.stdin, self._child.stdout
        if stdin is None or stdout is None:  # pragma: no cover - Popen was given pipes
            return None
        try:
            stdin.write(line.encode() + b"\n")
            stdin.flush()
        except (BrokenPipeError, ValueError):
            return None
        return self._read(stdout.fileno(), clock.monotonic() + timeout)

    def _read(self, handle: int, until: float) -> str | None:
        pieces = [self._rest]
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while b"\n" not in pieces[-1]:
                if not selector.select(max(0.0, until - clock.monotonic())):
                    return None
                piece = os.read(handle, _CHUNK)
                if not piece:
                    return None
                pieces.append(piece)
        line, _, self._rest = b"".join(pieces).partition(b"\n")
        return line.decode()

    def terminate(self) -> None:
        """Kill the child and its process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def stream(  # noqa: PLR0913 - a process has this many settings
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    emit: Callable[[str], None],
    timeout: float | None = None,
    on_tick: Callable[[float], None] = lambda _: None,
    is_ready: Callable[[], bool] = lambda: True,
    signals: Signals | None = None,
    with_stderr: bool = True,
) -> ProcessResult:
    """Run a command, pass its output to ``emit`` as it arrives, and return how it ended.

    The output is standard output and (``with_stderr``) standard error, decoded as UTF-8 with
    surrogate escapes. It is read only while ``is_ready`` returns true; otherwise the child blocks
    when its pipe is full, but ``timeout`` (seconds) and signals still apply. If ``signals`` notes a
    signal, the process group is terminated and the reason is ``Reason.SIGNAL``.
    """
    began = clock.monotonic()
    signals = signals or Signals()
    stderr = subprocess.STDOUT if with_stderr else subprocess.DEVNULL
    try:
        child = start(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    except OSError as error:
        return not_started(error, argv[0], emit, clock.monotonic() - began)
    try:
        return _wait_for(child, began, emit, timeout, on_tick, is_ready, signals)
    except BaseException:
        terminate_group(child, signal.SIGTERM, signals)
        raise
    finally:
        if child.stdout is not None:
            child.stdout.close()


def not_started(
    error: OSError, program: str, emit: Callable[[str], None], wall: float
) -> ProcessResult:
    """Report that a program could not be started, as a shell does."""
    emit(f"{error.filename or program}: {error.strerror}\n")
    code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    return ProcessResult(code, wall, 0.0, 0, Reason.NOT_FOUND)


def start(argv: Sequence[str], **settings: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - Popen's
    """Start a command in a session of its own; run a script without ``#!`` with bash, as bash does.

    Raises OSError if it cannot be started.
    """
    try:
        return subprocess.Popen(list(argv), start_new_session=True, **settings)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    in_bash = ["bash", *argv]
    return subprocess.Popen(in_bash, start_new_session=True, **settings)


def _wait_for(  # noqa: PLR0913, PLR0917 - the arguments of ``stream``
    child: subprocess.Popen[bytes],
    start: float,
    emit: Callable[[str], None],
    timeout: float | None,
    on_tick: Callable[[float], None],
    is_ready: Callable[[], bool],
    signals: Signals,
) -> ProcessResult:
    if child.stdout is None:  # pragma: no cover - Popen was given a pipe
        raise ValueError("the child has no output to read")
    output = PipeReader(child.stdout, emit)
    usage: resource.struct_rusage | None = None
    reason, signum = Reason.EXIT, 0
    exited, reads_left, next_check = float("inf"), _MAX_READS_AFTER_EXIT, 0.0
    while True:
        # After the child's exit, the rest of its output is read even if nobody takes it.
        reads_left -= usage is not None
        can_read = is_ready() or (usage is not None and reads_left > 0)
        is_open = output.read(_TICK) if can_read else output.wait(_TICK)
        elapsed = clock.monotonic() - start
        on_tick(elapsed)
        # Not after every piece of output: system calls are slow while another thread waits to run.
        if usage is None and (elapsed >= next_check or not is_open):
            next_check = elapsed + _TICK / 10
            usage = reap(child)
            if usage is None:
                signum = signals.noted()
                if signum or (timeout is not None and elapsed > timeout):
                    reason = Reason.SIGNAL if signum else Reason.TIMEOUT
                    first = signal.SIGINT if signum == signal.SIGINT else signal.SIGTERM
                    usage = terminate_group(child, first, signals)
            exited = clock.monotonic() if usage else exited
        if usage is not None and (not is_open or clock.monotonic() - exited > _DRAIN):
            break
    output.finish()
    left = left_in_group(child.pid)
    if left:
        terminate_group(child, signal.SIGTERM, signals)
    return ProcessResult(
        _exit_code(child, reason, signum),
        clock.monotonic() - start,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * 1024,
        reason,
        left,
    )


def _exit_code(child: subprocess.Popen[bytes], reason: Reason, signum: int) -> int:
    if reason is Reason.TIMEOUT:
        return TIMED_OUT
    return 128 + signum if reason is Reason.SIGNAL else shell_code(child.returncode)


def disable_core_dumps() -> None:
    """Disable core dumps, like ``ulimit -c 0``."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
