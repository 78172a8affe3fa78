"""Temporary folders for sandboxed processes, and the users that own them."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from ci_sessions.errors import InternalError
from ci_sessions.run.sandbox import NOBODY

__all__ = ["assign_user", "make_temporary_folder", "remove"]

_USERS = itertools.count(0x4000_0000 + 64 * os.getpid())  # above the IDs of people and services


def assign_user(folder: Path) -> int:
    """As root, make an unprivileged user the owner of a folder. Return the user's ID.

    Each worker has its own user: process limits apply per user, so one script's fork bomb would
    otherwise starve the others.
    """
    if os.geteuid() == 0:
        for user in (next(_USERS), NOBODY):
            with suppress(OSError):  # a container may not map that user, or may restrict root
                os.chown(folder, user, user)
                return user
    return NOBODY


def make_temporary_folder() -> Path:
    """Create a folder that any user can enter, with a path that needs no quotes in scripts."""
    for parent in (Path(tempfile.gettempdir()).resolve(), Path("/var/tmp"), Path("/tmp")):  # noqa: S108 - safe with mkdtemp
        is_plain = all(char.isalnum() or char in "/._-" for char in str(parent))
        is_open = all(path.stat().st_mode & 0o001 for path in (parent, *parent.parents))
        if is_plain and is_open and os.access(parent, os.W_OK):
            base = Path(tempfile.mkdtemp(prefix="ci-sessions-", dir=parent))
            base.chmod(0o711)
            return base
    raise InternalError(
        "no suitable folder for temporary files: set TMPDIR to one that every user can enter, "
        "with a path of letters, digits and ._- only."
    )


def remove(folder: Path) -> None:
    """Remove a temporary folder, even if the script removed its permissions."""
    for path, folders, _ in os.walk(folder):
        for name in folders:
            subfolder = Path(path, name)
            if not subfolder.is_symlink():
                with suppress(OSError):
                    subfolder.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
