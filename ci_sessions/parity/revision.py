"""Reads the script folder at a git revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.errors import CheckoutError
from ci_sessions.run.process import capture_program
from ci_sessions.text import shown

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["files_at"]

_FILES = ("100644", "100755")  # modes of plain files


def files_at(root: Path, revision: str, folder: str) -> dict[str, bytes]:
    """Return the files in ``folder`` at a revision, by path relative to ``root``.

    ``root`` may be a subfolder of the repository. Raises CheckoutError if there is no such
    revision, or if it has no files in that folder.
    """
    if revision.startswith("-"):
        raise CheckoutError(f"--since is {shown(revision)}: give a commit, a tag or a branch.")
    listed = _git(root, revision, "ls-tree", "-r", "-z", revision, "--", folder)
    names = [
        entry.partition("\t")[2]
        for entry in listed.decode(errors="surrogateescape").split("\0")
        if entry.partition(" ")[0] in _FILES
    ]
    if not names:
        raise CheckoutError(f"{folder} has no files at the revision {shown(revision)} of {root}.")
    return {name: _git(root, revision, "show", f"{revision}:./{name}") for name in names}


def _git(root: Path, revision: str, *args: str) -> bytes:
    result = capture_program(["git", "-C", str(root), *args])
    if result.code:
        raise CheckoutError(
            f"--since is {shown(revision)}, which git cannot read ({result.stderr}): give a "
            "commit, a tag or a branch that this checkout has."
        )
    return result.stdout
