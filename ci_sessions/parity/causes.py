"""What differs, grouped by cause across jobs: one changed line of a script changes many jobs.

Each difference of each job belongs to one cause, so nothing is hidden behind a job's first one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from ci_sessions.catalogue.places import place_of_checks, places_of_export, places_of_tests
from ci_sessions.errors import CiSessionsError
from ci_sessions.job.job_json import job_from_json
from ci_sessions.parity.verdict import Side
from ci_sessions.plan.shell import quote, quote_all
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_sessions.parity.compare import Difference
    from ci_sessions.parity.verdict import JobComparison, ParityResult

__all__ = ["Cause", "find_causes"]

_MAX_TEXT = 120  # characters of a command in a cause's text
_WORDS = {
    Side.EARLIER: {"gone": "is gone", "new": "is new", "unset": "is no longer exported",
                   "set": "is now exported", "sides": ("before", "now")},
    Side.PLAN: {"gone": "is missing from the plan", "new": "is not in the script",
                "unset": "is not exported by the plan", "set": "is exported only by the plan",
                "sides": ("in the script", "in the plan")},
}  # fmt: skip
_VERDICTS = {
    JobVerdict.UNTRACEABLE: "could not be traced",
    JobVerdict.NO_PLAN: "no plan",
    JobVerdict.ERROR: "error",
}


@dataclass(slots=True)
class Cause:
    """One cause: what it is, the script's lines, the jobs that it affects, and an example.

    ``others``: further commands with the same call, if a call of several is missing or new.
    """

    text: str
    lines: tuple[str, ...] = ()
    jobs: list[JobComparison] = field(default_factory=list)
    example: Difference | None = None
    others: list[Difference] = field(default_factory=list)

    @property
    def configs(self) -> list[str]:
        """The configurations of its jobs, each once, in order."""
        return list(dict.fromkeys(str(job.job.get("config", "")) for job in self.jobs))

    @property
    def places(self) -> tuple[str, ...]:
        """Where the catalogue has what differs: the lines that a maintainer may have to edit."""
        if self.example is None:
            return ()
        if self.example.field == "env":
            return places_of_export(self.example.variable)
        if self.example.stream == "preflight":
            return (place_of_checks(),)
        jobs = {str(job.job.get("config", "")): job.job for job in reversed(self.jobs)}
        command = self.example.plan or self.example.script
        argv = command.argv if command else ()
        found: dict[str, None] = {}
        for data in reversed(jobs.values()):
            with suppress(CiSessionsError):  # a job that has no plan has no place
                found |= dict.fromkeys(places_of_tests(job_from_json(data), argv))
        return tuple(found)


def find_causes(result: ParityResult) -> list[Cause]:
    """Return the causes of all jobs that are not equal, those of most jobs first."""
    causes: dict[object, Cause] = {}
    for job in result.jobs:
        for key, cause in _causes_of(job, result.other):
            found = causes.setdefault(key, cause)
            if not (found.jobs and found.jobs[-1] is job):
                found.jobs.append(job)
    calls = _by_call(causes.values(), result.other)
    return sorted(calls, key=lambda cause: -len(cause.jobs))


def _by_call(causes: Iterable[Cause], side: Side) -> Iterator[Cause]:
    """Join the commands that one call of a function adds or removes in the same jobs."""
    groups: dict[object, list[Cause]] = {}
    for number, cause in enumerate(causes):
        one = cause.example
        is_call = one is not None and one.field in ("missing", "extra") and len(cause.lines) > 1
        key = one and (one.field, cause.lines[1:], tuple(map(id, cause.jobs)))
        groups.setdefault(key if is_call else number, []).append(cause)
    for first, *others in groups.values():
        if others and first.example:
            script, plan = first.example.script, first.example.plan
            command = script or plan
            argv = _cut(command.argv) if command else ""
            words = str(_WORDS[side]["gone" if script else "new"]).replace("is ", "are ", 1)
            first.text = f"`{argv}` and {count(len(others), 'more command')} {words}"
            first.others = [one.example for one in others if one.example]
        yield first


def _causes_of(job: JobComparison, side: Side) -> Iterator[tuple[object, Cause]]:
    if job.verdict in (JobVerdict.NEW, JobVerdict.GONE):
        text = f"{job.verdict} job"
        yield (text, job.job.get("config")), Cause(text)
    if job.verdict in _VERDICTS:
        text = f"{_VERDICTS[job.verdict]}: {job.reason}"
        yield (job.verdict, job.lines or text), Cause(text, job.lines)
    for change in job.inputs:
        sides = [_value(value) for value in (change.before, change.now)]
        text = f"input {change.name} is {sides[1]}, and was {sides[0]}"
        yield ("input", text), Cause(text)
    for note in job.unknown:
        text = f"reads {note.text}, whose value is known only at run time"
        yield ("unknown", text, note.lines[:1]), Cause(text, note.lines)
    for difference in job.differences:
        text, key = _describe(difference, side)
        yield (
            (difference.stream, difference.field, *key),
            Cause(text, _lines(difference, side), example=difference),
        )


def _lines(difference: Difference, side: Side) -> tuple[str, ...]:
    """Return where the command is in the script; of two versions, in the later one."""
    later = difference.plan if side is Side.EARLIER else None
    return later.lines if later else difference.lines


def _describe(difference: Difference, side: Side) -> tuple[str, tuple[object, ...]]:
    """Return a cause's text, and what makes it the same cause in another job."""
    script, plan, words = difference.script, difference.plan, _WORDS[side]
    line = _lines(difference, side)[:1]
    before, now = words["sides"]
    match difference.field:
        case "env":
            name = difference.variable
            left = script.env.get(name) if script else None
            right = plan.env.get(name) if plan else None
            if left is None and right is None:
                text = f"{name} is unset only {before if script and name in script.env else now}"
            elif left is None or right is None:
                text = f"{name} {words['unset' if right is None else 'set']}"
            else:
                text = f"{name} is {_value(left)} {before}, {_value(right)} {now}"
            return text, (text,)
        case "argv":
            text = _describe_words(script.argv if script else (), plan.argv if plan else (), side)
            return text, (text, line)
        case "cwd":
            folders = [command.cwd if command else "" for command in (script, plan)]
            return f"the folder is {folders[0]} {before}, {folders[1]} {now}", (*folders, line)
        case "missing" | "extra":
            command = script or plan
            argv = command.argv if command else ()
            text = f"`{_cut(argv)}` {words['gone' if script else 'new']}"
            return text, (argv, line)
        case _:
            argv = script.argv if script else ()
            return f"`{_cut(argv)}` has a different position {now}", (argv, line)


def _describe_words(script: tuple[str, ...], plan: tuple[str, ...], side: Side) -> str:
    """Describe how the arguments of a command differ, by the words that only one side has."""
    words = _WORDS[side]
    before, now = words["sides"]
    gone: list[str] = []
    new: list[str] = []
    for tag, start, end, first, last in SequenceMatcher(
        None, script, plan, autojunk=False
    ).get_opcodes():
        if tag != "equal":
            gone += script[start:end]
            new += plan[first:last]
    if gone and new:
        return f"`{_cut(gone)}` {before}, `{_cut(new)}` {now}"
    return f"`{_cut(gone or new)}` {words['gone' if gone else 'new']}"


def _cut(argv: tuple[str, ...] | list[str]) -> str:
    text = quote_all(tuple(argv))
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _value(value: str | None) -> str:
    return "not set" if value is None else quote(value)
