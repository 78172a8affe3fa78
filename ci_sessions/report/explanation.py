"""Why a job runs what it runs, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.report.plan import describe_suites

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_sessions.catalogue.explain import Change, Explanation
    from ci_sessions.catalogue.table import Row

__all__ = ["describe_explanation"]

_SHOWN = 4  # commands of a change that are spelled out
_WIDEST = 110


def describe_explanation(explanation: Explanation) -> str:
    """Write an explanation for a person."""
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
        lines += ["", "what another shard or build would change"]
        lines += [line for change in explanation.changes for line in _change(change)]
    return "\n".join(lines)


def _conditions(rows: Iterable[Row]) -> list[str]:
    return [f"  {row.match.text}" for row in rows] or ["  none"]


def _change(change: Change) -> Iterator[str]:
    yield f"  {change.what}"
    if change.error:
        yield f"    refused: {change.error}"
    for sign, commands in (("+", change.more), ("-", change.fewer)):
        for line in commands[:_SHOWN]:
            yield f"    {sign} {line if len(line) <= _WIDEST else line[:_WIDEST] + '…'}"
        if len(commands) > _SHOWN:
            yield f"    {sign} … and {len(commands) - _SHOWN} more"
    if change.flags:
        yield f"    flags: {', '.join(change.flags)}"
