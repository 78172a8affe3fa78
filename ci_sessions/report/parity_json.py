"""The results of ``parity`` as JSON values, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ci_sessions.parity.causes import find_causes
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.report.parity import SIDES

if TYPE_CHECKING:
    from ci_sessions.parity.compare import Difference
    from ci_sessions.parity.verdict import JobComparison, ParityResult

__all__ = ["STRUCTURE", "parity_to_json"]

STRUCTURE = frozenset(("verdict", "stream", "field", "kind", "config", "build_environment"))
"""Keys in ``parity_to_json`` whose values are this package's own words, and so never a secret."""


def parity_to_json(result: ParityResult) -> dict[str, Any]:
    """Return the complete result as JSON values, with all differences of each job."""
    return {
        "format": 1,
        "script": result.script,
        "sides": list(SIDES[result.other]),
        "seconds": round(result.seconds, 3),
        "cached": result.cached,
        "exit_code": result.exit_code,
        "totals": {verdict.value: result.count(verdict) for verdict in JobVerdict},
        "configs": {
            config: {verdict.value: number for verdict, number in counts.items()}
            for config, counts in result.by_config().items()
        },
        "faults": list(result.faults),
        "causes": [
            {
                "text": cause.text,
                "lines": list(cause.lines),
                "places": list(cause.places),
                "jobs": [job.name for job in cause.jobs],
            }
            for cause in find_causes(result)
        ],
        "jobs": [_job_dict(job) for job in result.jobs],
    }


def _job_dict(job: JobComparison) -> dict[str, Any]:
    return {
        "job": dict(job.job),
        "verdict": job.verdict.value,
        "reason": job.reason,
        "lines": list(job.lines),
        "commands": job.commands,
        "assumed": [note.text for note in job.assumed],
        "unknown": [{"name": note.text, "lines": list(note.lines)} for note in job.unknown],
        "inputs": [asdict(change) for change in job.inputs],
        "accepted": [{"what": entry.what, "why": entry.why} for entry in job.accepted],
        "differences": [_difference_dict(one) for one in job.differences],
    }


def _difference_dict(difference: Difference) -> dict[str, Any]:
    sides = {"script": difference.script, "plan": difference.plan}
    return {
        "stream": difference.stream,
        "field": difference.field,
        "number": difference.number,
        "variable": difference.variable,
        "lines": list(difference.lines),
        **{name: asdict(side) if side else None for name, side in sides.items()},
    }
