"""How a job came to its runner: a route, and the codes that logs, records and reports share."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import RecordError
from ci_sessions.records.verdict import JobVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Attempt", "Fallback", "Reason", "Route", "Runner", "Shadow"]


class Runner(str, enum.Enum):
    """Who runs the job."""

    PYTHON = "python"
    SHELL = "shell"

    def __str__(self) -> str:
        return self.value


class Reason(str, enum.Enum):
    """Why a route was taken; a stable code."""

    NATIVE = "native"
    MULTIGPU = "multigpu"
    ONNX = "onnx"
    FLAG_ON = "flag-on"
    FLAG_OFF = "flag-off"
    FLAG_UNSET = "flag-unset"
    SHADOW = "shadow"
    NOT_IN_ROLLOUT = "not-in-rollout"
    PHASE_CLOSED = "phase-closed"
    SPLIT_IN = "split-in"
    SPLIT_OUT = "split-out"

    def __str__(self) -> str:
        return self.value


class Fallback:
    """Codes of a fallback beyond the ``reference`` of the error that caused it."""

    BUG = "bug"  # before the run
    BUG_IN_RUN = "bug-in-run"  # in it, before its first test: this attempt has its own record
    IMPORT_ERROR = "import-error"  # the package could not be imported


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A decision of the gate. ``script`` is what the shell runs, also on a fallback."""

    runner: Runner
    reason: Reason
    script: str
    detail: str = ""
    phase: str = ""
    may_fall_back: bool = True

    def describe(self) -> str:
        """Return one line: ``python: split-in, bucket 17 of phase 2A at 25 %``."""
        return f"{self.runner}: {self.reason}" + (f", {self.detail}" if self.detail else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shadow:
    """What the comparison of plan and script beside a shell run found. Times in seconds."""

    verdict: JobVerdict
    detail: str = ""
    seconds: float = 0.0

    def describe(self) -> str:
        """Return one line: ``different: test.sh:7: test 1, argv``."""
        return f"{self.verdict}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What a record says of a route: who ran the job, who was meant to, and why.

    ``fallback`` is the code of what kept Python from it, with ``error`` and ``trace`` in words;
    ``is_partial``: only a part of the job's plan was asked for.
    """

    runner: Runner
    intended: Runner
    reason: Reason
    detail: str = ""
    phase: str = ""
    commit: str = ""
    is_partial: bool = False
    fallback: str = ""
    error: str = ""
    trace: str = ""
    shadow: Shadow | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the attempt as JSON values; what says nothing is left out."""
        always = ("runner", "intended", "reason", "is_partial")
        data: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in always or (value and item.name != "shadow"):
                data[item.name] = str(value) if isinstance(value, enum.Enum) else value
        if self.shadow is not None:
            data["shadow"] = str(self.shadow.verdict)
            data["shadow_detail"] = self.shadow.detail
            data["shadow_seconds"] = self.shadow.seconds
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Attempt:
        """Read ``to_json`` back. Raises RecordError on what it cannot be."""
        try:
            texts = {
                name: str(data.get(name) or "")
                for name in ("detail", "phase", "commit", "fallback", "error", "trace")
            }
            shadow = None
            if data.get("shadow"):
                shadow = Shadow(
                    verdict=JobVerdict(data["shadow"]),
                    detail=str(data.get("shadow_detail") or ""),
                    seconds=float(data.get("shadow_seconds") or 0.0),
                )
            return cls(
                runner=Runner(data["runner"]),
                intended=Runner(data.get("intended", data["runner"])),
                reason=Reason(data["reason"]),
                is_partial=bool(data.get("is_partial")),
                shadow=shadow,
                **texts,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"a record's route cannot be read: {error!r}.") from error
