"""The state of the rollout, from a TOML file: phases, shares and targets."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ci_sessions.clock import iso_timestamp
from ci_sessions.errors import RolloutError
from ci_sessions.toml import Fields, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "Acknowledged",
    "Configuration",
    "Rollout",
    "Targets",
    "bucket_of",
    "read_rollout",
    "with_open_phase",
    "with_share",
]

FORMAT = 1
BUCKETS = 100


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration's phase, and the percentage of its jobs that run in Python.

    ``since`` is when the share last changed (ISO 8601, UTC): older runs do not count. ``compare``:
    the script has this configuration too, so that shadow comparisons and pairs are possible.
    """

    phase: str
    share: int
    since: str = ""
    compare: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledged:
    """A known flaky case, or a known run that differs: neither holds its configuration.

    Either ``case`` (the name of a test case) or ``run`` (the ID of a run) is "".
    """

    config: str
    reason: str
    case: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Targets:
    """The rates, as fractions, that a configuration must stay below.

    ``time``, ``cpu`` and ``memory`` are what Python takes more than the shell.
    """

    fallback: float
    errors: float
    time: float
    cpu: float = 0.1
    memory: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """The content of the file. ``phases`` are in the order in which they are to be opened.

    ``source`` is the file's text, for edits that preserve comments.
    """

    salt: str
    steps: tuple[int, ...]
    targets: Targets
    open_phases: frozenset[str]
    configurations: Mapping[str, Configuration]
    phases: tuple[str, ...] = ()
    acknowledged: tuple[Acknowledged, ...] = ()
    source: str = ""

    def bucket(self, job_id: str) -> int:
        """Return a job's bucket, 0 to 99, the same for every run of the job."""
        return bucket_of(job_id, self.salt)

    def is_for_python(self, config: str, job_id: str) -> bool:
        """Return whether a job runs in Python at the current share."""
        entry = self.configurations.get(config)
        if entry is None or entry.phase not in self.open_phases:
            return False
        return self.bucket(job_id) < entry.share

    def next_share(self, config: str) -> int | None:
        """Return the share one step up, or None if there is none."""
        share = self.configurations[config].share
        return min((step for step in self.steps if step > share), default=None)

    def unfinished_before(self, phase: str) -> list[str]:
        """Return the configurations of earlier phases that are not at 100 %: ``smoke (5 %)``.

        A phase is to be opened when there are none.
        """
        earlier = self.phases[: self.phases.index(phase)] if phase in self.phases else ()
        return [
            f"{name} ({entry.share} %)"
            for name, entry in self.configurations.items()
            if entry.phase in earlier and entry.share < BUCKETS
        ]


def bucket_of(job_id: str, salt: str) -> int:
    """Hash a job's id, so that a rerun stays in its bucket and a higher share only adds jobs."""
    # The id may come from a record, whose JSON can contain what UTF-8 cannot.
    digest = hashlib.sha256(f"{salt}:{job_id}".encode(errors="backslashreplace")).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def read_rollout(path: Path | None = None) -> Rollout:
    """Read a rollout file, by default the bundled one. Raises RolloutError with all problems."""
    file = read_toml(path, "rollout.toml", format_version=FORMAT, error=RolloutError)
    problems: list[str] = []
    rollout = _parse(Fields(file.data, problems), file.text)
    if problems:
        raise RolloutError(*(f"{file.name}: {problem}" for problem in problems))
    return rollout


def _parse(file: Fields, text: str) -> Rollout:
    file.only("format", "salt", "steps", "targets", "phases", "configurations", "acknowledged")
    targets, phases, configurations = map(file.table, ("targets", "phases", "configurations"))
    targets.only("fallback", "errors", "time", "cpu", "memory")
    entries = {name: configurations.table(name) for name in configurations.data}
    return Rollout(
        salt=file.string("salt"),
        steps=_parse_steps(file),
        targets=Targets(
            fallback=targets.number("fallback", 0, 1),
            errors=targets.number("errors", 0, 1),
            time=targets.number("time", 0, 10),
            # Files of earlier versions have one target for time and resources.
            cpu=targets.number("cpu" if "cpu" in targets.data else "time", 0, 10),
            memory=targets.number("memory" if "memory" in targets.data else "time", 0, 10),
        ),
        open_phases=frozenset(name for name in phases.data if phases.table(name).boolean("open")),
        configurations={name: _parse_entry(entry, phases) for name, entry in entries.items()},
        phases=tuple(phases.data),
        acknowledged=tuple(
            _parse_acknowledged(row, entries) for row in file.tables("acknowledged")
        ),
        source=text,
    )


def _parse_steps(file: Fields) -> tuple[int, ...]:
    steps = file.data.get("steps")
    if isinstance(steps, list) and all(type(step) is int for step in steps):
        is_rising = steps == sorted(set(steps))
        if steps and is_rising and (steps[0], steps[-1]) == (0, BUCKETS):
            return tuple(steps)
    file.report("steps", f"a rising list of percentages from 0 to {BUCKETS}")
    return (0, BUCKETS)


def _parse_entry(entry: Fields, phases: Fields) -> Configuration:
    entry.only("phase", "share", "since", "compare")
    return Configuration(
        phase=entry.choice("phase", tuple(phases.data)),
        share=entry.integer("share", 0, BUCKETS),
        since=_parse_since(entry),
        compare=entry.boolean("compare") if "compare" in entry.data else True,
    )


def _parse_acknowledged(row: Fields, configurations: Mapping[str, Fields]) -> Acknowledged:
    row.only("config", "case", "run", "reason")
    if ("case" in row.data) == ("run" in row.data):
        row.report("case", "the name of a test case, unless run is the ID of a run instead")
    return Acknowledged(
        config=row.choice("config", tuple(configurations)),
        reason=row.string("reason"),
        case=row.string("case", ""),
        run=row.string("run", ""),
    )


def _parse_since(entry: Fields) -> str:
    """Return a time as records have it, so that it can be compared with theirs."""
    since = entry.data.get("since", "")
    if since == "":
        return ""
    try:
        time = since if isinstance(since, datetime) else datetime.fromisoformat(_iso(since))
        return iso_timestamp(time)
    except (TypeError, ValueError, OverflowError):  # OverflowError: before the year 1 in UTC
        entry.report("since", "a time such as '2026-11-24T13:59:48Z'")
        return ""


def _iso(text: str) -> str:
    """Return a time in the form that Python 3.10 can read."""
    return re.sub(r"[Zz]$", "+00:00", text)


def with_share(rollout: Rollout, config: str, share: int, since: str) -> str:
    """Return the file's text with one configuration's ``share`` and ``since`` changed."""
    rows = re.compile(rf"^{re.escape(config)}\s*=\s*\{{.*\}}", re.MULTILINE)
    found = rows.findall(rollout.source)
    if len(found) != 1 or "share" not in found[0]:
        raise RolloutError(
            f"the rollout file must have one line `{config} = {{ … share = N }}`, but has "
            f"{len(found)}: edit it by hand."
        )
    row = re.sub(r"\bshare\s*=\s*\d+", f"share = {share}", found[0])
    row = re.sub(r',\s*since\s*=\s*"[^"]*"', "", row)
    row = re.sub(r"\s*\}$", f', since = "{since}" }}', row)
    return rows.sub(lambda _: row, rollout.source)


def with_open_phase(rollout: Rollout, phase: str) -> str:
    """Return the file's text with a phase opened. Raises RolloutError if it has no such line."""
    rows = re.compile(rf"^({re.escape(phase)}\s*=\s*\{{.*\bopen\s*=\s*)false\b", re.MULTILINE)
    text, changed = rows.subn(r"\1true", rollout.source)
    if changed != 1:
        raise RolloutError(
            f"the rollout file must have one line `{phase} = {{ … open = false }}`, but has "
            f"{changed}: edit it by hand."
        )
    return text
