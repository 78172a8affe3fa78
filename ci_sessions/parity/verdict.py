"""The verdict on each job, and on all: equal, different and where, or not traceable and why."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ci_sessions.job.job_json import describe_line
from ci_sessions.parity.accepted import expired
from ci_sessions.parity.compare import EVERYTHING, STREAMS, compare
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

    ``differences`` are those that nothing accepts; ``accepted`` are the entries that explain
    others. ``assumed`` is what the recorder took for granted on the way.
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
        """How a report calls the job."""
        return describe_line(self.job)

    @property
    def lines(self) -> tuple[str, ...]:
        """Where the script could not be traced further, from the command outward."""
        return self.fault.lines if self.fault else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ParityResult:
    """All jobs' verdicts. ``faults`` are those of the accepted differences: expired, unused.

    ``other`` says what the script was compared with; ``seconds`` is the wall time.
    """

    script: str
    jobs: tuple[JobComparison, ...]
    other: Side = Side.PLAN
    faults: tuple[str, ...] = ()
    seconds: float = 0.0
    cached: int = 0

    def count(self, verdict: JobVerdict) -> int:
        """Return how many jobs came out so."""
        return sum(job.verdict is verdict for job in self.jobs)

    def by_config(self) -> dict[str, Counter[JobVerdict]]:
        """Return the counts of each configuration, in the order of their names."""
        table: dict[str, Counter[JobVerdict]] = {}
        for job in sorted(self.jobs, key=lambda one: str(one.job.get("config", ""))):
            table.setdefault(str(job.job.get("config", "")), Counter())[job.verdict] += 1
        return table

    @property
    def exit_code(self) -> int:
        """0 when every job is equal, or differs as accepted; else 1.

        Of two versions of a script, a job that changed is no fault; one that could not be traced
        is.
        """
        if self.other is Side.EARLIER:
            return int(self.count(JobVerdict.UNTRACEABLE) > 0)
        return int(bool(self.faults) or any(job.verdict.is_bad for job in self.jobs))


def compare_job(
    line: Mapping[str, Any],
    recording: Recording,
    plan: Sequence[Command] | str,
    accepted: Iterable[AcceptedDifference] = (),
) -> JobComparison:
    """Compare a job's recording with its plan; ``plan`` is a text where there is none."""
    if recording.fault:
        return _untraceable(line, recording.fault)
    if isinstance(plan, str):
        return JobComparison(job=line, verdict=JobVerdict.NO_PLAN, reason=plan)
    left: list[Difference] = []
    used: list[AcceptedDifference] = []
    for difference in compare(recording.commands, plan):
        entry = next((e for e in accepted if e.covers(describe_line(line), difference)), None)
        if entry is None:
            left.append(difference)
        elif entry not in used:
            used.append(entry)
    without = JobVerdict.ACCEPTED if used else JobVerdict.EQUAL
    return JobComparison(
        job=line,
        verdict=JobVerdict.DIFFERENT if left else without,
        differences=tuple(left),
        accepted=tuple(used),
        commands=sum(command.kind in STREAMS for command in recording.commands),
        assumed=tuple(note for note in recording.notes if note.kind is NoteKind.ASSUMED),
    )


def compare_versions(line: Mapping[str, Any], before: Recording, after: Recording) -> JobComparison:
    """Compare what a job ran before a change of the script with what it runs after it."""
    for recording in (after, before):
        if recording.fault:
            return _untraceable(line, recording.fault)
    found = compare(before.commands, after.commands, EVERYTHING)
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
    """Return what is wrong with the accepted differences: expired, or explaining nothing.

    ``is_whole``: all jobs of the checkout were compared, so what fits none of them is unused. Of
    fewer jobs, an entry is unused only when one that it is meant for was compared.
    """
    used = {entry for job in jobs for entry in job.accepted}
    faults = []
    for entry in accepted:
        if why := expired(entry, today, version):
            faults.append(f"expired: {entry.what!r} for {entry.jobs!r}: {why}.")
        elif entry not in used and (is_whole or any(_is_meant(entry, job) for job in jobs)):
            faults.append(
                f"unused: {entry.what!r} for {entry.jobs!r}: no job differs so any more: remove it."
            )
    return tuple(faults)


def _is_meant(entry: AcceptedDifference, job: JobComparison) -> bool:
    return fnmatchcase(job.name, entry.jobs) and job.verdict.is_clean
