"""Captures the variables that a shell step exports, for the steps after it."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_sessions.plan.step import Step

__all__ = ["capture_exports"]

_SHELL_VARIABLES = frozenset({"_", "SHLVL", "PWD", "OLDPWD"})  # set by every shell


@contextlib.contextmanager
def capture_exports(
    step: Step, env: Mapping[str, str], exports: dict[str, str | None]
) -> Iterator[str]:
    """Yield the path of a file for the step's environment, and add what changed to ``exports``.

    The path is empty for a step that exports nothing.
    """
    if not step.exports_variables:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="ci-sessions-") as folder:
        path = Path(folder) / "environment"
        yield str(path)
        if path.is_file():
            exports.update(_changes(env, path.read_bytes()))


def _changes(before: Mapping[str, str], after: bytes) -> dict[str, str | None]:
    """Return the variables that a shell set, or removed (None)."""
    pairs = (
        item.partition("=") for item in after.decode(errors="surrogateescape").split("\0") if item
    )
    now = {name: value for name, _, value in pairs}
    ignored = {name for name in now if name.startswith("BASH_FUNC_")} | _SHELL_VARIABLES
    changed: dict[str, str | None] = {
        name: value
        for name, value in now.items()
        if before.get(name) != value and name not in ignored
    }
    removed = {name: None for name in before if name not in now and name not in ignored}
    return {**changed, **removed}
