"""Explains which row of the table a job matches, and what would change that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.report.plan import describe_suites

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_sessions.catalogue.explain import Change, Explanation
    from ci_sessions.catalogue.table import Row

__all__ = ["describe_explanation"]

_MAX_COMMANDS = 4  # per change and sign
_MAX_WIDTH = 110


def describe_explanation(explanation: Explanation) -> str:
    """Return an explanation for people."""
    plan = explanation.plan
    lines = [
        plan.describe_job(),
        "",
        f"{plan.row} ({explanation.row.name})",
        f"  {describe_suites(plan)}",
        "",
        "earlier rows that did not match:",
        *_conditions(explanation.earlier),
        "later rows that also match:",
        *_conditions(explanation.later),
    ]
    if explanation.changes:
        lines += ["", "changes with another shard or build:"]
        lines += [line for change in explanation.changes for line in _change(change)]
    return "\n".join(lines)


def _conditions(rows: Iterable[Row]) -> list[str]:
    return [f"  {row.match.text}" for row in rows] or ["  none"]


def _change(change: Change) -> Iterator[str]:
    yield f"  {change.what}"
    if change.error:
        yield f"    error: {change.error}"
    for sign, commands in (("+", change.added), ("-", change.removed)):
        for line in commands[:_MAX_COMMANDS]:
            yield f"    {sign} {line if len(line) <= _MAX_WIDTH else line[:_MAX_WIDTH] + '…'}"
        if len(commands) > _MAX_COMMANDS:
            yield f"    {sign} … and {len(commands) - _MAX_COMMANDS} more"
    if change.flags:
        yield f"    flags: {', '.join(change.flags)}"
