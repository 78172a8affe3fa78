"""What a run can do without: if an extra fails, there is a warning, and the run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ci_sessions.log import logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["extra"]

T = TypeVar("T")


def extra(what: str, action: Callable[[], T], default: T) -> T:
    """Return the result of an action, or ``default`` if it fails; ``what`` describes the action."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - that is the purpose of this function
        logger.warning("cannot %s: %s: %s", what, type(error).__name__, error)
        return default
