"""Walls that the kernel keeps around this process and all that it starts; none needs privileges.

The recorder itself starts no program of the checkout; these walls are for what it cannot see: a
redirection of bash to a file elsewhere, its ``/dev/tcp``, a fork bomb. Each is put up where the
kernel has it, and what stands is said.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["NOBODY", "confine", "has_landlock"]

NOBODY = 65534
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_BENEATH = 1
_WRITES = (1 << 1) | sum(1 << bit for bit in range(4, 13))  # Landlock ABI 1
_BY_ABI = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}  # refer, truncate, ioctl of devices
_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_PROCESSES = 200  # a job's own, over those that the user has already
_FILE = 16 * 1024 * 1024  # bytes that one file may grow to
_MEMORY = 4 * 1024**3  # bytes of address space


def confine(folder: Path) -> list[str]:
    """Limit this process for good to writing below ``folder``; return the walls that stand."""
    if sys.platform != "linux":
        return []
    walls = []
    if os.geteuid() == 0 and _become_nobody():
        walls.append("user")
    _limit()
    walls.append("limits")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if abi := _restrict_writes(libc, folder):
        walls.append(f"landlock {abi}")
    if _forbid_sockets(libc):
        walls.append("seccomp")
    return walls


def has_landlock() -> bool:
    """Tell whether this kernel keeps a process from writing elsewhere."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).syscall(_CREATE, None, 0, 1) > 0)


def _become_nobody() -> bool:
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
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


def _restrict_writes(libc: ctypes.CDLL, folder: Path) -> int:
    """Put up Landlock: files are changed below ``folder`` only, nothing is signalled outside."""
    abi = libc.syscall(_CREATE, None, 0, 1)
    if abi < 1:
        return 0
    handled = _WRITES | sum(right for since, right in _BY_ABI.items() if abi >= since)
    handled &= ~(1 << 15)  # a terminal's ioctl does no harm
    fields = [handled]
    if abi >= 4:  # noqa: PLR2004 - TCP bind and connect
        fields.append(3)
    if abi >= 6:  # noqa: PLR2004 - abstract sockets and signals
        fields.append(3)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = libc.syscall(_CREATE, attributes, len(attributes), 0)
    if rules < 0:
        return 0
    try:
        _allow(libc, rules, folder, handled)
        _allow(libc, rules, Path("/dev/null"), handled & ((1 << 1) | (1 << 14)))
        return abi if libc.syscall(_RESTRICT, rules, 0) == 0 else 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        libc.syscall(_ADD, rules, _BENEATH, struct.pack("=Qi", rights, handle), 0)
    finally:
        os.close(handle)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _forbid_sockets(libc: ctypes.CDLL) -> bool:
    """Answer ``socket`` with "permission denied", by a filter of system calls."""
    if platform.machine() not in _SOCKET:
        return False
    architecture, number = _SOCKET[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06
    code = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, architecture),
        (give, 0, 0, 0x00050000 | 13),
        (load, 0, 0, 0),  # the system call
        (equal, 0, 1, number),
        (give, 0, 0, 0x00050000 | 13),  # EACCES
        (give, 0, 0, 0x7FFF0000),  # allowed
    ]
    data = b"".join(struct.pack("=HBBI", *line) for line in code)
    program = _Program(len(code), data)
    done: int = libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)
    return done == 0
