"""Texts: secrets kept out of them, and times as people say them.

A secret is the value of a variable whose name looks like one. Values shorter than four characters
are left alone: replacing every "1" would hide the log itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["Redactor", "count", "duration", "is_secret_name"]

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|^AWS_|(^|_)PAT($|_)|(^|_)(API_?|ACCESS_?|PRIVATE_?)?KEY($|_)",
    re.IGNORECASE,
)
_SHORTEST_SECRET = 4
_NO_SECRET = frozenset({"true", "false", "none", "null", "json", "text", "auto", "default"})
MASK = "***"


def is_secret_name(name: str) -> bool:
    """Tell whether a variable of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


class Redactor:
    """Replaces the secret values of an environment in any text by ``***``."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        values = {
            line
            for name, value in environment.items()
            if is_secret_name(name)
            for line in (value, *value.splitlines())
            if len(line) >= _SHORTEST_SECRET and line.lower() not in _NO_SECRET
        }
        # The longest first, so that a secret which contains another is hidden whole.
        ordered = sorted(values, key=len, reverse=True)
        self._secrets = ordered
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def split_safely(self, text: str) -> tuple[str, str]:
        """Split off an end of the text that may be the beginning of a secret."""
        for length in range(min(len(text), max(map(len, self._secrets), default=1) - 1), 0, -1):
            end = text[-length:]
            if any(secret.startswith(end) for secret in self._secrets):
                return text[:-length], end
        return text, ""

    def values(self, data: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
        """Redact every text in a value of JSON's kinds."""
        if isinstance(data, str):
            return self(data)
        if isinstance(data, Mapping):
            return {key: self.values(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self.values(value) for value in data]
        return data


def count(number: int, thing: str) -> str:
    """Write how many there are of a thing: ``1 case``, ``2,693 cases``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Write a time as people say it: ``0.4 s``, ``12 s``, ``5 min 12 s``, ``2 h 05 min``."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
