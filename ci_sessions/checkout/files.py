"""Opens files that anybody may have put into a checkout, without trusting what they are.

Only regular files are opened: reading a named pipe would block, and a device may never end.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["open_regular"]


def open_regular(path: Path, *, follow_links: bool = True) -> IO[bytes]:
    """Open a regular file for reading. Raises OSError for anything else.

    ``follow_links``: whether the file may be a symbolic link to a regular file.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    handle = os.open(path, flags)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))
