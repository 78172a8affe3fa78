"""Opens files that a test may have created or replaced.

Only regular files are opened: opening a named pipe may block, and reading a device may never end.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["append_regular", "open_regular", "read_regular", "reason_of", "replace_file"]

MAX_SIZE = 16 << 20  # bytes; no file that this package reads is as large


def open_regular(path: Path, *, follow_links: bool = True) -> IO[bytes]:
    """Open a regular file for reading. Raises OSError for anything else.

    ``follow_links``: whether the file may be a symbolic link to a regular file.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    handle = os.open(path, flags)
    try:
        _check_regular(handle, path)
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def read_regular(path: Path, most: int = MAX_SIZE) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes.

    Raises OSError for anything else.
    """
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MB", str(path))
    return data


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read, without its name, which may be long."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    return getattr(error, "strerror", None) or str(error)


def append_regular(path: Path, data: bytes, *, follow_links: bool = True) -> None:
    """Append to a regular file, which is created if necessary, in a single write.

    Raises OSError if that fails; then the file is as before.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags | (0 if follow_links else os.O_NOFOLLOW), 0o644)
    try:
        size = _check_regular(handle, path).st_size
        if os.write(handle, data) != len(data):
            os.ftruncate(handle, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(handle)


def replace_file(path: Path, data: bytes) -> None:
    """Replace whatever is at a path with a file, at once: nobody reads a part of it.

    A link is replaced, and not what it names. Raises OSError; then nothing has changed.
    """
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _check_regular(handle: int, path: Path) -> os.stat_result:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return found
