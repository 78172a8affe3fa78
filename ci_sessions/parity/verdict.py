"""The verdict for each job and for all jobs: equal, different (where), or untraceable (why)."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ci_sessions.job.job_json import describe_job_json
from ci_sessions.parity.accepted import expired
from ci_sessions.parity.compare import ALL_STREAMS, STREAMS, compare
from ci_sessions.parity.recording import NoteKind
from ci_sessions.records.verdict import JobVerdict

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    from ci_sessions.parity.accepted import AcceptedDifference
    from ci_sessions.parity.compare import Difference
    from ci_sessions.parity.recording import Command, Fault, Note, Recording

__all__ = [
    "JobComparison",
    "ParityResult",
    "Side",
    "check_accepted",
    "compare_job",
    "compare_versions",
]


class Side(enum.Enum):
    """What the script is compared with."""

    PLAN = "plan"
    EARLIER = "earlier"  # the script at a git revision


@dataclass(frozen=True, kw_only=True, slots=True)
class JobComparison:
    """One job's verdict. ``reason``: why a job could not be compared.

    ``differences`` are those that are not accepted; ``accepted`` are the entries that accept
    others. ``assumed`` lists what the recorder assumed to exist.
    """

    job: Mapping[str, Any]
    verdict: JobVerdict
    differences: tuple[Difference, ...] = ()
    accepted: tuple[AcceptedDifference, ...] = ()
    reason: str = ""
    fault: Fault | None = None
    commands: int = 0
    assumed: tuple[Note, ...] = ()

    @property
    def name(self) -> str:
        """The job's name in reports."""
        return describe_job_json(self.job)

    @property
    def lines(self) -> tuple[str, ...]:
        """The call stack at which the script could not be traced further."""
        return self.fault.lines if self.fault else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ParityResult:
    """The verdicts of all jobs. ``faults`` lists expired and unused accepted differences.

    ``other`` is what the script was compared with; ``seconds`` is wall time.
    """

    script: str
    jobs: tuple[JobComparison, ...]
    other: Side = Side.PLAN
    faults: tuple[str, ...] = ()
    seconds: float = 0.0
    cached: int = 0

    def count(self, verdict: JobVerdict) -> int:
        """Return how many jobs have this verdict."""
        return sum(job.verdict is verdict for job in self.jobs)

    def by_config(self) -> dict[str, Counter[JobVerdict]]:
        """Return the number of jobs per verdict for each configuration, sorted by name."""
        table: dict[str, Counter[JobVerdict]] = {}
        for job in sorted(self.jobs, key=lambda item: str(item.job.get("config", ""))):
            table.setdefault(str(job.job.get("config", "")), Counter())[job.verdict] += 1
        return table

    @property
    def exit_code(self) -> int:
        """0 if every job is equal or has only accepted differences; else 1.

        When two versions of a script are compared, a changed job is not a failure; one that could
        not be traced is.
        """
        if self.other is Side.EARLIER:
            return int(self.count(JobVerdict.UNTRACEABLE) > 0)
        return int(bool(self.faults) or any(job.verdict.is_failure for job in self.jobs))


def compare_job(
    line: Mapping[str, Any],
    recording: Recording,
    plan: Sequence[Command] | str,
    accepted: Iterable[AcceptedDifference] = (),
) -> JobComparison:
    """Compare a job's recording with its plan. Without a plan, ``plan`` is the error message."""
    if recording.fault:
        return _untraceable(line, recording.fault)
    if isinstance(plan, str):
        return JobComparison(job=line, verdict=JobVerdict.NO_PLAN, reason=plan)
    remaining: list[Difference] = []
    used: list[AcceptedDifference] = []
    for difference in compare(recording.commands, plan):
        entry = next((e for e in accepted if e.covers(describe_job_json(line), difference)), None)
        if entry is None:
            remaining.append(difference)
        elif entry not in used:
            used.append(entry)
    verdict = JobVerdict.ACCEPTED if used else JobVerdict.EQUAL
    return JobComparison(
        job=line,
        verdict=JobVerdict.DIFFERENT if remaining else verdict,
        differences=tuple(remaining),
        accepted=tuple(used),
        commands=sum(command.kind in STREAMS for command in recording.commands),
        assumed=tuple(note for note in recording.notes if note.kind is NoteKind.ASSUMED),
    )


def compare_versions(line: Mapping[str, Any], before: Recording, after: Recording) -> JobComparison:
    """Compare what a job runs before and after a change of the script."""
    for recording in (after, before):
        if recording.fault:
            return _untraceable(line, recording.fault)
    found = compare(before.commands, after.commands, ALL_STREAMS)
    return JobComparison(
        job=line,
        verdict=JobVerdict.DIFFERENT if found else JobVerdict.EQUAL,
        differences=found,
        commands=len(after.commands),
    )


def _untraceable(line: Mapping[str, Any], fault: Fault) -> JobComparison:
    verdict = JobVerdict.UNTRACEABLE
    return JobComparison(job=line, verdict=verdict, reason=fault.text, fault=fault)


def check_accepted(
    accepted: Iterable[AcceptedDifference],
    jobs: Sequence[JobComparison],
    *,
    today: dt.date,
    version: str,
    is_whole: bool,
) -> tuple[str, ...]:
    """Return error messages for accepted differences that are expired or unused.

    ``is_whole``: all jobs of the checkout were compared, so an entry that none of them needs is
    unused. Otherwise it is unused only if a job that matches its pattern was compared.
    """
    used = {entry for job in jobs for entry in job.accepted}
    faults = []
    for entry in accepted:
        if why := expired(entry, today, version):
            faults.append(
                f"expired: {entry.what!r} for {entry.jobs!r}: {why}. Extend or remove the entry."
            )
        elif entry not in used and (is_whole or any(_concerns(entry, job) for job in jobs)):
            faults.append(
                f"unused: {entry.what!r} for {entry.jobs!r}: no job has this difference any more. "
                "Remove the entry."
            )
    return tuple(faults)


def _concerns(entry: AcceptedDifference, job: JobComparison) -> bool:
    return fnmatchcase(job.name, entry.jobs) and job.verdict.is_success
