"""The state of the migration: phases, shares, targets, as a TOML file says them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import RolloutError
from ci_sessions.toml import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Configuration", "Rollout", "Targets", "bucket_of", "read_rollout", "with_share"]

FORMAT = 1
BUCKETS = 100


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration's phase, and the percentage of its jobs that run in Python.

    ``since`` is when the share was last changed (ISO 8601, UTC): older runs say nothing of it.
    """

    phase: str
    share: int
    since: str = ""


@dataclass(frozen=True, slots=True)
class Targets:
    """Rates, as fractions, that a configuration must stay below."""

    fallback: float
    errors: float
    time: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """What the file says. ``source`` is the file's text, for edits that keep its comments."""

    salt: str
    steps: tuple[int, ...]
    targets: Targets
    open_phases: frozenset[str]
    configurations: Mapping[str, Configuration]
    source: str = ""

    def bucket(self, job_id: str) -> int:
        """Return a job's bucket, 0 to 99: the same for every run of the job."""
        return bucket_of(job_id, self.salt)


def bucket_of(job_id: str, salt: str) -> int:
    """Hash a job's id: no randomness, so a rerun never flips, and a higher share only adds jobs."""
    digest = hashlib.sha256(f"{salt}:{job_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def read_rollout(path: Path | None = None) -> Rollout:
    """Read a file, or the one that is shipped. Raises ``RolloutError`` with all that is wrong."""
    file = read_toml(path, "rollout.toml", format_version=FORMAT, error=RolloutError)
    data = file.data
    faults = list(_faults(data))
    if faults:
        raise RolloutError(*(f"{file.name}: {fault}" for fault in faults))
    return Rollout(
        salt=data["salt"],
        steps=tuple(data["steps"]),
        targets=Targets(**{key: float(value) for key, value in data["targets"].items()}),
        open_phases=frozenset(name for name, phase in data["phases"].items() if phase["open"]),
        configurations={
            config: Configuration(str(entry["phase"]), entry["share"], str(entry.get("since", "")))
            for config, entry in data["configurations"].items()
        },
        source=file.text,
    )


_SHAPE = {"salt": str, "steps": list, "targets": dict, "phases": dict, "configurations": dict}


def _faults(data: dict[str, Any]) -> list[str]:
    missing = [
        f"{key} is {data.get(key)!r}: give a {kind.__name__}."
        for key, kind in _SHAPE.items()
        if not isinstance(data.get(key), kind)
    ]
    if missing:
        return missing
    faults = []
    if set(data["targets"]) != {"fallback", "errors", "time"}:
        faults.append("targets needs fallback, errors and time, and nothing else.")
    phases = data["phases"]
    faults += [
        f"phases.{name} needs open = true or false."
        for name, phase in phases.items()
        if not isinstance(phase, dict) or not isinstance(phase.get("open"), bool)
    ]
    for config, entry in data["configurations"].items():
        share = entry.get("share") if isinstance(entry, dict) else None
        if not isinstance(share, int) or not 0 <= share <= BUCKETS:
            faults.append(
                f"configurations.{config}: share is {share!r}: give a percentage, 0 to 100."
            )
        elif str(entry.get("phase")) not in phases:
            known = ", ".join(phases)
            faults.append(
                f"configurations.{config}: phase is {entry.get('phase')!r}: one of {known}."
            )
    return faults


def with_share(rollout: Rollout, config: str, share: int, since: str) -> str:
    """Return the file's text with one share changed, and when, and all else as it was."""
    rows = re.compile(rf"^{re.escape(config)}\s*=\s*\{{.*\}}", re.MULTILINE)
    found = rows.findall(rollout.source)
    if len(found) != 1 or "share" not in found[0]:
        raise RolloutError(
            f"the rollout file has {len(found)} lines `{config} = {{ … share = N }}`, not 1: "
            "edit it by hand."
        )
    row = re.sub(r"\bshare\s*=\s*\d+", f"share = {share}", found[0])
    row = re.sub(r',\s*since\s*=\s*"[^"]*"', "", row)
    row = re.sub(r"\s*\}$", f', since = "{since}" }}', row)
    return rollout.source.replace(found[0], row)
