"""What run_test.py answers: the parts of test files that one call of it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ci_sessions.job.variables import SHARD_NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_sessions.inventory.facts import BuildFacts

__all__ = [
    "Answer",
    "Basis",
    "Fault",
    "Question",
    "Selection",
    "TestPart",
    "from_dict",
    "test_name",
]

Basis = Literal["build", "config", "default", "none"]
"""Which times run_test.py used: of this build and configuration, of the configuration on any build,
of the default suite, or none, because it found no timing file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One call of run_test.py.

    ``argv`` starts with the script. ``env`` has all of its variables. ``cwd`` is relative to the
    checkout.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(hash=False)
    facts: BuildFacts
    cwd: str = "."

    @property
    def key(self) -> tuple[object, ...]:
        """What makes the question different from others."""
        return (self.argv, self.cwd, self.facts, tuple(sorted(self.env.items())))

    @property
    def family(self) -> tuple[object, ...]:
        """What the shards of a job have in common: all but the number of the shard."""
        argv = list(self.argv)
        if self.shard is not None:
            argv[argv.index("--shard") + 1] = ""
        shared = ((name, text) for name, text in self.env.items() if name != SHARD_NUMBER.name)
        return (tuple(argv), self.cwd, self.facts, tuple(sorted(shared)))

    @property
    def shard(self) -> tuple[int, int] | None:
        """The values of ``--shard``: number and total."""
        if "--shard" not in self.argv:
            return None
        values = self.argv[self.argv.index("--shard") + 1 :][:2]
        return (int(values[0]), int(values[1])) if all(v.isdecimal() for v in values) else None


@dataclass(frozen=True, slots=True)
class TestPart:
    """Part ``part`` of ``parts`` of a test file, named as run_test.py names it.

    ``serial``: nothing else runs meanwhile. ``minutes`` is the estimate, None if unknown.
    """

    __test__ = False  # pytest collects classes called Test*

    file: str
    part: int
    parts: int
    serial: bool
    minutes: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What a call selects. ``minutes`` is run_test.py's own estimate; None without any times.

    ``processes`` is the number of files that run in parallel, as run_test.py calculates with it.
    """

    parts: tuple[TestPart, ...]
    minutes: float | None = None
    basis: Basis = "none"
    processes: int = 1

    @property
    def files(self) -> frozenset[str]:
        """The names of the selected test files, as ``test_name`` returns them."""
        return frozenset(test_name(part.file) for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the selection as JSON values."""
        parts = [[p.file, p.part, p.parts, p.serial, p.minutes] for p in self.parts]
        return {
            "parts": parts,
            "minutes": self.minutes,
            "basis": self.basis,
            "processes": self.processes,
        }


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no selection: a sentence. ``is_rejected``: run_test.py refuses the call."""

    text: str
    is_rejected: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fault as JSON values."""
        return {"fault": self.text, "is_rejected": self.is_rejected}


Answer = Selection | Fault


def test_name(text: str) -> str:
    """Return a test file as run_test.py names it: ``test/test_ops.py`` → ``test_ops``."""
    return text.removeprefix("./").removeprefix("test/").removesuffix(".py")


test_name.__test__ = False  # type: ignore[attr-defined]  # pytest collects functions called test_*


def from_dict(data: Mapping[str, Any]) -> Answer:
    """Read an answer from ``to_dict``."""
    if "fault" in data:
        return Fault(data["fault"], data["is_rejected"])
    parts = tuple(TestPart(*values) for values in data["parts"])
    return Selection(
        parts=parts,
        minutes=data["minutes"],
        basis=data["basis"],
        processes=data["processes"],
    )
