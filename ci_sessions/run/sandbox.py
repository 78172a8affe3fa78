"""A sandbox for tracing scripts without running their commands; it needs no privileges.

The recorder itself starts no program of the checkout. The sandbox contains what the recorder cannot
see: redirections to files elsewhere, ``/dev/tcp`` in bash, fork bombs, programs that bypass it. It
uses what the kernel supports: another user, resource limits, Landlock and seccomp.
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
"""The programs that recorder.bash uses. Only these and bash may be started."""

NOBODY = 65534
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_BENEATH = 1
_EXECUTE, _WRITE, _TRUNCATE = 1 << 0, 1 << 1, 1 << 14
_CHANGES = _WRITE | sum(1 << bit for bit in range(4, 13))  # Landlock ABI 1
_BY_ABI = {2: 1 << 13, 3: _TRUNCATE}  # link and rename across folders, truncate
_NET, _SCOPE = 4, 6  # the first ABIs with TCP rules, and with signal and abstract socket scopes
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
_X32 = 0x40000000  # the x32 ABI: the same system calls with other numbers
_MAX_PROCESSES = 400  # for a job, in addition to those that the user already runs
_MAX_FILE_SIZE = 16 * 1024 * 1024  # bytes
_MAX_MEMORY = 4 * 1024**3  # bytes of address space


def confine(folder: Path, programs: Iterable[Path] = (), user: int = NOBODY) -> list[str]:
    """Confine this process permanently; return the parts of the sandbox that are active.

    It can change files only in ``folder``, and start only ``programs``. Root becomes ``user``.
    """
    if sys.platform != "linux":
        return []
    parts = []
    if os.geteuid() == 0 and _switch_user(user):
        parts.append("user")
    _set_limits()
    parts.append("limits")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if abi := _restrict_files(libc, folder, tuple(programs)):
        parts.append(f"landlock {abi}")
    if _install_seccomp_filter(libc):
        parts.append("seccomp")
    return parts


def has_landlock() -> bool:
    """Return whether this kernel supports Landlock, which restricts access to files."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).syscall(_CREATE, None, 0, 1) > 0)


def _switch_user(user: int) -> bool:
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        return False
    return True


def _set_limits() -> None:
    user = os.getuid()
    count = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry.stat().st_uid == user:
                count += len(list((entry / "task").iterdir()))
    limits = {
        resource.RLIMIT_NPROC: count + _MAX_PROCESSES,
        resource.RLIMIT_FSIZE: _MAX_FILE_SIZE,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: _MAX_MEMORY,
        resource.RLIMIT_NOFILE: 256,
    }
    for kind, wanted in limits.items():
        _, hard = resource.getrlimit(kind)
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (limit, limit))


def _restrict_files(libc: ctypes.CDLL, folder: Path, programs: tuple[Path, ...]) -> int:
    """Enable Landlock; return its ABI version, or 0 without it."""
    abi: int = libc.syscall(_CREATE, None, 0, 1)
    if abi < 1:
        return 0
    changes = _CHANGES | sum(right for since, right in _BY_ABI.items() if abi >= since)
    fields = [changes | (_EXECUTE if programs else 0)]
    if abi >= _NET:
        fields.append(3)  # no TCP bind or connect
    if abi >= _SCOPE:
        fields.append(3)  # no signals or abstract sockets to processes outside
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
    """Return the dynamic loader that a program's header names."""
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


def _install_seccomp_filter(libc: ctypes.CDLL) -> bool:
    """Make system calls that Landlock does not cover fail with "permission denied"."""
    if platform.machine() not in _SOCKET_AND_METADATA:
        return False
    architecture, numbers = _SOCKET_AND_METADATA[platform.machine()]
    load, equal, at_least, ret = 0x20, 0x15, 0x35, 0x06
    denied, allowed = 0x00050000 | 13, 0x7FFF0000  # EACCES
    code = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, architecture),
        (ret, 0, 0, denied),
        (load, 0, 0, 0),  # the system call
        (at_least, len(numbers) + 1, 0, _X32),
        *((equal, len(numbers) - at, 0, number) for at, number in enumerate(numbers)),
        (ret, 0, 0, allowed),
        (ret, 0, 0, denied),
    ]
    data = b"".join(struct.pack("=HBBI", *line) for line in code)
    program = _Program(len(code), data)
    done: int = libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)
    return done == 0
