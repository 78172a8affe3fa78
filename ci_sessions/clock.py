"""The clock, in one module so that tests can replace it."""

from __future__ import annotations

import time
from datetime import datetime, timezone

__all__ = ["iso_timestamp", "local_time", "monotonic", "now", "sleep", "timestamp"]


def now() -> datetime:
    """Return the current time, UTC."""
    return datetime.now(timezone.utc)


def timestamp() -> str:
    """Return the current time as records store it: ISO 8601, UTC, milliseconds."""
    return iso_timestamp(now())


def iso_timestamp(time: datetime) -> str:
    """Return a time as records store it. Times without a zone are UTC."""
    time = time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_time(text: str) -> datetime | None:
    """Return a time in a record as local time, or None if it is not a time."""
    try:
        time = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
        return time.astimezone() if time.tzinfo is not None else None
    except (OverflowError, ValueError):
        return None


def monotonic() -> float:
    """Return a clock that never goes backwards, in seconds, for measuring durations."""
    return time.monotonic()


def sleep(duration: float) -> None:
    """Sleep for ``duration`` seconds."""
    time.sleep(duration)
