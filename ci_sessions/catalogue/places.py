"""Where the catalogue says what a job runs: what a maintainer edits when the script changes."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.catalogue import devices, exports, setup
from ci_sessions.catalogue.table import find_row
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.plan.step import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import CodeType

    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft

__all__ = ["place_of_checks", "places_of_export", "places_of_tests"]

_PACKAGE = Path(__file__).resolve().parents[1]


def places_of_tests(job: Job, command: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the functions that plan the job's tests: ``ci_sessions/…/jit.py:12 legacy``.

    With a command, only those that plan the same one, or else those that plan the most similar.
    Raises InputError for a job that no row of the table may plan.
    """
    parts = find_row(job).parts
    if command and len(parts) > 1:
        likeness = [_likeness(part(job, RECORDED), command) for part in parts]
        most = max(likeness)
        parts = tuple(part for part, one in zip(parts, likeness, strict=True) if one == most)
    codes = (getattr(part, "__code__", None) for part in parts)
    return tuple(dict.fromkeys(_function(code) for code in codes if code is not None))


def _likeness(drafts: Iterable[Draft], command: Sequence[str]) -> float:
    """Return how similar the most similar of the planned commands is, from 0 to 1."""
    steps = [item for draft in drafts for item in draft.items if isinstance(item, Step)]
    wanted = Counter(command)
    return max((_overlap(wanted, Counter(step.argv)) for step in steps), default=0.0)


def _overlap(one: Counter[str], other: Counter[str]) -> float:
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0


def place_of_checks() -> str:
    """Return the function that plans the checks before the tests."""
    return _function(setup.setup_steps.__code__)


@cache
def places_of_export(name: str) -> tuple[str, ...]:
    """Return where a variable is exported to all tests, or the functions that export others."""
    for module in (exports, devices):
        path = Path(module.__file__ or "")
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(rf"\b{re.escape(name)}\b", line) and "import" not in line:
                return (f"{_shown(path)}:{number}",)
    return (_function(exports.job_exports.__code__), _function(devices.device_exports.__code__))


def _function(code: CodeType) -> str:
    return f"{_shown(Path(code.co_filename))}:{code.co_firstlineno} {code.co_name}"


def _shown(path: Path) -> str:
    path = path.resolve()
    is_ours = path.is_relative_to(_PACKAGE)
    return str(path.relative_to(_PACKAGE.parent) if is_ours else path)
