"""The only reader of os.environ: variables by name, with where they came from."""

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
    """Variables and their values. ``source`` is how messages refer to where they came from."""

    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    source: str = "the environment"

    def get(self, name: str, default: str = "") -> str:
        """Return the value of a variable, or ``default`` if it is unset."""
        return self.variables.get(name, default)

    def __getitem__(self, variable: Variable[T]) -> T:
        """Return the parsed value of a variable, or its default if it is unset or empty.

        Only for variables that accept any value, so that parsing cannot fail.
        """
        text = self.variables.get(variable.name)
        return variable.parse(text) if text else variable.default

    def __contains__(self, name: object) -> bool:
        return name in self.variables

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def cache_folder(self) -> Path:
        """Return the user's cache folder for this package, as the XDG specification defines it."""
        home = self.get("XDG_CACHE_HOME") or f"{self.get('HOME', '~')}/.cache"
        return Path(home).expanduser() / "ci-sessions"


def process_environment() -> Environment:
    """Return a copy of this process's environment."""
    return Environment(MappingProxyType(dict(os.environ)))
