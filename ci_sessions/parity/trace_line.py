"""A recording as a line of JSON, in the format of the recorded traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_sessions.parity.recording import Command, Recording

__all__ = ["trace_line"]

_UNLISTED = frozenset({"PATH", "TERM"})
"""Variables that recorded traces leave out: they concern the machine and the screen."""
_WITH_VARIABLES = ("test", "preflight")


def trace_line(recording: Recording, job: Mapping[str, object]) -> dict[str, object]:
    """Return the recording in the format of the recorded traces.

    Variables that all test commands share belong to the job; without tests, those of its sanity
    checks. Tests and sanity checks have those that they add. The end of a virtual environment is
    no command, since its start is one that is only named.
    """
    by_kind = [
        [command.env for command in recording.commands if command.kind == kind]
        for kind in _WITH_VARIABLES
    ]
    environments = next(filter(None, by_kind), [])
    common = {
        name: value
        for name, value in (environments[0] if environments else {}).items()
        if value is not None
        and name not in _UNLISTED
        and all(env.get(name) == value for env in environments)
    }
    commands = [
        _command_line(command, common)
        for command in recording.commands
        if command.argv != ("deactivate",)
    ]
    return {"job": dict(job), "exit": recording.exit_code, "env": common, "commands": commands}


def _command_line(command: Command, common: Mapping[str, str]) -> dict[str, object]:
    line: dict[str, object] = {"kind": command.kind, "argv": list(command.argv)}
    if command.cwd != ".":
        is_absolute = command.cwd.startswith(("$", "/"))
        line["cwd"] = command.cwd if is_absolute else f"$ROOT/{command.cwd}"
    own = {
        name: value
        for name, value in command.env.items()
        if value is not None and name not in _UNLISTED and common.get(name) != value
    }
    if own and command.kind in _WITH_VARIABLES:
        line["env"] = own
    return line
