"""The one door to processes: start a child in its own group, stream what it writes, end it all.

Each child leads a session of its own, so that ending the group ends its grandchildren. What leaves
the group (a daemon) is caught too on Linux: this process asks to inherit orphans and finds them.
"""

from __future__ import annotations

import codecs
import ctypes
import os
import resource
import selectors
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ci_sessions import clock
from ci_sessions.errors import CheckoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

__all__ = [
    "Captured",
    "Companion",
    "Ended",
    "Interrupted",
    "adopt_orphans",
    "capture",
    "end_descendants",
    "git_files",
    "holding_signals",
    "no_core_dumps",
    "raising_on_signals",
    "stream",
]

_TICK = 0.1  # seconds between looks at the child and its limits
_DRAIN = 1.0  # seconds that output may trail a child's end, held open by a grandchild
_QUIET = 0.3  # seconds that a half line waits for its end
_GRACE = 5.0  # seconds between asking a group to end and killing it
_CHUNK = 65536
_PR_SET_CHILD_SUBREAPER = 36
NOT_FOUND = 127
TIMED_OUT = 124
Reason = Literal["exit", "timeout", "not found"]


class Interrupted(BaseException):
    """A signal asked the run to end. Not an Exception: nothing that handles faults may catch it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """The shell's code for a process that a signal ended."""
        return 128 + self.signum


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
    reason: Reason = "exit"
    left_behind: int = 0


@dataclass(frozen=True, slots=True)
class Captured:
    """The answer to a short question: exit code and standard output."""

    code: int
    text: str


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


def git_files(root: Path, revision: str, folder: str) -> dict[str, bytes]:
    """Return the files below ``folder`` at a revision, by path from ``root``, maybe a subfolder.

    Raises CheckoutError when there is no such revision, or nothing of that folder in it.
    """
    if revision.startswith("-"):
        raise CheckoutError(f"--since is {revision!r}: give a commit, a tag or a branch.")
    git = ["git", "-C", str(root)]
    listed = _git([*git, "ls-tree", "-r", "-z", revision, "--", folder], revision)
    names = [
        entry.partition("\t")[2]
        for entry in listed.decode(errors="surrogateescape").split("\0")
        if entry.partition(" ")[0] in ("100644", "100755")
    ]
    if not names:
        raise CheckoutError(f"{folder} has no files at the revision {revision!r} of {root}.")
    return {name: _git([*git, "show", f"{revision}:./{name}"], revision) for name in names}


def _git(argv: list[str], revision: str) -> bytes:
    try:
        done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise CheckoutError(f"git did not answer: {error}.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise CheckoutError(
            f"--since is {revision!r}, which git cannot read: {said}: give a commit, a tag or a "
            "branch that this checkout has."
        )
    return done.stdout


class Companion:
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

    def __enter__(self) -> Companion:  # noqa: PYI034 - Self needs Python 3.11
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
        return Ended(code, clock.seconds() - began, 0.0, 0, "not found")
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
    output = _Output(child, emit)
    usage: resource.struct_rusage | None = None
    reason: Reason = "exit"
    gone: float | None = None
    while True:
        is_open = output.read(_TICK)
        elapsed = clock.seconds() - began
        on_tick(elapsed)
        if usage is None:
            usage = _reap(child)
            gone = clock.seconds() if usage else None
        if usage is None and limit is not None and elapsed > limit:
            reason = "timeout"
            usage = _end_group(child, signal.SIGTERM)
            gone = clock.seconds()
        if gone is not None and (not is_open or clock.seconds() - gone > _DRAIN):
            break
    output.finish()
    left = _group_size(child.pid)
    if left:
        _end_group(child, signal.SIGTERM)
    code = TIMED_OUT if reason == "timeout" else _shell_code(child.returncode)
    return Ended(
        code,
        clock.seconds() - began,
        usage.ru_utime + usage.ru_stime if usage else 0.0,
        usage.ru_maxrss * 1024 if usage else 0,
        reason,
        left,
    )


class _Output:
    """Reads a child's pipe in pieces and passes on whole lines, or half ones after a while."""

    def __init__(self, child: subprocess.Popen[bytes], emit: Callable[[str], None]) -> None:
        if child.stdout is None:  # pragma: no cover - Popen was given a pipe
            raise ValueError("the child has no output to read")
        self._file = child.stdout
        os.set_blocking(self._file.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._file, selectors.EVENT_READ)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._emit = emit
        self._held = ""
        self._since = clock.seconds()
        self._is_open = True

    def read(self, wait: float) -> bool:
        """Read what is there within ``wait`` seconds; tell whether more may come."""
        if not self._is_open:
            clock.sleep(wait / 10)
            return False
        if self._selector.select(wait):
            data = os.read(self._file.fileno(), _CHUNK)
            self._is_open = bool(data)
            self._take(self._decoder.decode(data, final=not data))
        if self._held and clock.seconds() - self._since > _QUIET:
            self._pass_on(self._held)
            self._held = ""
        return self._is_open

    def _take(self, text: str) -> None:
        whole, newline, rest = (self._held + text).rpartition("\n")
        if newline or not self._held:
            self._since = clock.seconds()  # a half line begins
        self._held = rest
        if newline:
            self._pass_on(whole + newline)

    def _pass_on(self, text: str) -> None:
        if text:
            self._emit(text)

    def finish(self) -> None:
        """Pass on what is left."""
        self._take(self._decoder.decode(b"", final=True))
        self._pass_on(self._held)
        self._held = ""
        self._selector.close()


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
    deadline = clock.seconds() + _GRACE
    signum = first
    while _group_size(child.pid) or child.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signum)
        if signum == signal.SIGKILL:
            usage = usage or _reap(child, wait=True)
        until = min(deadline, clock.seconds() + _GRACE)
        while clock.seconds() < until and (_group_size(child.pid) or child.returncode is None):
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


def _processes() -> Iterator[tuple[int, int, int, str]]:
    """Give pid, parent, group and state of every process, from /proc (nothing elsewhere)."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            pid, rest = entry.parent.name, entry.read_text(errors="replace").rpartition(")")[2]
            state, parent, group = rest.split()[:3]
            yield int(pid), int(parent), int(group), state


def _group_size(group: int) -> int:
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
        deadline = clock.seconds() + (_GRACE if signum == signal.SIGTERM else 1.0)
        while clock.seconds() < deadline and descendants() & mine:
            clock.sleep(_TICK / 10)
        if not descendants() & mine:
            break
    for pid in mine:
        with suppress(ChildProcessError, OSError):
            os.waitpid(pid, os.WNOHANG)
    return len(mine)


def no_core_dumps() -> None:
    """Do as ``ulimit -c 0``: a rerun that crashes often must not fill the disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


@contextmanager
def raising_on_signals() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into ``Interrupted`` in the main thread, then undo that."""

    def stop(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum)

    with _handling(stop):
        yield


@contextmanager
def holding_signals() -> Iterator[None]:
    """Let a first signal wait until the end, as ``Interrupted``; a second one cuts at once."""
    held: list[int] = []

    def hold(signum: int, _frame: FrameType | None) -> None:
        held.append(signum)
        if len(held) > 1:
            raise Interrupted(signum)

    with _handling(hold):
        yield
    if held:
        raise Interrupted(held[0])


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals that end a process, but for those that the caller has ignored (nohup)."""
    before = {}
    try:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(name) is not signal.SIG_IGN:
                before[name] = signal.signal(name, handler)
    except ValueError:  # not the main thread: signals are somebody else's
        before = {}
    try:
        yield
    finally:
        for name, former in before.items():
            signal.signal(name, former)
