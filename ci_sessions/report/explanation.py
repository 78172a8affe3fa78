"""Explains which row of the table a job matches, and what would change that."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from ci_sessions.job.job_json import job_to_json
from ci_sessions.report.plan import describe_suites

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci_sessions.catalogue.explain import Explanation, Variants
    from ci_sessions.catalogue.table import Row

__all__ = ["STRUCTURE", "describe_explanation", "explanation_to_json"]

STRUCTURE = frozenset(("config", "build_environment", "row", "name"))
"""Keys in the JSON values whose values are this package's own words, and so never a secret."""
_MAX_COMMANDS = 10  # per change and sign
_MAX_WIDTH = 100


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
        "",
        "later rows that also match:",
        *_conditions(explanation.later),
    ]
    if explanation.variants:
        lines += ["", "changes with another shard or build:"]
        lines += [line for variants in explanation.variants for line in _variants(variants)]
    return "\n".join(lines)


def explanation_to_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON values, with all changes of each shard or build."""
    plan = explanation.plan
    return {
        "job": job_to_json(plan.job),
        "row": plan.row,
        "name": explanation.row.name,
        "suites": list(plan.suites),
        "earlier": [row.match.text for row in explanation.earlier],
        "later": [row.match.text for row in explanation.later],
        "variants": [
            {
                "names": list(one.names),
                "added": list(one.change.added),
                "removed": list(one.change.removed),
                "exports": list(one.change.exports),
                "error": one.change.error,
            }
            for one in explanation.variants
        ],
    }


def _conditions(rows: Iterable[Row]) -> list[str]:
    return [f"  {row.match.text}" for row in rows] or ["  none"]


def _variants(variants: Variants) -> Iterator[str]:
    change = variants.change
    yield f"  {', '.join(variants.names)}"
    if change.error:
        yield from _wrapped("error:", change.error)
    for sign, commands in (("-", change.removed), ("+", change.added)):
        for line in commands[:_MAX_COMMANDS]:
            yield from _wrapped(sign, line)
        if len(commands) > _MAX_COMMANDS:
            yield f"    {sign} … and {len(commands) - _MAX_COMMANDS} more"
    if change.exports:
        yield "    exports"
    for line in change.exports:
        yield from _wrapped("  " + line[0], line[2:])


def _wrapped(label: str, text: str) -> list[str]:
    """Return a text in as many lines as it needs: what differs may be at its end."""
    first = f"    {label} "
    return textwrap.wrap(
        text,
        _MAX_WIDTH,
        initial_indent=first,
        subsequent_indent=" " * (len(first) + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
