"""How the runner of a job was chosen: routes, and the codes in logs, records and reports."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import RecordError
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.text import StrEnum

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Fallback", "Reason", "Route", "RouteRecord", "Runner", "Shadow"]


class Runner(StrEnum):
    """Who runs the job."""

    PYTHON = "python"
    SHELL = "shell"


class Reason(StrEnum):
    """Why a route was chosen; the values are stable codes."""

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
    UNDECIDED = "undecided"  # a rollout in which the gate could not decide


class Fallback:
    """Codes for why a job fell back to the shell, besides the ``reference`` of an error."""

    BUG = "bug"  # an unexpected exception before the run
    BUG_IN_RUN = "bug-in-run"  # one in the run, before its first test: that run has its own record
    IMPORT_ERROR = "import-error"  # the package could not be imported
    NOT_STARTED = "not-started"  # nox could not start


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """The gate's decision. ``script`` is what the shell runs, also after a fallback."""

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
    """The result of comparing plan and script alongside a shell run, and how long that took."""

    verdict: JobVerdict
    detail: str = ""
    seconds: float = 0.0

    def describe(self) -> str:
        """Return one line: ``different: test.sh:7: test 1, argv``."""
        return f"{self.verdict}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteRecord:
    """A route as a record stores it: who ran the job, who should have run it, and why.

    ``fallback`` is the code for why Python could not run it, ``error`` and ``trace`` are the error
    message and the traceback. ``is_partial``: only a part of the job's plan was selected.
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
        """Return the route as JSON values, without empty fields."""
        data: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value or item.name == "is_partial":
                data[item.name] = str(value) if isinstance(value, enum.Enum) else value
        if self.shadow is not None:
            data["shadow"] = str(self.shadow.verdict)
            data["shadow_detail"] = self.shadow.detail
            data["shadow_seconds"] = self.shadow.seconds
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RouteRecord:
        """Return the route that ``to_json`` wrote. Raises RecordError on invalid values."""
        try:
            strings = {
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
                **strings,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"the route in a record cannot be read: {error!r}.") from error
