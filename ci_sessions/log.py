"""Logging: one logger, coloured by colorlog, without the secrets that a redactor knows."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import colorlog

if TYPE_CHECKING:
    from ci_sessions.text import Redactor

__all__ = ["hide", "logger", "set_up"]

logger = logging.getLogger("ci_sessions")


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
