"""Loops over what a trace does not have, found in the text of scripts.

Bash does not report a loop over nothing, so its body would not be seen. Where a loop is over files
that a build makes, one empty file stands for them. Where it is over a value that only a run knows,
that is noted.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ci_sessions.parity.recording import Note, NoteKind
from ci_sessions.plan.facts import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["stand_ins_for", "unknown_loops"]

_LOOP = re.compile(r"^(?!\s*#).*?\b(?:for|select)\s+\w+\s+in\s(?:\\\n|[^\n;])*", re.MULTILINE)
_PIPED_LOOP = re.compile(r"^(?!\s*#).*(?:\bdone\b.*<|\|\s*while\b).*$", re.MULTILINE)
_EXPANDED = re.compile(r"\$\{?([A-Za-z_]\w*)")
_FIND = re.compile(r"\bfind\s((?:\s*[^\s;|)-][^\s;|)]*)*)([^;|)]*)")
_NAME = re.compile(r"-i?name\s+[\"']?([^\s\"']+)")
_GLOB = re.compile(r"[^\s()<>|&;]*\*[^\s()<>|&;]*")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")


def unknown_loops(scripts: Mapping[str, bytes], unknown: Iterable[str]) -> Iterator[Note]:
    """Yield the loops over values that are known only at run time, whether or not a job gets there.

    ``scripts`` are the contents of files by path, ``unknown`` the patterns of variables' names.
    """
    patterns = tuple(unknown)
    for name, data in scripts.items():
        text = data.decode(errors="replace") if patterns else ""
        for loop in _LOOP.finditer(text):
            line = f"{name}:{text.count(chr(10), 0, loop.start()) + 1}"
            for word in dict.fromkeys(_EXPANDED.findall(loop[0])):
                if any(fnmatchcase(word, pattern) for pattern in patterns):
                    yield Note(NoteKind.UNKNOWN, word, (line,))


def stand_ins_for(text: str, folders: Iterable[str], existing: Iterable[str]) -> tuple[str, ...]:
    """Return the files, in folders that a build fills, that shell text loops over.

    There is one for each pattern and folder, unless an existing file matches already.
    """
    known = set(existing)
    targets = tuple(folders)
    patterns = {
        pattern.rpartition("/")
        for word in _looped_files(text.replace("\\\n", " "), targets)
        for pattern in _expand_braces(word)
    }
    found = {
        f"{folder}/{stand_in(name)}"
        for _, _, name in patterns
        for folder in targets
        if "*" in name and not re.search(r"[?\[\]$`]", name)
        if not any(fnmatchcase(path, f"{folder}/{name}") for path in known)
    }
    return tuple(sorted(found))


def _looped_files(text: str, folders: tuple[str, ...]) -> Iterator[str]:
    """Yield the patterns of files that loops go through, if they could be in one of the folders."""
    for line in _PIPED_LOOP.findall(text):
        yield from _found(line, folders)
    for loop in _LOOP.finditer(text):
        words = loop[0].partition(" in ")[2]
        for source in (words, *_assignments(text, _EXPANDED.findall(words))):
            yield from _found(source, folders)
            for glob in _GLOB.findall(_FIND.sub("", source)):
                pattern = re.sub(r"[\"']", "", glob)
                if _could_be_in(pattern.rpartition("/")[0], folders):
                    yield pattern


def _assignments(text: str, names: Iterable[str]) -> Iterator[str]:
    """Yield what is assigned to variables, as lines of shell."""
    for name in dict.fromkeys(names):
        array = rf"(?:mapfile|readarray)\s[^\n]*\b{name}\b"
        for match in re.finditer(rf"^[^#\n]*(?:\b{name}=|{array})([^\n]*)$", text, re.MULTILINE):
            if "find " in match[1] or match[1].startswith("("):
                yield match[1]


def _found(text: str, folders: tuple[str, ...]) -> Iterator[str]:
    """Yield the names that ``find`` looks for, in folders that may be one of these."""
    for where, tests in _FIND.findall(text):
        if any(_could_be_in(word.strip("\"'"), folders) for word in where.split() or ["."]):
            yield from _NAME.findall(tests)


def _could_be_in(path: str, folders: tuple[str, ...]) -> bool:
    """Return whether a path, which may have variables, could name one of the folders."""
    return path.rstrip("/") in ("", ".", *folders) or "$" in path


def _expand_braces(word: str) -> list[str]:
    match = _BRACES.search(word)
    if match is None:
        return [word]
    parts = (word[: match.start()] + part + word[match.end() :] for part in match[1].split(","))
    return [one for part in parts for one in _expand_braces(part)]
