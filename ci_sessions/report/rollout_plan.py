"""How long a rollout will take, as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.gate.forecast import NEVER
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.gate.forecast import Pace, StepForecast
    from ci_sessions.gate.rollout import Rollout

__all__ = ["describe_plan"]


def describe_plan(
    rollout: Rollout,
    paces: Mapping[str, Pace],
    plans: Mapping[str, Sequence[StepForecast]],
) -> str:
    """Return the steps of each configuration with the runs and days that they take."""
    lines = ["what each step still needs if all runs are clean, and how long that takes"]
    for config, entry in rollout.configurations.items():
        lines += ["", f"{config} (phase {entry.phase}, {entry.share} %): {_pace(paces[config])}"]
        lines += [f"  {_step(step)}" for step in plans[config]]
        if plans[config]:
            lines.append(f"  {_total(plans[config])}")
    return "\n".join(lines)


def _pace(pace: Pace) -> str:
    if not (pace.runs or pace.pairs):
        return "no rate of runs: no runs in the records, give --runs-per-day N"
    rate = f"{pace.runs:.3g} runs and {pace.pairs:.3g} pairs a day"
    return f"{rate} (in {pace.days:g} days of records)" if pace.days else rate


def _step(step: StepForecast) -> str:
    runs = "never enough" if step.runs >= NEVER else f"{step.runs:,}"
    pairs = f" and {count(step.pairs, 'pair')}" if step.pairs else ""
    needs = f"{runs:>5} {step.kind}{pairs}"
    return f"{step.start:>3} % → {step.end:>3} %  {needs:52} {_days(step.days)}"


def _days(days: float | None) -> str:
    if days is None:
        return "never at this rate"
    return f"{days:,.1f} days"


def _total(steps: Sequence[StepForecast]) -> str:
    known = [step.days for step in steps if step.days is not None]
    if len(known) < len(steps):
        return "100 % is not reached at this rate: more runs, or pairs, are needed"
    return f"100 % after {sum(known):,.0f} days"
