"""Logging: one logger, in colour on a terminal, with secrets redacted."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import colorlog

if TYPE_CHECKING:
    from ci_sessions.text import Redactor

__all__ = ["configure_logging", "logger", "redact_secrets"]

logger = logging.getLogger("ci_sessions")


def redact_secrets(redact: Redactor) -> None:
    """Redact secrets in all further log messages."""

    def redact_record(record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True

    for handler in logger.handlers:
        handler.filters[:] = [redact_record]


def configure_logging(*, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Log to ``stream`` (standard error by default), in colour on a terminal."""
    handler = colorlog.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        colorlog.ColoredFormatter(
            "%(log_color)sci >%(reset)s %(message)s", stream=stream or sys.stderr
        )
    )
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
