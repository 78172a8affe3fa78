"""The BUILD_ENVIRONMENT label, parsed: what the job's PyTorch was built for and with.

A label such as ``linux-jammy-cuda13.0-py3.10-gcc11-sm86`` is a list of words joined by dashes.
test.sh tests for substrings of it, and ``has`` does the same. The catalogue knows which words name
a device. Unknown words are accepted, because new labels appear all the time.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from packaging.version import Version

from ci_sessions.job.variables import BUILD_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BuildEnvironment", "label_problem"]

_MAX_LENGTH = 500  # characters of a label; the longest real one has 60
_ARCHITECTURES = {"aarch64": "aarch64", "arm64": "aarch64", "s390x": "s390x"}
_SANITIZERS = ("asan", "ubsan", "tsan")
_COMPILERS = ("gcc", "clang")
_INVALID = re.compile(r"[^\w.+/-]", re.ASCII)
_VERSIONED = re.compile(r"([a-z]+)([0-9][\w.]*)", re.ASCII)
_EXAMPLES = {  # for the message about a word with an invalid version
    "py": "py3.10 or py3.14t",
    "gcc": "gcc11",
    "clang": "clang18",
}


def label_problem(label: str) -> str | None:
    """Return what makes a label invalid, or ``None``. Unknown words are not a problem."""
    name = BUILD_ENVIRONMENT.name
    if not label.strip():
        return f"{name} is empty: set it to a build label, such as linux-jammy-py3.10-gcc11."
    if len(label) > _MAX_LENGTH:
        return f"{name} has {len(label)} characters: a build label has at most {_MAX_LENGTH}."
    invalid = sorted(set(_INVALID.findall(label)))
    if invalid:
        shown = " ".join(map(repr, invalid))
        return (
            f"{name} is {label!r}, which contains {shown}: use only letters, digits, dots and "
            "dashes, as in linux-jammy-cuda13.0-py3.10-gcc11."
        )
    for word in label.split("-"):
        match = _VERSIONED.fullmatch(word)
        if match and "." in match[2] and _version(*match.groups()) is None:
            example = _EXAMPLES.get(match[1], f"{match[1]}12 or {match[1]}12.8")
            return (
                f"{name} is {label!r}, but {word!r} has no valid version after {match[1]!r}: "
                f"write it as {example}."
            )
    return None


@functools.lru_cache(maxsize=1024)  # the same words are in thousands of labels
def _version(word: str, text: str) -> Version | None:
    text = text.removesuffix("t") if word == "py" else text  # free-threaded Python
    try:
        return Version(text)
    except ValueError:  # no version, or more digits than Python reads
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildEnvironment:
    """The facts in a label.

    ``versions`` maps the name in words such as ``cuda13.0`` to the version. ``python`` is a string
    (``3.10``, ``3.14t``), since the ``t`` of a free-threaded build is not part of a version. ``sm``
    is the compute capability that CUDA code was built for, such as 86.
    """

    label: str
    architecture: str = "x86_64"
    python: str | None = None
    compiler: str | None = None
    sm: int | None = None
    sanitizers: frozenset[str] = frozenset()
    versions: Mapping[str, Version] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, label: str) -> BuildEnvironment:
        """Parse a label. Never raises: ``label_problem`` finds invalid labels."""
        words = label.split("-")
        numbers = {match[1]: match[2] for word in words if (match := _VERSIONED.fullmatch(word))}
        named = [_ARCHITECTURES[word] for word in words if word in _ARCHITECTURES]
        versions = {word: _version(word, text) for word, text in numbers.items()}
        sm = numbers.get("sm", "")
        return cls(
            label=label,
            architecture=named[0] if named else "x86_64",
            python=numbers.get("py") or ("3" if "py" in words else None),
            compiler=next((name for name in _COMPILERS if name in (*numbers, *words)), None),
            sm=int(sm) if re.fullmatch(r"[0-9]{1,4}", sm) else None,
            sanitizers=frozenset(name for name in _SANITIZERS if name in label),
            versions=MappingProxyType(
                {word: version for word, version in versions.items() if version is not None}
            ),
        )

    def has(self, text: str) -> bool:
        """Return whether the label contains ``text``, like the pattern ``*text*`` in test.sh."""
        return text in self.label

    @property
    def is_asan(self) -> bool:
        """Whether the label matches ``*asan*``."""
        return self.has("asan")

    @property
    def is_debug(self) -> bool:
        """Whether the label matches ``*-debug*``: debug assertions are compiled in."""
        return self.has("-debug")

    def describe(self, device: str) -> str:
        """Return a short summary, such as ``cuda 13.0, python 3.10, gcc 11``."""
        words = [f"{device} {self.versions.get(device, '')}".strip()]
        if self.python:
            words.append(f"python {self.python}")
        if self.compiler:
            words.append(f"{self.compiler} {self.versions.get(self.compiler, '')}".strip())
        if self.architecture != "x86_64":
            words.append(self.architecture)
        if self.sm:
            words.append(f"sm{self.sm}")
        words.extend(sorted(self.sanitizers))
        if self.is_debug:
            words.append("debug")
        return ", ".join(words)
