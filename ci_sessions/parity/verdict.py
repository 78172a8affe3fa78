"""The verdict for each job and for all jobs: equal, different (where), or untraceable (why)."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, replace
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
    from ci_sessions.parity.schedule import InputChange

__all__ = [
    "JobComparison",
    "ParityResult",
    "Side",
    "check_accepted",
    "combine",
    "compare_job",
    "compare_versions",
    "with_inputs",
]


class Side(enum.Enum):
    """What the script is compared with."""

    PLAN = "plan"
    EARLIER = "earlier"  # the script at a git revision


@dataclass(frozen=True, kw_only=True, slots=True)
class JobComparison:
    """One job's verdict. ``reason``: why a job could not be compared.

    ``differences`` are those that are not accepted; ``accepted`` are the entries that accept
    others. ``assumed`` lists what the recorder assumed to exist, and ``unknown`` the variables
    that the script reads although their values are known only at run time. ``inputs`` are those
    that its workflows changed. ``label`` names what has no configuration.
    """

    job: Mapping[str, Any]
    verdict: JobVerdict
    differences: tuple[Difference, ...] = ()
    accepted: tuple[AcceptedDifference, ...] = ()
    reason: str = ""
    fault: Fault | None = None
    commands: int = 0
    assumed: tuple[Note, ...] = ()
    unknown: tuple[Note, ...] = ()
    inputs: tuple[InputChange, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """The job's name in reports."""
        return self.label or describe_job_json(self.job)

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

        When two versions of a script are compared, a changed job is not a failure; one for which
        nobody can say whether it changed is.
        """
        if self.other is Side.EARLIER:
            unclear = (JobVerdict.UNTRACEABLE, JobVerdict.UNKNOWN, JobVerdict.ERROR)
            return int(any(map(self.count, unclear)))
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
    unknown = _unknown(recording)
    verdict = JobVerdict.ACCEPTED if used else JobVerdict.EQUAL
    verdict = JobVerdict.UNKNOWN if unknown else verdict
    return JobComparison(
        job=line,
        verdict=JobVerdict.DIFFERENT if remaining else verdict,
        unknown=unknown,
        differences=tuple(remaining),
        accepted=tuple(used),
        commands=sum(command.kind in STREAMS for command in recording.commands),
        assumed=tuple(note for note in recording.notes if note.kind is NoteKind.ASSUMED),
    )


def compare_versions(
    line: Mapping[str, Any], before: Recording, after: Recording, *, is_same_input: bool = False
) -> JobComparison:
    """Compare what a job runs before and after a change of the script.

    ``is_same_input``: script and variables are the same at both, so the job is unchanged whatever
    the values are that only a run knows.
    """
    for recording in (after, before):
        if recording.fault:
            return _untraceable(line, recording.fault)
    found = compare(before.commands, after.commands, ALL_STREAMS)
    unknown = () if is_same_input else _unknown(before, after)
    verdict = JobVerdict.UNKNOWN if unknown else JobVerdict.EQUAL
    return JobComparison(
        job=line,
        verdict=JobVerdict.DIFFERENT if found else verdict,
        unknown=unknown,
        differences=found,
        commands=len(after.commands),
    )


_SEVERITY = (
    JobVerdict.UNTRACEABLE,
    JobVerdict.NO_PLAN,
    JobVerdict.DIFFERENT,
    JobVerdict.UNKNOWN,
    JobVerdict.ACCEPTED,
    JobVerdict.EQUAL,
)


def combine(results: Sequence[JobComparison]) -> JobComparison:
    """Return one result for a job that was compared in several environments: the worst.

    It has all differences, each once.
    """
    if len(results) == 1:
        return results[0]
    worst = min(results, key=lambda one: _SEVERITY.index(one.verdict))
    return replace(
        worst,
        differences=_distinct(d for one in [worst, *results] for d in one.differences),
        accepted=tuple(dict.fromkeys(entry for one in results for entry in one.accepted)),
        assumed=tuple(dict.fromkeys(note for one in results for note in one.assumed)),
        unknown=tuple(dict.fromkeys(note for one in results for note in one.unknown)),
    )


def _distinct(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    found: list[Difference] = []  # environments are mappings, so there is no hash
    for one in differences:
        if one not in found:
            found.append(one)
    return tuple(found)


def with_inputs(result: JobComparison, inputs: tuple[InputChange, ...]) -> JobComparison:
    """Return a result with the inputs that changed: then the job has changed."""
    if not inputs:
        return result
    is_known = result.verdict in (JobVerdict.EQUAL, JobVerdict.UNKNOWN)
    verdict = JobVerdict.DIFFERENT if is_known else result.verdict
    return replace(result, inputs=inputs, verdict=verdict)


def _unknown(*recordings: Recording) -> tuple[Note, ...]:
    """Return the values read that are known only at run time, each once with its line."""
    notes = {
        (note.text, note.lines): note
        for recording in recordings
        for note in recording.notes
        if note.kind is NoteKind.UNKNOWN
    }
    return tuple(notes.values())


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
