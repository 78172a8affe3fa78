"""The only reader of os.environ: names to values, each of which remembers where it came from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Environment", "Value", "process_environment"]


@dataclass(frozen=True, slots=True)
class Value:
    """A value and its source, as a person would name it: ``the environment``, ``--shard``."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Environment:
    """What the caller said, in the order of who wins: options over variables over defaults."""

    values: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, variables: Mapping[str, str], source: str = "the environment") -> Environment:
        """Wrap plain variables that all came from ``source``."""
        values = {name: Value(text, source) for name, text in variables.items()}
        return cls(MappingProxyType(values))

    def with_values(self, source: str, **values: str | None) -> Environment:
        """Add or replace values; ``None`` leaves a name as it is."""
        added = {name: Value(text, source) for name, text in values.items() if text is not None}
        return Environment(MappingProxyType({**self.values, **added}))

    def get(self, name: str, default: str = "") -> str:
        """Return the text of a value, or ``default`` where the name is unset."""
        value = self.values.get(name)
        return default if value is None else value.text

    def source(self, name: str) -> str:
        """Say where a value came from."""
        value = self.values.get(name)
        return "default" if value is None else value.source

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def as_variables(self) -> dict[str, str]:
        """Return plain names and texts, as a child process takes them."""
        return {name: value.text for name, value in self.values.items()}


def process_environment() -> Environment:
    """Read this process's own environment, once."""
    return Environment.of(dict(os.environ))
