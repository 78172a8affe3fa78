"""Time behind one seam, so that a test can hold it still."""

from __future__ import annotations

import time
from datetime import datetime, timezone

__all__ = ["now", "seconds", "sleep", "stamp"]


def now() -> datetime:
    """Return the time of day, UTC."""
    return datetime.now(timezone.utc)


def stamp() -> str:
    """Return the time of day as records write it: ISO 8601, UTC, milliseconds."""
    return now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds() -> float:
    """Return a clock that only goes forward, in seconds."""
    return time.monotonic()


def sleep(duration: float) -> None:
    """Wait, in seconds."""
    time.sleep(duration)
