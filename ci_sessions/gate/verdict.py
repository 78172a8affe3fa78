"""The verdict on each configuration: promote, hold or roll back, on which runs, and what is next.

A configuration is promoted if nothing speaks against the next step and the evidence is enough for
it, and rolled back if even the lower limit of a rate reaches its target. Otherwise it is held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.gate.findings import (
    MIN_SHADOWS,
    Finding,
    NextStep,
    closed_phase,
    first_needs,
    later_needs,
    missed_targets,
    objections,
)
from ci_sessions.records.run_list import ids_by_time
from ci_sessions.text import StrEnum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.gate.evidence import Evidence
    from ci_sessions.gate.rollout import Rollout

__all__ = ["Action", "Verdict", "judge"]


class Action(StrEnum):
    """What to do with a configuration's share."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll back"
    DONE = "done"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """An action, the share that it leads to, why, and the IDs of the runs that it rests on.

    ``case`` is a flaky case, and ``run`` a differing run, that can be acknowledged instead; or "".
    """

    action: Action
    share: int
    reasons: tuple[str, ...]
    next: NextStep
    runs: Sequence[str] = ()
    case: str = ""
    run: str = ""

    @property
    def reason(self) -> str:
        """All reasons on one line."""
        return "; ".join(self.reasons)


def judge(evidence: Evidence, rollout: Rollout) -> Verdict:
    """Compare one configuration with the targets of the rollout."""
    entry = rollout.configurations[evidence.config]
    missed = missed_targets(evidence, rollout.targets)
    if missed and entry.share > 0:
        below = max((step for step in rollout.steps if step < entry.share), default=0)
        return _verdict(evidence, Action.ROLL_BACK, below, missed, step=NextStep.APPLY)
    against = [*missed, *objections(evidence, rollout)]
    share = rollout.next_share(evidence.config)
    if share is None:
        if against:
            return _verdict(evidence, Action.HOLD, entry.share, against)
        done = Finding("all of its jobs run in Python", NextStep.WAIT)
        return _verdict(evidence, Action.DONE, entry.share, [done])
    needs = first_needs(evidence, rollout) if entry.share == 0 else later_needs(evidence, rollout)
    if entry.phase not in rollout.open_phases:
        # A closed phase runs nothing in Python, but shadow comparisons and pairs can be made.
        waiting = [need for need in needs if need.next in (NextStep.SHADOW, NextStep.PAIR)]
        closed = closed_phase(rollout, entry.phase)
        return _verdict(evidence, Action.HOLD, entry.share, [closed, *against, *waiting])
    if against or needs:
        return _verdict(evidence, Action.HOLD, entry.share, [*against, *needs])
    ready = Finding(f"{entry.share} % → {share} %", NextStep.APPLY)
    return _verdict(evidence, Action.PROMOTE, share, [ready])


def _verdict(
    evidence: Evidence,
    action: Action,
    share: int,
    findings: list[Finding],
    step: NextStep | None = None,
) -> Verdict:
    runs = [finding.runs for finding in findings]
    if not any(runs):  # such as for a promotion: all that was counted
        paired = [run for pair in evidence.pairs for run in pair.runs]
        runs = [evidence.python_runs, evidence.shadows, paired]
    if not any(runs):
        runs = [evidence.shell]
    suspects = [case.name for case in evidence.flaky if case.is_suspect]
    return Verdict(
        action=action,
        share=share,
        reasons=tuple(finding.text for finding in findings),
        next=min(finding.next for finding in findings) if step is None else step,
        runs=ids_by_time(runs),
        case=suspects[0] if suspects else "",
        run=_differing_run(evidence),
    )


def _differing_run(evidence: Evidence) -> str:
    """Return the newest run that differs, in a pair or in shadow, or ""."""
    if evidence.differing_pairs:
        return evidence.differing_pairs[-1].python.id
    is_held = evidence.failed_shadows and len(evidence.clean_shadows) < MIN_SHADOWS
    return evidence.failed_shadows[-1].id if is_held else ""
