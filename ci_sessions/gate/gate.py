"""Who runs a job, Python or the shell, and why: a pure function of job, flag and roll-out.

The flag is USE_PYTHON_TEST_RUNNER. Its default is the shell.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ci_sessions.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.gate.rollout import Rollout
    from ci_sessions.job.job import Job

__all__ = ["FLAG", "Flag", "Reason", "Route", "Runner", "choose", "read_flag"]

FLAG = "USE_PYTHON_TEST_RUNNER"
_ONNX_SCRIPT = ".ci/onnx/test.sh"


class Runner(str, enum.Enum):
    """Who runs the job."""

    PYTHON = "python"
    SHELL = "shell"

    def __str__(self) -> str:
        return self.value


class Flag(str, enum.Enum):
    """What the flag says."""

    UNSET = "unset"
    OFF = "0"
    ON = "1"
    ROLLOUT = "rollout"
    SHADOW = "shadow"

    def __str__(self) -> str:
        return self.value


class Reason(str, enum.Enum):
    """Why a route was taken; a stable code for logs, records and reports."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A decision. ``script`` is what the shell runs, also on a fallback."""

    runner: Runner
    reason: Reason
    script: str
    detail: str = ""
    phase: str = ""
    may_fall_back: bool = True

    def describe(self) -> str:
        """Return one line: ``python: split-in, bucket 17 of phase 2A at 25 %``."""
        return f"{self.runner}: {self.reason}" + (f", {self.detail}" if self.detail else "")


_WORDS = {
    "": Flag.UNSET,
    "0": Flag.OFF,
    "false": Flag.OFF,
    "1": Flag.ON,
    "true": Flag.ON,
    "rollout": Flag.ROLLOUT,
    "shadow": Flag.SHADOW,
}


def read_flag(text: str | None) -> Flag:
    """Read the flag; anything unknown is an error, never a silent default."""
    flag = _WORDS.get((text or "").strip().lower())
    if flag is None:
        raise InputError(
            f"{FLAG} is {text!r}: give 1 (Python), 0 (shell), rollout (by phase and share) or "
            "shadow (shell, with the Python plan compared beside it)."
        )
    return flag


def choose(
    job: Job,
    checkout: Checkout,
    flag: Flag,
    rollout: Callable[[], Rollout],
    *,
    no_fallback: bool = False,
) -> Route:
    """Decide who runs a job. ``rollout`` is asked only when the flag says so."""
    shell = Route(
        runner=Runner.SHELL,
        reason=_BY_FLAG.get(flag, Reason.FLAG_ON),
        script=checkout.script,
        may_fall_back=not no_fallback,
    )
    if job.config == "multigpu":
        script = f"{checkout.script_folder}/multigpu-test.sh"
        return replace(shell, reason=Reason.MULTIGPU, script=script)
    if job.build.has("onnx") and checkout.has_onnx_script:
        return replace(shell, reason=Reason.ONNX, script=_ONNX_SCRIPT)
    if flag is Flag.ON:
        return replace(shell, runner=Runner.PYTHON)
    return _by_rollout(job, shell, rollout()) if flag is Flag.ROLLOUT else shell


_BY_FLAG = {
    Flag.UNSET: Reason.FLAG_UNSET,
    Flag.OFF: Reason.FLAG_OFF,
    Flag.SHADOW: Reason.SHADOW,
}


def _by_rollout(job: Job, shell: Route, state: Rollout) -> Route:
    """Decide by phase and bucket; what the file does not name stays with the shell."""
    entry = state.configurations.get(job.config)
    if entry is None:
        return replace(shell, reason=Reason.NOT_IN_ROLLOUT)
    if entry.phase not in state.open_phases:
        detail = f"phase {entry.phase}"
        return replace(shell, reason=Reason.PHASE_CLOSED, detail=detail, phase=entry.phase)
    bucket = state.bucket(job.id)
    detail = f"bucket {bucket} of phase {entry.phase} at {entry.share} %"
    split = replace(shell, reason=Reason.SPLIT_OUT, detail=detail, phase=entry.phase)
    if bucket < entry.share:
        return replace(split, runner=Runner.PYTHON, reason=Reason.SPLIT_IN)
    return split
