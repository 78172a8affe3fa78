"""The only reader of os.environ: names to values, each of which remembers where it came from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_sessions.job.variables import Variable

__all__ = ["Environment", "process_environment"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Environment:
    """Names and texts; ``source`` is what a message calls the place that they came from."""

    texts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    source: str = "the environment"

    def get(self, name: str, default: str = "") -> str:
        """Return a text, or ``default`` where the name is unset."""
        return self.texts.get(name, default)

    def __getitem__(self, variable: Variable[T]) -> T:
        """Return the typed value of a variable that has no wrong texts, or its default."""
        text = self.texts.get(variable.name)
        return variable.read(text) if text else variable.default

    def __contains__(self, name: object) -> bool:
        return name in self.texts

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def cache_folder(self) -> Path:
        """Return this user's folder for what can be made again (the XDG rules)."""
        home = self.get("XDG_CACHE_HOME") or f"{self.get('HOME', '~')}/.cache"
        return Path(home).expanduser() / "ci-sessions"


def process_environment() -> Environment:
    """Read this process's own environment, once."""
    return Environment(MappingProxyType(dict(os.environ)))
