"""A sandbox for scripts that are only asked what they would do; it needs no privileges.

The recorder itself starts no program of the checkout. The sandbox is for what it cannot see: a
redirection of bash to a file elsewhere, its ``/dev/tcp``, a fork bomb, a program that was started
past it. It is made of what the kernel has: another user, limits, Landlock, seccomp.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import resource
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NOBODY", "TOOLS", "confine", "has_landlock"]

TOOLS = (
    *("awk", "basename", "cat", "cmp", "comm", "cp", "cut", "date", "diff", "dirname", "expr"),
    *("find", "fold", "grep", "head", "ln", "ls", "mkdir", "mv", "nl", "paste", "readlink"),
    *("realpath", "rev", "rm", "rmdir", "sed", "seq", "sort", "tac", "tail", "tee", "tr", "uniq"),
    "wc",
)
"""The programs that recorder.bash starts, and with bash the only ones that may be."""

NOBODY = 65534
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_BENEATH = 1
_EXECUTE, _WRITE, _TRUNCATE = 1 << 0, 1 << 1, 1 << 14
_CHANGES = _WRITE | sum(1 << bit for bit in range(4, 13))  # Landlock ABI 1
_BY_ABI = {2: 1 << 13, 3: _TRUNCATE}  # refer to other folders, truncate
_NET, _SCOPE = 4, 6  # ABIs that know TCP, and signals and abstract sockets
_SOCKET_AND_METADATA = {
    # socket; chmod, chown, times and extended attributes, also by descriptor; io_uring, ptrace
    "x86_64": (
        0xC000003E,
        (
            *(41, 90, 91, 92, 93, 94, 101, 132, 188, 189, 190, 197, 198, 199, 235, 260, 261, 268),
            *(280, 425, 452, 463, 466),
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 5, 6, 7, 14, 15, 16, 52, 53, 54, 55, 88, 117, 425, 452, 463, 466),
    ),
}
_X32 = 0x40000000  # the same calls under other numbers
_PROCESSES = 400  # a job's own, over those that the user has already
_FILE = 16 * 1024 * 1024  # bytes that one file may grow to
_MEMORY = 4 * 1024**3  # bytes of address space


def confine(folder: Path, programs: Iterable[Path] = (), user: int = NOBODY) -> list[str]:
    """Limit this process for good; return the parts of the sandbox that this kernel has.

    Files change below ``folder`` only, and only ``programs`` are started. Root becomes ``user``.
    """
    if sys.platform != "linux":
        return []
    parts = []
    if os.geteuid() == 0 and _become(user):
        parts.append("user")
    _limit()
    parts.append("limits")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if abi := _restrict_files(libc, folder, tuple(programs)):
        parts.append(f"landlock {abi}")
    if _forbid_calls(libc):
        parts.append("seccomp")
    return parts


def has_landlock() -> bool:
    """Tell whether this kernel keeps a process from writing elsewhere."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).syscall(_CREATE, None, 0, 1) > 0)


def _become(user: int) -> bool:
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        return False
    return True


def _limit() -> None:
    own = os.getuid()
    count = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry.stat().st_uid == own:
                count += len(list((entry / "task").iterdir()))
    limits = {
        resource.RLIMIT_NPROC: count + _PROCESSES,
        resource.RLIMIT_FSIZE: _FILE,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: _MEMORY,
        resource.RLIMIT_NOFILE: 256,
    }
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (limit, limit))


def _restrict_files(libc: ctypes.CDLL, folder: Path, programs: tuple[Path, ...]) -> int:
    """Put up Landlock; return its ABI, or 0 where there is none."""
    abi: int = libc.syscall(_CREATE, None, 0, 1)
    if abi < 1:
        return 0
    changes = _CHANGES | sum(right for since, right in _BY_ABI.items() if abi >= since)
    fields = [changes | (_EXECUTE if programs else 0)]
    if abi >= _NET:
        fields.append(3)  # TCP: neither bind nor connect
    if abi >= _SCOPE:
        fields.append(3)  # no signal to processes outside, nor abstract sockets
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = libc.syscall(_CREATE, attributes, len(attributes), 0)
    if rules < 0:
        return 0
    try:
        _allow(libc, rules, folder, changes)
        _allow(libc, rules, Path("/dev/null"), changes & (_WRITE | _TRUNCATE))
        loaders = {loader for program in programs for loader in _loaders(program)}
        for path in {*programs, *loaders}:
            _allow(libc, rules, path, _EXECUTE)
        return abi if libc.syscall(_RESTRICT, rules, 0) == 0 else 0
    finally:
        os.close(rules)


def _loaders(program: Path) -> list[Path]:
    """Return what the kernel starts a program with, as its header names it."""
    with suppress(OSError):
        found = re.search(rb"/[\w/.-]*ld[\w.-]*\.so[\w.-]*", program.read_bytes()[:8192])
        return [Path(found[0].decode()).resolve()] if found else []
    return []


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    with suppress(OSError):
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            libc.syscall(_ADD, rules, _BENEATH, struct.pack("=Qi", rights, handle), 0)
        finally:
            os.close(handle)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _forbid_calls(libc: ctypes.CDLL) -> bool:
    """Answer calls that Landlock does not know with "permission denied"."""
    if platform.machine() not in _SOCKET_AND_METADATA:
        return False
    architecture, numbers = _SOCKET_AND_METADATA[platform.machine()]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    denied, allowed = 0x00050000 | 13, 0x7FFF0000  # EACCES
    code = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, architecture),
        (give, 0, 0, denied),
        (load, 0, 0, 0),  # the system call
        (at_least, len(numbers) + 1, 0, _X32),
        *((equal, len(numbers) - at, 0, number) for at, number in enumerate(numbers)),
        (give, 0, 0, allowed),
        (give, 0, 0, denied),
    ]
    data = b"".join(struct.pack("=HBBI", *line) for line in code)
    program = _Program(len(code), data)
    done: int = libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)
    return done == 0
