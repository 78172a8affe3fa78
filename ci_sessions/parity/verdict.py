"""The verdict on each job, and on all: equal, different and where, or not followed and where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ci_sessions.job.job_json import name_of
from ci_sessions.parity.accepted import expired
from ci_sessions.parity.compare import EVERYTHING, STREAMS, compare

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    from ci_sessions.parity.accepted import Named
    from ci_sessions.parity.compare import Difference
    from ci_sessions.parity.recording import Command, Note, Recording

__all__ = ["JobProof", "Proof", "Standing", "judge_change", "judge_job", "judge_names"]


class Standing(Enum):
    """How a job came out. A value is what a report prints."""

    EQUAL = "equal"
    NAMED = "equal but for named differences"
    DIFFERENT = "different"
    NOT_FOLLOWED = "not followed"
    NO_PLAN = "no plan"
    OTHER_SCRIPT = "another script's"

    @property
    def is_bad(self) -> bool:
        """Tell whether such a job may not move to Python."""
        return self in (Standing.DIFFERENT, Standing.NOT_FOLLOWED, Standing.NO_PLAN)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobProof:
    """One job's verdict. ``reason`` and ``lines``: why, and where, a job could not be compared.

    ``differences`` are those that nothing names; ``named`` are the entries that explain others.
    ``assumed`` is what the recorder took for granted on the way.
    """

    job: Mapping[str, Any]
    standing: Standing
    differences: tuple[Difference, ...] = ()
    named: tuple[Named, ...] = ()
    reason: str = ""
    lines: tuple[str, ...] = ()
    commands: int = 0
    assumed: tuple[Note, ...] = ()

    @property
    def name(self) -> str:
        """How a report calls the job."""
        return name_of(self.job)


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """All jobs' verdicts. ``faults`` are those of the named differences: expired, unused.

    ``left`` and ``right`` are what the two sides are called; ``seconds`` is the wall time.
    """

    script: str
    jobs: tuple[JobProof, ...]
    faults: tuple[str, ...] = ()
    left: str = "script"
    right: str = "plan"
    seconds: float = 0.0
    cached: int = 0

    def count(self, standing: Standing) -> int:
        """Return how many jobs came out so."""
        return sum(job.standing is standing for job in self.jobs)

    def by_config(self) -> dict[str, Counter[Standing]]:
        """Return the counts of each configuration, in the order of their names."""
        table: dict[str, Counter[Standing]] = {}
        for job in sorted(self.jobs, key=lambda one: str(one.job.get("config", ""))):
            table.setdefault(str(job.job.get("config", "")), Counter())[job.standing] += 1
        return table

    @property
    def exit_code(self) -> int:
        """0 when every job is equal, or differs as named; else 1.

        Of two versions of a script, a job that changed is no fault; one that was not followed is.
        """
        if self.right == "now":
            return int(self.count(Standing.NOT_FOLLOWED) > 0)
        return int(bool(self.faults) or any(job.standing.is_bad for job in self.jobs))


def judge_job(
    line: Mapping[str, Any],
    recording: Recording,
    plan: Sequence[Command] | str,
    names: Iterable[Named] = (),
) -> JobProof:
    """Compare a job's recording with its plan; ``plan`` is a text where there is none."""
    if recording.fault:
        return _not_followed(line, recording)
    if isinstance(plan, str):
        return JobProof(job=line, standing=Standing.NO_PLAN, reason=plan)
    left: list[Difference] = []
    used: list[Named] = []
    for difference in compare(recording.commands, plan):
        entry = next((one for one in names if one.covers(name_of(line), difference)), None)
        if entry is None:
            left.append(difference)
        elif entry not in used:
            used.append(entry)
    standing = Standing.DIFFERENT if left else Standing.NAMED if used else Standing.EQUAL
    return JobProof(
        job=line,
        standing=standing,
        differences=tuple(left),
        named=tuple(used),
        commands=sum(command.kind in STREAMS for command in recording.commands),
        assumed=tuple(note for note in recording.notes if note.kind == "assumed"),
    )


def judge_change(line: Mapping[str, Any], before: Recording, after: Recording) -> JobProof:
    """Compare what a job ran before a change of the script with what it runs after it."""
    for recording in (after, before):
        if recording.fault:
            return _not_followed(line, recording)
    found = compare(before.commands, after.commands, EVERYTHING)
    return JobProof(
        job=line,
        standing=Standing.DIFFERENT if found else Standing.EQUAL,
        differences=found,
        commands=len(after.commands),
    )


def _not_followed(line: Mapping[str, Any], recording: Recording) -> JobProof:
    return JobProof(
        job=line, standing=Standing.NOT_FOLLOWED, reason=recording.fault, lines=recording.lines
    )


def judge_names(
    names: Iterable[Named],
    jobs: Sequence[JobProof],
    *,
    today: dt.date,
    version: str,
    is_whole: bool,
) -> tuple[str, ...]:
    """Return what is wrong with the named differences: expired, or explaining nothing.

    ``is_whole``: all jobs of the checkout were compared, so what fits none of them is unused. Of
    fewer jobs, an entry is unused only when one that it is meant for was compared.
    """
    used = {entry for job in jobs for entry in job.named}
    faults = []
    for entry in names:
        if why := expired(entry, today, version):
            faults.append(f"expired: {entry.what!r} for {entry.jobs!r}: {why}.")
        elif entry not in used and (is_whole or any(_meant(entry, job) for job in jobs)):
            faults.append(
                f"unused: {entry.what!r} for {entry.jobs!r}: no job differs so any more: remove it."
            )
    return tuple(faults)


def _meant(entry: Named, job: JobProof) -> bool:
    return fnmatchcase(job.name, entry.jobs) and job.standing in (Standing.EQUAL, Standing.NAMED)
