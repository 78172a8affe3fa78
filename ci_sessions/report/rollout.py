"""The state of the rollout, as a table for people and as JSON for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci_sessions.gate.evidence import Action
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_sessions.gate.evidence import Evidence, Rate, Verdict
    from ci_sessions.gate.rollout import Rollout

__all__ = ["describe_rollout", "rollout_to_json"]

_COLUMNS = f"{'config':22}{'share':>6}  {'runs py/sh':>13}  {'fallback':22}{'runner errors':22}"
_MAX_RUNS = 3


def describe_rollout(
    rollout: Rollout, evidence: Mapping[str, Evidence], verdicts: Mapping[str, Verdict]
) -> str:
    """Return a table for each phase; rates and times have their intervals."""
    targets = rollout.targets
    limits = (
        f"fallback < {100 * targets.fallback:g} %",
        f"time < +{100 * targets.time:g} %",
        f"errors < {100 * targets.errors:g} %",
    )
    lines = [f"targets: {', '.join(limits)}, each with 95 % confidence"]
    phases = sorted({entry.phase for entry in rollout.configurations.values()})
    for phase in phases:
        state = "open" if phase in rollout.open_phases else "closed"
        lines += ["", f"phase {phase} ({state})"]
        lines.append(f"  {_COLUMNS}{'disagree':>10}  {'time, paired':28}verdict")
        for config, entry in rollout.configurations.items():
            if entry.phase == phase:
                lines += _row(entry.share, evidence[config], verdicts[config])
    return "\n".join(lines)


def _row(share: int, found: Evidence, verdict: Verdict) -> list[str]:
    runs = f"{found.attempts:,} / {len(found.shell):,}"
    disagree = f"{len(found.disagreements)} of {found.pairs}"
    rates = f"{_rate(found.fallback_rate):22}{_rate(found.error_rate):22}"
    line = (
        f"  {found.config:22}{share:>4} %  {runs:>13}  {rates}"
        f"{disagree:>10}  {_time(found):28}{verdict.action}: {verdict.reason}"
    )
    more = [f"      {name}" for name in verdict.runs[:_MAX_RUNS]]
    if len(verdict.runs) > _MAX_RUNS:
        more.append(f"      … and {len(verdict.runs) - _MAX_RUNS} more")
    if found.shadows:
        failed = f"{len(found.failed_shadows)} did not match the script"
        more.append(f"      shadow: {count(found.shadows, 'run')}, {failed}")
    return [line, *more]


def _rate(rate: Rate) -> str:
    if rate.total == 0:
        return "no runs"
    limits = rate.interval
    return f"{100 * rate.value:.1f} % ({100 * limits.low:.1f}–{100 * limits.high:.1f})"  # noqa: RUF001


def _time(found: Evidence) -> str:
    if found.slowdown is None:
        return "no pairs"
    limits = found.slowdown_interval
    return f"{100 * found.slowdown:+.1f} % ({100 * limits.low:+.1f}…{100 * limits.high:+.1f})"


def rollout_to_json(
    rollout: Rollout, evidence: Mapping[str, Evidence], verdicts: Mapping[str, Verdict]
) -> dict[str, Any]:
    """Return the same data as JSON values: fractions, counts, intervals."""

    def rate(value: Rate) -> dict[str, float | int]:
        limits = value.interval
        return {"hits": value.hits, "total": value.total, "low": limits.low, "high": limits.high}

    return {
        config: {
            "phase": entry.phase,
            "share": entry.share,
            "python": evidence[config].attempts,
            "shell": len(evidence[config].shell),
            "fallback": rate(evidence[config].fallback_rate),
            "errors": rate(evidence[config].error_rate),
            "pairs": evidence[config].pairs,
            "disagreements": len(evidence[config].disagreements),
            "slowdown": evidence[config].slowdown,
            "verdict": str(verdicts[config].action),
            "to_share": verdicts[config].share,
            "why": verdicts[config].reason,
            "is_done": verdicts[config].action is Action.DONE,
        }
        for config, entry in rollout.configurations.items()
    }
