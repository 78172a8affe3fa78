"""Locates the files of records that a command reads, and reads the runs in them."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.checkout.files import reason_of
from ci_sessions.checkout.locate import find_checkout
from ci_sessions.errors import InputError
from ci_sessions.records.folder import records_folder
from ci_sessions.records.query import read_summaries
from ci_sessions.text import count, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.records.query import Summary

__all__ = ["default_records", "read_runs", "record_files"]


def default_records() -> Path:
    """Return the folder with the records of the checkout that contains the current folder."""
    return records_folder(None, find_checkout(None))


def record_files(source: str | None) -> list[Path]:
    """Return the record files in a folder, or one file, or those that match ``a/**/*.jsonl``.

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
    if Path(source).is_file():
        return [Path(source)]
    if not Path(source).is_dir():
        raise InputError(f"--records is {shown(source)}: there is no such folder or file.")
    return sorted(Path(source).rglob("*.jsonl"))


def read_runs(source: str | None) -> Iterator[Summary]:
    """Yield all runs in the records. Raises InputError if the given place has none."""
    files = record_files(source)
    is_empty = True
    for run in read_summaries(files):
        is_empty = False
        yield run
    if source is not None and is_empty:
        what = f"no run in {count(len(files), 'file')}" if files else "no file of records there"
        raise InputError(f"--records is {shown(source)}: {what}.")
