"""Packs the list of runs, and the details of some, so that a page stays small.

A column has each of its texts once. JSON is compressed (gzip) and written as Base64, which cannot
end its element in the page, whatever a test wrote into a record.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ci_sessions.text import for_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ci_sessions.records.query import Summary

__all__ = ["DetailsPacker", "pack", "run_columns"]

_LEVEL = 9
_LONGEST = 300  # characters of a text in a list
_TEXTS: Mapping[str, Callable[[Summary], str]] = {
    "config": lambda run: run.config,
    "build": lambda run: run.build,
    "shard": lambda run: run.shard,
    "runner": lambda run: str(run.runner),
    "outcome": lambda run: str(run.outcome),
    "fallback": lambda run: run.fallback,
    "reason": lambda run: run.reason,
    "shadow": lambda run: str(run.shadow or ""),
    "commit": lambda run: run.commit[:10],
    "job": lambda run: run.job,
    "failed": lambda run: ", ".join(run.failed_tests),
    "folder": lambda run: run.path.rpartition("/")[0],
}


def run_columns(runs: Sequence[Summary]) -> dict[str, Any]:
    """Return a list of runs as columns of JSON values.

    ``texts`` has the different texts of a column and ``codes`` their places for each run.
    ``started`` is in milliseconds since 1970, each after the first relative to the one before it;
    0 if it is not a time. ``wall`` is in tenths of a second. ``id`` has the end of an ID that
    begins with its time and job, and otherwise the whole ID after an equals sign.
    """
    texts, codes = {}, {}
    for name, value in _TEXTS.items():
        places: dict[str, int] = {}
        codes[name] = [places.setdefault(_short(value(run)), len(places)) for run in runs]
        texts[name] = list(places)
    return {
        "texts": texts,
        "codes": codes,
        "started": _differences([_milliseconds(run.started) for run in runs]),
        "wall": [round(10 * run.wall) for run in runs],
        "id": [_id(run) for run in runs],
        "file": [_short(run.path.rpartition("/")[2]) for run in runs],
    }


def pack(data: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a JSON value as compressed Base64."""
    text = json.dumps(data, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(text, _LEVEL, mtime=0)).decode()


@dataclass(slots=True)
class DetailsPacker:
    """Packs pieces of HTML by the numbers of their runs, in about ``most`` characters at most.

    Pieces that come after that are left out. ``number`` counts those that are not.
    """

    most: int
    number: int = 0
    _size: int = 0
    _parts: list[bytes] = field(default_factory=list)
    _packer: zlib._Compress = field(
        default_factory=lambda: zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    )

    @property
    def is_full(self) -> bool:
        """Whether no more pieces are packed."""
        return self._size * 4 // 3 > self.most

    def add(self, run: int, fragment: str) -> None:
        """Add a piece if there is room."""
        if self.is_full:
            return
        line = f"{',' if self.number else '{'}{json.dumps(str(run))}:{json.dumps(fragment)}"
        part = self._packer.compress(line.encode()) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        self._parts.append(part)
        self._size += len(part)
        self.number += 1

    def text(self) -> str:
        """Return all pieces as compressed Base64 of one JSON object; nothing can be added then."""
        end = self._packer.compress(b"}" if self.number else b"{}") + self._packer.flush()
        return base64.b64encode(b"".join([*self._parts, end])).decode()


def _short(text: str) -> str:
    text = for_log(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _id(run: Summary) -> str:
    start = f"{run.started}/{run.job}/"
    is_usual = run.id.startswith(start) and _milliseconds(run.started) > 0
    return run.id[len(start) :] if is_usual and len(run.id) <= _LONGEST else f"={_short(run.id)}"


def _milliseconds(text: str) -> int:
    """Return a time as records usually have it, in milliseconds since 1970; 0 for other texts."""
    try:
        time = datetime.fromisoformat(f"{text[:-1]}+00:00")
        is_usual = text == time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return round(1000 * time.timestamp()) if is_usual else 0
    except (ValueError, OverflowError, OSError):
        return 0


def _differences(numbers: Sequence[int]) -> list[int]:
    return [one - before for before, one in zip((0, *numbers), numbers, strict=False)]
