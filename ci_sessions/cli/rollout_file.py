"""Changes of the rollout file: shares (``--apply``) and phases (``--open``)."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.checkout.files import reason_of
from ci_sessions.errors import InputError, RolloutError
from ci_sessions.gate.rollout import with_open_phase, with_share
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_sessions.cli.stdout import Stdout
    from ci_sessions.gate.rollout import Rollout
    from ci_sessions.gate.verdict import Verdict

__all__ = ["apply_verdicts", "open_phase"]


def apply_verdicts(
    rollout: Rollout, verdicts: Mapping[str, Verdict], path: Path | None, out: Stdout
) -> None:
    """Write the new shares to the rollout file, and print each change.

    Raises InputError without a file, RolloutError if it cannot be changed.
    """
    file = _own_file(path, "--apply")
    changes = []
    for config, verdict in verdicts.items():
        share = rollout.configurations[config].share
        if verdict.share != share:
            text = with_share(rollout, config, verdict.share, clock.timestamp())
            rollout = replace(rollout, source=text)
            changes.append(f"{config} {share} % → {verdict.share} % in {file}")
    if changes:
        _write(file, rollout.source)
    for change in changes or ["nothing to change"]:
        print(f"applied: {change}", file=out)


def open_phase(rollout: Rollout, phase: str, path: Path | None, out: Stdout) -> None:
    """Open a phase in the rollout file.

    Raises InputError if it is no phase, is open, or follows one that is not at 100 %.
    """
    if phase not in rollout.phases:
        raise InputError(f"--open is {shown(phase)}: choose from {', '.join(rollout.phases)}.")
    if phase in rollout.open_phases:
        raise InputError(f"--open is {shown(phase)}: this phase is open.")
    before = rollout.unfinished_before(phase)
    if before:
        raise InputError(
            f"--open is {shown(phase)}: this phase opens when {', '.join(before)} reached 100 %."
        )
    file = _own_file(path, "--open")
    _write(file, with_open_phase(rollout, phase))
    print(f"opened: phase {phase} in {file}", file=out)


def _own_file(path: Path | None, option: str) -> Path:
    if path is None:
        raise InputError(
            f"{option} does not change the bundled file: pass your own with --rollout FILE."
        )
    return path


def _write(path: Path, text: str) -> None:
    """Replace the file at once: jobs read it at any time, and a part of it would be an error."""
    target = path.resolve()  # a link stays a link
    partial = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        try:
            with partial.open("x", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())  # or it may be empty after a crash
            partial.chmod(stat.S_IMODE(target.stat().st_mode))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise RolloutError(f"{path} cannot be written: {reason_of(error)}.") from error
