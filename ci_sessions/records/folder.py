"""Where records are: with the checkout that they are about, unless an option says otherwise."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["FOLDER", "create_folder", "ignore_in_git", "records_folder"]

FOLDER = ".ci-sessions"
_PACKAGE = Path(__file__).resolve().parents[1]
_OWN = (_PACKAGE, _PACKAGE.parent / "examples")  # installed, and in a clone


def records_folder(given: str | None, root: Path) -> Path:
    """Return the given folder, or ``.ci-sessions`` in the root of the checkout.

    For a checkout that cannot be written to, and for this project's own sample checkout, which is
    part of its package, it is ``.ci-sessions`` in the current folder, as a relative path if
    that folder no longer exists.
    """
    if given is not None:
        return Path(given)
    folder = root / FOLDER
    if any(root.is_relative_to(own) for own in _OWN) or not _can_write(folder):
        with suppress(OSError):
            return Path.cwd() / FOLDER
        return Path(FOLDER)
    return folder


def create_folder(folder: Path) -> None:
    """Create a folder for records if necessary; git ignores it.

    Raises OSError, also if its .gitignore cannot be written, as on a full disk: then there must be
    no folder, since tests assert that the checkout is clean.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _write_gitignore(folder / ".gitignore")
    except OSError:
        with suppress(OSError):
            (folder / ".gitignore").unlink(missing_ok=True)
            folder.rmdir()
        raise


def ignore_in_git(folder: Path) -> None:
    """Write the folder's .gitignore if a test removed it, or if it is empty: the disk was full."""
    with suppress(OSError):
        _write_gitignore(folder / ".gitignore")


def _write_gitignore(path: Path) -> None:
    with suppress(FileNotFoundError):
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_size):
            return
        path.unlink()
    with suppress(FileExistsError), path.open("x", encoding="utf-8") as out:  # by another run
        out.write("*\n")


def _can_write(folder: Path) -> bool:
    """Return whether files can be written to a folder, which may not exist yet."""
    existing = folder if os.access(folder, os.F_OK) else folder.parent
    return os.access(existing, os.W_OK | os.X_OK)
