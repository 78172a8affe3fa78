"""How long one job takes: the estimate for each of its steps, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci_sessions.records.record import Outcome
from ci_sessions.text import count, for_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ci_sessions.inventory.jobs import JobInventory, StepInventory
    from ci_sessions.records.record import RunRecord

__all__ = ["Estimate", "StepEstimate"]

_FINISHED = (Outcome.PASSED, Outcome.FAILED)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepEstimate:
    """The minutes of a step, None if unknown. ``basis``: run_test.py, or records."""

    test: str
    step: int
    minutes: float | None
    basis: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """The steps of a job that run tests, with their minutes."""

    steps: tuple[StepEstimate, ...]

    @classmethod
    def of(
        cls,
        job: JobInventory,
        steps: Iterable[StepInventory],
        recorded: Callable[[JobInventory, StepInventory], float | None],
    ) -> Estimate:
        """Return the estimate for steps of a job; ``recorded`` returns minutes from records."""
        return cls(steps=tuple(_estimate(job, step, recorded) for step in steps))

    @property
    def minutes(self) -> float:
        """The known minutes of all steps."""
        return sum(step.minutes or 0.0 for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as JSON values."""
        steps = [
            {"test": one.test, "step": one.step, "minutes": one.minutes, "basis": one.basis}
            for one in self.steps
        ]
        return {"total": round(self.minutes, 2), "steps": steps}

    def compare(self, run: RunRecord) -> str:
        """Return a line for each step that ran: its estimate, and what it took."""
        estimated = {(one.test, one.step): one for one in self.steps}
        lines = [
            f"  {step.test} {step.number}  {_in_minutes(found)}, took {step.wall / 60:.1f}"
            for step in run.steps
            if (found := estimated.get((step.test, step.number))) and step.outcome in _FINISHED
        ]
        return for_log("\n".join(["minutes estimated and taken", *lines])) if lines else ""

    def describe(self) -> str:
        """Return the total and a line for each step with a known time."""
        known = [one for one in self.steps if one.minutes is not None]
        if not known:
            return f"minutes unknown: there are no times for {count(len(self.steps), 'step')}"
        head = f"about {self.minutes:.1f} minutes, {len(known)} of {count(len(self.steps), 'step')}"
        lines = [f"{head} with a known time"]
        lines += [f"  {one.test} {one.step}  {one.minutes:.1f}  ({one.basis})" for one in known]
        return for_log("\n".join(lines))


def _in_minutes(found: StepEstimate) -> str:
    known = found.minutes is not None
    return f"{found.minutes:.1f} ({found.basis})" if known else "unknown"


def _estimate(
    job: JobInventory,
    step: StepInventory,
    recorded: Callable[[JobInventory, StepInventory], float | None],
) -> StepEstimate:
    estimate = step.selection.minutes if step.selection and not step.unknown else None
    found, basis = estimate, "run_test.py"
    if estimate is None:
        found, basis = recorded(job, step), "records"
    return StepEstimate(
        test=step.test, step=step.number, minutes=found, basis=None if found is None else basis
    )
