"""Data files in TOML: one bundled with the package, or the user's own in its place.

``Fields`` reads values of the expected types from parsed TOML or JSON, and collects all problems.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ci_sessions.checkout.files import read_regular, reason_of
from ci_sessions.errors import InputError
from ci_sessions.text import shorten, shown

if sys.version_info >= (3, 11):  # tomli is tomllib for older Pythons
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["Fields", "TomlFile", "read_toml"]

T = TypeVar("T")
_RESOURCES = Path(__file__).parent / "resources"  # importlib.resources is slow to import
_MAX_SIZE = 4 << 20  # bytes of a file
# The time to read a key grows with the square of its parts.
_LONG_KEY = re.compile(r"(?<![\w.-])(?:[\w-]+[ \t]*\.[ \t]*){20}")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A parsed file: its name in messages, its text, and the data in it."""

    name: str
    text: str
    data: dict[str, Any]


def read_toml(
    path: Path | None, bundled: str, *, format_version: int, error: type[InputError] = InputError
) -> TomlFile:
    """Read ``path``, or without one the bundled file of that name.

    Raises ``error`` if the file cannot be read, is not TOML, or has another format version.
    """
    if path is None:
        name = f"the bundled {bundled}"
        text = (_RESOURCES / bundled).read_text("utf-8")
    else:
        name = str(path)
        try:
            text = read_regular(path, _MAX_SIZE).decode()
        except (OSError, ValueError) as cause:
            raise error(f"{shorten(name)} cannot be read: {reason_of(cause)}.") from cause
    if _LONG_KEY.search(text):
        raise error(f"{name} is not valid: a key has more than 20 parts.")
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as cause:  # syntax, too many digits, too deeply nested
        raise error(f"{name} is not valid TOML: {cause}.") from cause
    if type(data.get("format")) is not int or data["format"] != format_version:
        raise error(
            f"{name}: format is {shown(data.get('format'))}, but this version of ci_sessions reads "
            f"format = {format_version}."
        )
    return TomlFile(name, text, data)


@dataclass(frozen=True, slots=True)
class Fields:
    """A table of values to be read by key. ``path`` is its name in messages, such as ``targets.``.

    A value that is missing or of another type is replaced by a default, and a message is appended
    to ``problems``, which tables and their parts share.
    """

    data: Mapping[str, Any]
    problems: list[str]
    path: str = ""

    def string(self, key: str, default: str | None = None) -> str:
        """Return a non-empty string."""
        is_valid = lambda value: isinstance(value, str) and value.strip()  # noqa: E731
        return self._value(key, is_valid, "a non-empty string", "", default)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string, which may be empty."""
        return self._value(key, lambda value: isinstance(value, str), "a string", "", default)

    def strings(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of strings."""
        return tuple(self._value(key, _is_list_of(str), "a list of strings", (), default))

    def choice(self, key: str, choices: Collection[str], default: str | None = None) -> str:
        """Return one of several strings."""
        if key not in self.data and default is not None:
            return default
        value = self.data.get(key)
        if isinstance(value, str) and value in choices:
            return value
        self.problems.append(
            f"{self.path}{key} is {shown(value)}: choose from {', '.join(choices)}."
        )
        return ""

    def boolean(self, key: str) -> bool:
        """Return true or false."""
        value = self.data.get(key)
        if not isinstance(value, bool):
            self.report(key, "true or false")
        return value is True

    def integer(self, key: str, least: int, most: int, default: int | None = None) -> int:
        """Return an integer from ``least`` to ``most``."""

        def is_valid(value: object) -> bool:
            is_integer = isinstance(value, int) and not isinstance(value, bool)
            return is_integer and least <= value <= most  # type: ignore[operator]

        return self._value(key, is_valid, f"an integer from {least} to {most}", least, default)

    def number(self, key: str, least: float, most: float) -> float:
        """Return a number from ``least`` to ``most``."""

        def is_valid(value: object) -> bool:
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return is_number and least <= value <= most  # type: ignore[operator]

        wanted = f"a number from {least:g} to {most:g}"
        return float(self._value(key, is_valid, wanted, least, None))

    def table(self, key: str) -> Fields:
        """Return a table, empty if it is missing."""
        is_table = lambda value: isinstance(value, dict)  # noqa: E731
        data: dict[str, Any] = self._value(key, is_table, "a table", {}, {})
        return Fields(data, self.problems, f"{self.path}{key}.")

    def tables(self, key: str) -> list[Fields]:
        """Return a list of tables, empty if it is missing."""
        rows: list[dict[str, Any]] = self._value(key, _is_list_of(dict), "a list of tables", [], [])
        name = f"{self.path}{key}"
        return [Fields(row, self.problems, f"{name} {n}, ") for n, row in enumerate(rows, 1)]

    def only(self, *known: str) -> None:
        """Report keys other than these."""
        self.problems.extend(
            f"{self.path}{key} is not a known key: choose from {', '.join(known)}."
            for key in self.data
            if key not in known
        )

    def report(self, key: str, wanted: str) -> None:
        """Report that a value is not what is wanted."""
        self.problems.append(
            f"{self.path}{key} is {shown(self.data.get(key))}: it must be {wanted}."
        )

    def _value(
        self,
        key: str,
        is_valid: Callable[[Any], object],
        wanted: str,
        substitute: T,
        default: T | None,
    ) -> T:
        if key not in self.data and default is not None:
            return default
        value = self.data.get(key)
        if is_valid(value):
            return cast("T", value)
        self.report(key, wanted)
        return substitute


def _is_list_of(kind: type) -> Callable[[Any], object]:
    return lambda value: isinstance(value, list) and all(isinstance(item, kind) for item in value)
