"""What is wrong with the selection of all jobs together: a pure function of their inventories.

Tests that no job runs, jobs that select nothing, shards that no workflow schedules, and files that
run again and again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ci_sessions.inventory.where import direct_files
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ci_sessions.inventory.jobs import JobInventory, StepInventory

__all__ = ["KINDS", "Audit", "Finding", "FindingKind", "audit", "files_per_config"]

FindingKind = Literal["unrun", "empty", "incomplete", "repeated", "refused"]
KINDS: tuple[FindingKind, ...] = ("unrun", "empty", "incomplete", "repeated", "refused")
_FILTERS = ("-k", "--pytest-k-expr", "--multigpu-filter", "-m")  # a step runs only some cases


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One finding. ``name`` identifies it in a baseline; ``data`` are its values as JSON."""

    kind: FindingKind
    name: str
    text: str
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """All findings, and the numbers of jobs and of test files that were looked at."""

    findings: tuple[Finding, ...]
    jobs: int
    files: int

    def of(self, kind: FindingKind) -> list[Finding]:
        """Return the findings of a kind."""
        return [finding for finding in self.findings if finding.kind == kind]


def audit(
    jobs: Sequence[JobInventory],
    test_files: Iterable[str],
    reasons: Callable[[list[str]], Mapping[str, str]],
    most_configs: int,
) -> Audit:
    """Return what is wrong.

    ``test_files`` are those of the checkout, ``reasons`` says why no job runs a file.
    ``most_configs`` is the number of configurations of one build in which a file may run.
    """
    files = sorted({*test_files})
    gaps = list(_incomplete(jobs))
    findings = (
        *_unrun(jobs, files, reasons, {gap for gap, _ in gaps}),
        *_empty(jobs),
        *(finding for _, finding in gaps),
        *_in_many_configs(jobs, most_configs),
        *_within_jobs(jobs),
        *_refused(jobs),
    )
    return Audit(findings=findings, jobs=len(jobs), files=len(files))


def files_per_config(jobs: Iterable[JobInventory]) -> dict[str, int]:
    """Return how many test files the jobs of each configuration run."""
    found: dict[str, set[str]] = defaultdict(set)
    for job in jobs:
        found[job.config] |= _files_of(job)
    return {config: len(files) for config, files in sorted(found.items()) if files}


def _files_of(job: JobInventory) -> set[str]:
    return {*job.files, *(name for step in job.steps for name in direct_files(step))}


Family = tuple[str, str, int]


def _family(job: JobInventory) -> Family:
    return (job.config, job.build_environment, job.num_shards)


def _unrun(
    jobs: Sequence[JobInventory],
    files: Sequence[str],
    reasons: Callable[[list[str]], Mapping[str, str]],
    incomplete: set[Family],
) -> Iterator[Finding]:
    """Yield the files that no job runs, and those of which only some parts run anywhere."""
    run = {name for job in jobs for name in _files_of(job)}
    unrun = [name for name in files if name not in run]
    why = dict(reasons(unrun)) if unrun else {}
    why.update(_partly_run(jobs, incomplete))
    for name in why:
        data = {"file": name, "reason": why[name]}
        yield Finding(kind="unrun", name=name, text=why[name], data=data)


def _partly_run(jobs: Sequence[JobInventory], incomplete: set[Family]) -> Iterator[tuple[str, str]]:
    """Yield the files whose only jobs leave out some of their parts, with a reason."""
    complete: set[str] = set()
    partly: dict[str, tuple[JobInventory, set[int], int]] = {}
    for job in jobs:
        is_whole = _family(job) not in incomplete
        for step in job.steps:
            for part in step.selection.parts if step.selection else ():
                if is_whole or part.parts == 1:
                    complete.add(part.file)
                else:
                    partly.setdefault(part.file, (job, set(), part.parts))[1].add(part.part)
    for name, (job, parts, total) in partly.items():
        missing = sorted(set(range(1, total + 1)) - parts)
        if name not in complete and missing:
            numbers = ", ".join(map(str, missing))
            where = f"{job.config}, {job.build_environment}"
            yield name, f"part {numbers} of {total} is in a shard of {where} that is not scheduled"


def _empty(jobs: Iterable[JobInventory]) -> Iterator[Finding]:
    for job in jobs:
        asked = [step for step in job.steps if step.question is not None]
        answered = [step for step in asked if step.selection is not None]
        has_others = len(asked) < len(job.steps)
        nothing = answered and not any(one.selection and one.selection.parts for one in answered)
        if nothing and not has_others and len(answered) == len(asked):
            text = "run_test.py selects no test file"
            yield Finding(kind="empty", name=job.name, text=text, data=_identity(job))


def _incomplete(jobs: Iterable[JobInventory]) -> Iterator[tuple[Family, Finding]]:
    """Yield the configurations of which a shard is not scheduled."""
    numbers: dict[Family, set[int]] = defaultdict(set)
    for job in jobs:
        numbers[_family(job)].add(job.shard)
    for family, found in numbers.items():
        config, build, total = family
        first = min(0 if 0 in found else 1, 1)
        missing = sorted(set(range(first, first + total)) - found)
        if missing and any(_shares(job) for job in jobs if _family(job) == family):
            text = f"{count(len(missing), 'shard')} of {total} not scheduled: " + ", ".join(
                map(str, missing)
            )
            data = {
                "config": config,
                "build_environment": build,
                "num_shards": total,
                "missing": missing,
            }
            yield (
                family,
                Finding(kind="incomplete", name=f"{config}, {build}", text=text, data=data),
            )


def _shares(job: JobInventory) -> bool:
    return any(step.is_main for step in job.steps) or job.num_shards > 1


def _in_many_configs(jobs: Iterable[JobInventory], most: int) -> Iterator[Finding]:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for job in jobs:
        for name in job.files:
            found[name, job.build_environment].add(job.config)
    for (name, build), configs in sorted(found.items()):
        if len(configs) > most:
            names = sorted(configs)
            yield Finding(
                kind="repeated",
                name=f"{name} on {build}",
                text=f"runs in {len(names)} configurations: {', '.join(names)}",
                data={"file": name, "build_environment": build, "configs": names},
            )


def _within_jobs(jobs: Iterable[JobInventory]) -> Iterator[Finding]:
    """Yield the files that a job runs twice in the same way, once for all shards of a job."""
    seen: set[str] = set()
    for job in jobs:
        places: dict[tuple[str, int, int, tuple[object, ...]], list[StepInventory]]
        places = defaultdict(list)
        for step in job.steps:
            # A step that does not know its own option selects what it should not.
            for part in step.selection.parts if step.selection and not step.unknown else ():
                places[part.file, part.part, part.parts, _way(step)].append(step)
        for (file, *_), steps in places.items():
            name = f"{file} in {job.config}, {job.build_environment}"
            if len(steps) > 1 and name not in seen:
                seen.add(name)
                names = [f"{step.test} {step.number}" for step in steps]
                data = {"file": file, **_identity(job), "steps": names}
                text = f"steps {' and '.join(names)} of the same job run it"
                yield Finding(kind="repeated", name=name, text=text, data=data)


def _way(step: StepInventory) -> tuple[object, ...]:
    """Return what makes two runs of a file different: variables, and options besides the files."""
    if step.question is None:
        return ()
    words = step.question.argv
    filters = tuple(
        words[n : n + 2] for n, word in enumerate(words) if word.partition("=")[0] in _FILTERS
    )
    modes = tuple(word for word in words if word in ("--dynamo", "--inductor", "--cpp"))
    return (filters, modes, tuple(sorted(step.question.env.items())))


def _refused(jobs: Iterable[JobInventory]) -> Iterator[Finding]:
    """Yield what run_test.py refuses or does not know, once for each reason and configuration."""
    places: dict[tuple[str, str, str], list[JobInventory]] = defaultdict(list)
    for job in jobs:
        if job.problem is not None:
            places[job.config, "the job", " ".join(job.problem.split())].append(job)
        for step in job.steps:
            where = f"{step.test} {step.number}"
            for option in step.unknown:
                reason = f"run_test.py of this checkout does not know {option}"
                places[job.config, where, reason].append(job)
            if step.fault is not None:
                places[job.config, where, step.fault.text].append(job)
    for (config, where, reason), affected in places.items():
        yield Finding(
            kind="refused",
            name=f"{config}, {where}: {reason}",
            text="",
            data={"config": config, "step": where, "reason": reason, "jobs": len(affected)},
        )


def _identity(job: JobInventory) -> dict[str, object]:
    return {
        "config": job.config,
        "build_environment": job.build_environment,
        "shard": job.shard,
        "num_shards": job.num_shards,
    }
