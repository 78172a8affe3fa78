"""What a shell step exports, kept for the steps after it."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_sessions.plan.step import Step

__all__ = ["saved_environment"]

_OWN_VARIABLES = frozenset({"_", "SHLVL", "PWD", "OLDPWD"})


@contextlib.contextmanager
def saved_environment(
    step: Step, env: Mapping[str, str], kept: dict[str, str | None]
) -> Iterator[str]:
    """Give a shell step a file to write its environment to; add what it changed to ``kept``.

    For other steps the path is empty.
    """
    if not step.keeps_environment:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="ci-sessions-") as folder:
        path = Path(folder) / "environment"
        yield str(path)
        if path.is_file():
            kept.update(_changed(env, path.read_bytes()))


def _changed(before: Mapping[str, str], after: bytes) -> dict[str, str | None]:
    """Return the variables that a shell set or removed."""
    pairs = (
        item.partition("=") for item in after.decode(errors="surrogateescape").split("\0") if item
    )
    now = {name: value for name, _, value in pairs}
    ours = {name for name in now if name.startswith("BASH_FUNC_")} | _OWN_VARIABLES
    new: dict[str, str | None] = {
        name: value for name, value in now.items() if before.get(name) != value and name not in ours
    }
    gone = {name: None for name in before if name not in now and name not in ours}
    return {**new, **gone}
