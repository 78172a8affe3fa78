"""Logging: one logger, coloured by colorlog, and the words that must never be printed.

A secret is the value of a variable whose name looks like one. Values shorter than four
characters are left alone: replacing every "1" would hide the log itself.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, TextIO

import colorlog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Redactor", "is_secret_name", "logger", "set_up"]

logger = logging.getLogger("ci_sessions")

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|^AWS_|(^|_)(API_?|ACCESS_?|PRIVATE_?)?KEY($|_)",
    re.IGNORECASE,
)
_SHORTEST_SECRET = 4
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
            if len(line) >= _SHORTEST_SECRET
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

    def argv(self, words: Iterable[str]) -> tuple[str, ...]:
        """Redact each word of a command."""
        return tuple(map(self, words))


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
