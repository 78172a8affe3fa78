"""Which jobs run a test: a pure function of their inventories."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ci_sessions.errors import InputError
from ci_sessions.inventory.selection import test_name
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci_sessions.inventory.jobs import JobInventory, StepInventory

__all__ = ["Occurrence", "Target", "direct_files", "find", "parse_target"]

_PROGRAMS = ("python", "python3", "pytest")


@dataclass(frozen=True, slots=True)
class Target:
    """What is looked for: a pattern of test files, and the name of a case in them, or ""."""

    pattern: str
    case: str = ""

    def matches(self, file: str) -> bool:
        """Return whether the pattern matches a test file's name."""
        return fnmatchcase(file, self.pattern)


@dataclass(frozen=True, kw_only=True, slots=True)
class Occurrence:
    """A part of a test file in a step of a job. ``minutes`` is None if the time is unknown."""

    file: str
    job: JobInventory
    step: StepInventory
    part: int = 1
    parts: int = 1
    minutes: float | None = None


def parse_target(text: str) -> Target:
    """Parse what a user calls a test: a file, a node ID, a dotted name, or a pattern of paths.

    ``test_ops``, ``test/test_ops.py``, ``test_ops.py::TestCommon::test_out``,
    ``test_ops.TestCommon.test_out``, ``distributed/*``. Raises InputError for an empty name.
    """
    file, _, case = text.partition("::")
    if not case and not file.endswith(".py"):
        folder, slash, last = file.rpartition("/")
        last, _, case = last.partition(".")
        file = f"{folder}{slash}{last}"
    name = test_name(file.strip())
    if not name or not re.fullmatch(r"[\w.*?/\[\]!+-]+", name):
        raise InputError(
            f"the test is {shown(text)}: name a file such as test_ops or test/test_ops.py, a case "
            "such as test_ops.py::TestCommon::test_out, or a pattern such as 'distributed/*'."
        )
    return Target(name, case)


def find(jobs: Iterable[JobInventory], targets: Sequence[Target]) -> list[Occurrence]:
    """Return where the jobs run the targets, in the order of the jobs."""
    return [found for job in jobs for step in job.steps for found in _in_step(job, step, targets)]


def _in_step(
    job: JobInventory, step: StepInventory, targets: Sequence[Target]
) -> Iterator[Occurrence]:
    for part in step.selection.parts if step.selection else ():
        name = test_name(part.file)
        if any(target.matches(name) for target in targets):
            yield Occurrence(
                file=name,
                job=job,
                step=step,
                part=part.part,
                parts=part.parts,
                minutes=part.minutes,
            )
    for name in direct_files(step):
        if any(target.matches(name) for target in targets):
            yield Occurrence(file=name, job=job, step=step)


def direct_files(step: StepInventory) -> list[str]:
    """Return the test files that a step runs without run_test.py: ``python test/test_a.py``."""
    if step.question is not None or step.argv[0] not in _PROGRAMS:
        return []
    found = []
    for word in step.argv[1:]:
        path = word.partition("::")[0]
        if path.endswith(".py") and PurePosixPath(path).name.startswith("test_"):
            full = PurePosixPath(step.cwd, path)
            parts = [part for part in full.parts if part not in (".", "$ROOT")]
            if parts[:1] == ["test"]:
                found.append(test_name("/".join(parts)))
    return list(dict.fromkeys(found))
