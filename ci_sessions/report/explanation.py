"""Why a job runs what it runs, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_sessions.catalogue.explain import Change, Explanation
    from ci_sessions.catalogue.table import Row

__all__ = ["describe_explanation"]

_SHOWN = 4  # commands of a change that are spelled out
_WIDEST = 110


def describe_explanation(explanation: Explanation) -> str:
    """Write an explanation for a person."""
    job, decided = explanation.job, explanation.row
    place = TABLE.index(decided) + 1
    lines = [
        job.describe(),
        "",
        f"row {place} of {len(TABLE)} decides: {decided.name} ({decided.matches.text})",
        f"  suite {decided.suite} · phase {decided.phase}",
        "",
        f"tried before it, and not so: {_conditions(explanation.tried)}",
        "would match too, were they first: " + _conditions(explanation.also),
    ]
    if explanation.changes:
        lines += ["", "what would change"]
        lines += [line for change in explanation.changes for line in _change(change)]
    return "\n".join(lines)


def _conditions(rows: Iterable[Row]) -> str:
    return "; ".join(row.matches.text for row in rows) or "none"


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
