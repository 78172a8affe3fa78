"""Answers of run_test.py in a file, by the content of all that was read, and by this code.

A file has all answers about one state of a checkout. A file that cannot be read or written, on a
full disk for example, only costs time.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions import clock
from ci_sessions.inventory.selection import Selection, from_dict
from ci_sessions.records.folder import create_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ci_sessions.inventory.selection import Answer, Question
    from ci_sessions.inventory.tree import TestTree

__all__ = ["AnswerCache"]

_SECONDS = 30 * 24 * 3600.0  # unused files are removed after this time
_MAX_FILES = 50
_CODE = ("standin.py", "worker.py", "printed.py", "asker.py", "selection.py")

Key = tuple[object, ...]


class AnswerCache:
    """Answers in a folder; None disables the cache. ``hits`` counts the answers found in it."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._stored: dict[str, Any] = {}
        self._is_changed = False
        self.hits = 0

    def open(self, tree: TestTree) -> None:
        """Read the answers about a copy of a checkout."""
        self._path = self._path_of(tree)
        self._stored = _load(self._path)

    def answers(
        self,
        questions: Sequence[Question],
        ask: Callable[[list[Question]], Mapping[Key, Answer]],
    ) -> dict[Key, Answer]:
        """Return the answer to each question, by its key; ``ask`` is called for what is missing."""
        names = {question.key: _name(question) for question in questions}
        stored = self._stored
        found = {key: from_dict(stored[name]) for key, name in names.items() if name in stored}
        self.hits += len(found)
        missing = [question for question in questions if question.key not in found]
        if missing:
            new = ask(missing)
            found.update(new)
            # Another machine, or more time, may answer what could not be asked.
            lasting = {key: one for key, one in new.items() if _is_lasting(one)}
            stored.update({names[key]: answer.to_dict() for key, answer in lasting.items()})
            self._is_changed = True
        return found

    def _path_of(self, tree: TestTree) -> Path | None:
        if self._folder is None:
            return None
        digest = hashlib.sha256(tree.digest.encode())
        for name in _CODE:
            digest.update(Path(__file__).with_name(name).read_bytes())
        return self._folder / "inventory" / f"{digest.hexdigest()}.json.gz"

    def save(self) -> None:
        """Write the answers, if there are new ones."""
        path = self._path
        if path is None or self._folder is None or not self._is_changed:
            return
        data = gzip.compress(json.dumps(self._stored).encode(), compresslevel=1)
        with suppress(OSError):
            create_folder(self._folder)
            path.parent.mkdir(exist_ok=True, mode=0o700)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            partial.replace(path)
        _prune(path.parent)


def _is_lasting(answer: Answer) -> bool:
    return isinstance(answer, Selection) or answer.is_rejected


def _name(question: Question) -> str:
    text = json.dumps(
        [question.argv, question.cwd, question.facts.to_dict(), sorted(question.env.items())]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _load(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            data = json.load(file)
        os.utime(path)
    except (OSError, ValueError, EOFError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _prune(folder: Path) -> None:
    """Remove the files that have not been used for a month, and all but the newest."""
    oldest = clock.now().timestamp() - _SECONDS
    with suppress(OSError):
        by_age = sorted(folder.iterdir(), key=lambda path: -path.stat().st_mtime)
        for number, path in enumerate(by_age):
            if number >= _MAX_FILES or path.stat().st_mtime < oldest:
                path.unlink()
