"""Whether Python or the shell runs a job: a pure function of the job, the flag and the rollout.

The flag is USE_PYTHON_TEST_RUNNER. The default is the shell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ci_sessions.errors import InputError
from ci_sessions.job.variables import USE_PYTHON_TEST_RUNNER
from ci_sessions.records.route import Reason, Route, Runner
from ci_sessions.text import StrEnum, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.gate.rollout import Rollout
    from ci_sessions.job.job import Job

__all__ = ["Flag", "choose", "fallback_route", "read_flag"]

_ONNX_SCRIPT = ".ci/onnx/test.sh"


class Flag(StrEnum):
    """The values of the flag."""

    UNSET = "unset"
    OFF = "0"
    ON = "1"
    ROLLOUT = "rollout"
    SHADOW = "shadow"


_FLAGS = {
    "": Flag.UNSET,
    "0": Flag.OFF,
    "false": Flag.OFF,
    "1": Flag.ON,
    "true": Flag.ON,
    "rollout": Flag.ROLLOUT,
    "shadow": Flag.SHADOW,
}
_REASONS = {
    Flag.UNSET: Reason.FLAG_UNSET,
    Flag.OFF: Reason.FLAG_OFF,
    Flag.SHADOW: Reason.SHADOW,
    Flag.ON: Reason.FLAG_ON,
    Flag.ROLLOUT: Reason.UNDECIDED,
}


def read_flag(text: str | None) -> Flag:
    """Parse the flag. Raises InputError for any unknown value, rather than using a default."""
    flag = _FLAGS.get((text or "").strip().lower())
    if flag is None:
        raise InputError(
            f"{USE_PYTHON_TEST_RUNNER.name} is {shown(text)}: use 1 (Python), 0 (shell), rollout "
            "(by phase and share) or shadow (shell, while the Python plan is compared with it)."
        )
    return flag


def choose(  # noqa: PLR0913 - the decision depends on all of them
    job: Job,
    checkout: Checkout,
    flag: Flag,
    rollout: Callable[[], Rollout],
    *,
    is_native: bool = False,
    no_fallback: bool = False,
) -> Route:
    """Decide who runs a job. ``rollout`` is called only if the flag is ``rollout``.

    ``is_native``: the script does not know the configuration, so it cannot run the job, not even
    as a fallback.
    """
    special, script = script_of(job.config, job.build.label, checkout)
    shell = Route(
        runner=Runner.SHELL,
        reason=special or _REASONS[flag],
        script=script,
        may_fall_back=not no_fallback,
    )
    if is_native:
        return replace(shell, runner=Runner.PYTHON, reason=Reason.NATIVE, may_fall_back=False)
    if special is not None:
        return shell
    if flag is Flag.ON:
        return replace(shell, runner=Runner.PYTHON)
    return _choose_by_rollout(job, shell, rollout()) if flag is Flag.ROLLOUT else shell


def script_of(config: str, label: str, checkout: Checkout) -> tuple[Reason | None, str]:
    """Return the script that runs a job in the shell, and the reason if it is not test.sh."""
    if config == "multigpu":
        return Reason.MULTIGPU, f"{checkout.scripts}/multigpu-test.sh"
    if "onnx" in label and checkout.has_onnx_script:
        return Reason.ONNX, _ONNX_SCRIPT
    return None, checkout.script


def fallback_route(config: str, label: str, checkout: Checkout, flag: Flag) -> Route:
    """Return the route of a job for which the gate failed: its script, for the flag's reason."""
    special, script = script_of(config, label, checkout)
    return Route(runner=Runner.SHELL, reason=special or _REASONS[flag], script=script)


def _choose_by_rollout(job: Job, shell: Route, state: Rollout) -> Route:
    """Decide by phase and bucket; configurations that are not in the file stay in the shell."""
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
