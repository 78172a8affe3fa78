"""TOML files: Python's own reader from 3.11 on, the package it came from before that."""

from __future__ import annotations

import sys
from typing import Any

from ci_sessions.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["parse_toml"]


def parse_toml(text: str, name: str, error: type[InputError] = InputError) -> dict[str, Any]:
    """Parse a text; ``name`` is how a message calls it. Raises ``error`` where it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise error(f"{name} is not TOML: {fault}.") from fault
