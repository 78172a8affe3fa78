"""The users that own the folders of sandboxed processes, and the removal of these folders."""

from __future__ import annotations

import itertools
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ci_sessions.run.sandbox import NOBODY

__all__ = ["assign_user", "remove"]

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


def remove(folder: Path) -> None:
    """Remove a temporary folder, even if the script removed its permissions."""
    for path, folders, _ in os.walk(folder):
        for name in folders:
            subfolder = Path(path, name)
            if not subfolder.is_symlink():
                with suppress(OSError):
                    subfolder.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
