"""Logging: one logger, coloured by colorlog, and the words that must never be printed.

A secret is the value of a variable whose name looks like one. Values shorter than four
characters are left alone: replacing every "1" would hide the log itself.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import colorlog

__all__ = ["Redactor", "hide", "is_secret_name", "logger", "set_up"]

logger = logging.getLogger("ci_sessions")

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


def hide(redact: Redactor) -> None:
    """Keep secrets out of the log from here on."""

    def hidden(record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True

    for handler in logger.handlers:
        handler.filters[:] = [hidden]


def set_up(*, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Send the log to ``stream`` (standard error by default), in colour on a terminal."""
    handler = colorlog.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        colorlog.ColoredFormatter(
            "%(log_color)sci >%(reset)s %(message)s", stream=stream or sys.stderr
        )
    )
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
