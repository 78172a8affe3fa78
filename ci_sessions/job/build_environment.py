"""The BUILD_ENVIRONMENT label, parsed: what the job's PyTorch was built for and with.

A label such as ``linux-jammy-cuda13.0-py3.10-gcc11-sm86`` is a row of words. test.sh matches
pieces of it by substring; ``has`` keeps exactly that meaning. Which word is a device's, the
catalogue says. Unknown words are never refused: labels are coined every week.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from ci_sessions.job.variables import BUILD_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BuildEnvironment", "label_fault"]

_LONGEST = 500  # characters of a label; the longest real one has 60
_ARCHITECTURES = {"aarch64": "aarch64", "arm64": "aarch64", "s390x": "s390x"}
_SANITIZERS = ("asan", "ubsan", "tsan")
_COMPILERS = ("gcc", "clang")
_VERSIONED = re.compile(r"([a-z]+)([0-9][\w.]*)", re.ASCII)
_KIND = {  # a word that has a version, for the message that says it has none
    "py": "py3.10 or py3.14t",
    "gcc": "gcc11",
    "clang": "clang18",
}


def label_fault(label: str) -> str | None:
    """Say what is broken about a label, or ``None``: only what no label could ever be."""
    name = BUILD_ENVIRONMENT.name
    if not label.strip():
        return f"{name} is empty: give the build's label, such as linux-jammy-py3.10-gcc11."
    if len(label) > _LONGEST:
        return f"{name} has {len(label)} characters: a label has at most {_LONGEST}."
    odd = sorted({char for char in label if re.match(r"[\w.+/-]", char, re.ASCII) is None})
    if odd:
        shown = " ".join(map(repr, odd))
        return (
            f"{name} is {label!r}, which has {shown} in it: a label is made of letters, "
            "digits, dots and dashes, such as linux-jammy-cuda13.0-py3.10-gcc11."
        )
    for word in label.split("-"):
        match = _VERSIONED.fullmatch(word)
        if match and "." in match[2] and _version(*match.groups()) is None:
            return (
                f"{name} is {label!r}, but {word!r} has no version after {match[1]!r}: "
                f"write it as {_KIND.get(match[1], f'{match[1]}12 or {match[1]}12.8')}."
            )
    return None


def _version(word: str, text: str) -> Version | None:
    text = text.removesuffix("t") if word == "py" else text  # free-threaded Python
    try:
        return Version(text)
    except InvalidVersion:
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildEnvironment:
    """The facts of a label.

    ``versions`` are those of words such as ``cuda13.0``, by the word before the number. ``python``
    stays a text (``3.10``, ``3.14t``): the ``t`` of a free-threaded build is no version. ``sm`` is
    the compute capability that CUDA code was built for, such as 86.
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
        """Parse a label. Never raises: see ``label_fault`` for what is refused."""
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
        """Tell whether the label contains ``text``: the meaning of ``*text*`` in test.sh."""
        return text in self.label

    @property
    def is_asan(self) -> bool:
        """``*asan*``."""
        return self.has("asan")

    @property
    def is_debug(self) -> bool:
        """``*-debug*``: debug assertions are compiled in."""
        return self.has("-debug")

    def describe(self, device: str) -> str:
        """Return the facts in a few words: ``cuda 13.0, python 3.10, gcc 11``."""
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
