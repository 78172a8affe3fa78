"""Finds jobs that differ only in what the script never reads, so that one trace serves them all.

A variable that no script, no answer of the profile and no part of the recorder mentions can only be
read indirectly (``${!name}``, ``env``, ``declare -p "$name"``). The recorder watches for that while
it traces the first of such jobs; if it happens, each job is traced by itself.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ci_sessions.parity.recording import NoteKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_sessions.parity.recording import Recording

__all__ = ["group_jobs", "has_read", "unmentioned", "watching"]

Request = dict[str, Any]
_OF_SHELL = re.compile(
    r"[^_]*|(LC|LD|BASH|GREP|LS|GLIBC|GCONV|POSIXLY|TIME|QUOTING|BLOCK|MALLOC)_.*|BASH.*|_.*"
)
"""Variables that bash and its tools read of their own accord, even if no script names them."""


def unmentioned(requests: Iterable[Request], texts: Iterable[bytes]) -> frozenset[str]:
    """Return the names of those variables of the jobs that no text mentions."""
    names = {name for request in requests for name in request["variables"]}
    text = b"\n".join(texts)
    return frozenset(
        name for name in names if not _OF_SHELL.fullmatch(name) and name.encode() not in text
    )


def group_jobs(requests: Mapping[str, Request], ignored: frozenset[str]) -> list[list[str]]:
    """Return the keys of the requests in groups that differ only in ignored variables."""
    groups: dict[str, list[str]] = {}
    for key, request in requests.items():
        read = {k: v for k, v in request["variables"].items() if k not in ignored}
        what = json.dumps([read, request["unknown"]], sort_keys=True)
        groups.setdefault(what, []).append(key)
    return list(groups.values())


def watching(request: Request, names: frozenset[str]) -> Request:
    """Return a request whose recording notes where the script reads one of these variables."""
    return {**request, "watched": sorted(names)}


def has_read(recording: Recording, names: frozenset[str]) -> bool:
    """Return whether the script may have read one of these variables, or did not run to its end."""
    notes = [note.text for note in recording.notes if note.kind is NoteKind.UNKNOWN]
    is_indirect = any(text in names or " " in text or text.endswith("*") for text in notes)
    return is_indirect or recording.fault is not None
