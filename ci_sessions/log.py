"""Logging: one logger, in colour on a terminal, without secrets, commands or control characters."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import colorlog

from ci_sessions.text import Redactor, for_log

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["configure_logging", "log_details", "logger"]

logger = logging.getLogger("ci_sessions")


def configure_logging(
    redact: Callable[[str], str] | None = None,
    *,
    stream: TextIO | None = None,
) -> None:
    """Log to ``stream`` (standard error by default), in colour on a terminal, with ``redact``."""
    stream = stream or sys.stderr
    redact = redact or Redactor({})
    handler = colorlog.StreamHandler(stream)
    handler.setFormatter(
        colorlog.ColoredFormatter("%(log_color)sci >%(reset)s %(message)s", stream=stream)
    )

    def clean(record: logging.LogRecord) -> bool:
        try:
            text = for_log(redact(record.getMessage()))
        except Exception:  # noqa: BLE001 - it may contain secrets
            text = "(a message that could not be redacted)"
        record.msg, record.args = text, ()
        return True

    handler.addFilter(clean)
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def log_details() -> None:
    """Log from now on what otherwise only matters when looking for a cause."""
    logger.setLevel(logging.DEBUG)
