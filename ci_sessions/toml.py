"""TOML files: one that is shipped, or one that somebody named in its place."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InputError

if sys.version_info >= (3, 11):  # the package is what Python took over
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TomlFile", "read_toml"]


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A file: how a message calls it, its text, what it says."""

    name: str
    text: str
    data: dict[str, Any]


def read_toml(
    path: Path | None, shipped: str, *, format_version: int, error: type[InputError] = InputError
) -> TomlFile:
    """Read ``path``, or the file of that name among the resources.

    Raises ``error`` where it cannot be read, is no TOML, or is of another format.
    """
    if path is None:
        name = f"the shipped {shipped}"
        text = (resources.files("ci_sessions.resources") / shipped).read_text("utf-8")
    else:
        name = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise error(f"{path} cannot be read: {fault}.") from fault
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise error(f"{name} is not TOML: {fault}.") from fault
    if data.get("format") != format_version:
        raise error(
            f"{name}: format is {data.get('format')!r}, and this version reads {format_version}."
        )
    return TomlFile(name, text, data)
