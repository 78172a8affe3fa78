"""The state of the rollout as JSON for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ci_sessions.gate.pairs import Measure
from ci_sessions.gate.verdict import Action

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.gate.evidence import Evidence
    from ci_sessions.gate.forecast import Pace, StepForecast
    from ci_sessions.gate.rollout import Rollout
    from ci_sessions.gate.statistics import Rate
    from ci_sessions.gate.verdict import Verdict

__all__ = ["plan_to_json", "rollout_to_json"]


def rollout_to_json(
    rollout: Rollout,
    evidence: Mapping[str, Evidence],
    verdicts: Mapping[str, Verdict],
    commands: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return all that the table has, and the IDs of all runs: fractions, counts, intervals."""
    return {
        config: {
            "phase": entry.phase,
            "phase_is_open": entry.phase in rollout.open_phases,
            "phase_waits_for": rollout.unfinished_before(entry.phase),
            "share": entry.share,
            **_evidence(evidence[config]),
            **_verdict(verdicts[config]),
            "next": list(commands[config]),
        }
        for config, entry in rollout.configurations.items()
    }


def _evidence(found: Evidence) -> dict[str, Any]:
    return {
        "python": found.attempts,
        "shell": len(found.shell),
        "fallback": _rate(found.fallback_rate),
        "errors": _rate(found.error_rate),
        "red": {"python": _rate(found.python_red_rate), "shell": _rate(found.shell_red_rate)},
        "shadows": len(found.shadows),
        "clean_shadows": len(found.clean_shadows),
        "failed_shadows": [run.id for run in found.failed_shadows],
        "pairs": len(found.pairs),
        "disagreements": len(found.differing_pairs),
        "differing_pairs": [
            {
                "python": pair.python.id,
                "shell": pair.shell.id,
                "difference": pair.difference,
                "is_acknowledged": pair not in found.differing_pairs,
            }
            for pair in found.pairs
            if pair.difference
        ],
        "flaky": [
            {
                "case": case.name,
                "python": [pair.python.id for pair in case.python],
                "shell": [pair.shell.id for pair in case.shell],
                "acknowledged": case.acknowledged,
                "is_suspect": case.is_suspect,
            }
            for case in found.flaky
        ],
        "slowdown": found.excess(Measure.TIME),
        "more": {str(measure).lower(): _measure(found, measure) for measure in Measure},
    }


def _measure(found: Evidence, measure: Measure) -> dict[str, Any] | None:
    """Return how much more Python takes, as a fraction of the shell; None without pairs."""
    value = found.excess(measure)
    if value is None:
        return None
    limits = found.excess_interval(measure)
    pairs = len(found.ratios(measure))
    return {"median": value, "low": limits.low, "high": limits.high, "pairs": pairs}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": str(verdict.action),
        "to_share": verdict.share,
        "why": verdict.reason,
        "reasons": list(verdict.reasons),
        "runs": list(verdict.runs),
        "is_done": verdict.action is Action.DONE,
    }


def _rate(value: Rate) -> dict[str, float | int]:
    limits = value.interval
    return {"hits": value.hits, "total": value.total, "low": limits.low, "high": limits.high}


def plan_to_json(
    paces: Mapping[str, Pace], plans: Mapping[str, Sequence[StepForecast]]
) -> dict[str, Any]:
    """Return the remaining steps of each configuration; days are None where the rate gives none."""
    return {
        config: {"pace": asdict(paces[config]), "steps": [asdict(step) for step in steps]}
        for config, steps in plans.items()
    }
