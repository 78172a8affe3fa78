"""Locates the files of records that a command reads."""

from __future__ import annotations

import glob
from pathlib import Path

from ci_sessions.checkout.files import reason_of
from ci_sessions.checkout.locate import find_checkout
from ci_sessions.errors import InputError
from ci_sessions.records.folder import records_folder
from ci_sessions.text import shown

__all__ = ["default_records", "record_files"]


def default_records() -> Path:
    """Return the folder with the records of the checkout that contains the current folder."""
    return records_folder(None, find_checkout(None))


def record_files(source: str | None) -> list[Path]:
    """Return the record files in a folder, or those that match a glob such as ``a/**/*.jsonl``.

    By default, those in the folder of ``default_records``. Raises InputError if the given folder
    does not exist, or if no file matches.
    """
    try:
        return _find_records(source)
    except OSError as error:
        where = "the current folder" if source is None else f"--records is {shown(source)}, which"
        raise InputError(f"{where} cannot be read: {reason_of(error)}.") from error


def _find_records(source: str | None) -> list[Path]:
    if source is None:
        return sorted(default_records().rglob("*.jsonl"))
    if any(char in source for char in "*?["):
        found = [Path(name) for name in sorted(glob.glob(source, recursive=True))]  # noqa: PTH207 - Path.glob rejects absolute patterns
        if not found:
            raise InputError(f"--records is {shown(source)}: no file matches.")
        return found
    if not Path(source).is_dir():
        raise InputError(f"--records is {shown(source)}: there is no such folder.")
    return sorted(Path(source).rglob("*.jsonl"))
