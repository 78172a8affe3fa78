"""Shows how a configuration's shards divide its time: as tables, JSON and matrix lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci_sessions.text import count, for_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_sessions.inventory.shards import Division, ShardLoad

__all__ = ["ShardPlan", "describe_overview", "describe_plan", "matrix_lines", "plan_to_json"]

_WIDTH = 40  # characters of a bar
_TEXTS = 2  # columns of text in the overview
_BASES = {
    "build": "test times of this build and configuration",
    "config": "test times of this configuration on any build",
    "default": "test times of the default configuration",
    "none": "no test times",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardPlan:
    """The shards today, those that were asked for, and those that the target needs.

    ``needed_if_placed``: if other work were placed on the shards with most room. ``target`` is in
    minutes.
    """

    today: Division
    chosen: Division
    runner: str = ""
    target: int | None = None
    needed: Division | None = None
    needed_if_placed: Division | None = None

    @property
    def best(self) -> Division:
        """The division to show and to print as a matrix."""
        return self.needed or self.chosen


def plan_to_json(plan: ShardPlan) -> dict[str, Any]:
    """Return the chosen division as JSON values, and what the target needs."""
    data = _division_to_json(plan.chosen)
    if plan.target is not None:
        data["target_minutes"] = plan.target
        data["needed"] = plan.needed.num_shards if plan.needed else None
        placed = plan.needed_if_placed
        data["needed_if_placed"] = placed.num_shards if placed else None
        data["machine_hours"] = round(plan.chosen.total / 60, 2)
        then = plan.needed.total / 60 if plan.needed else None
        data["machine_hours_needed"] = None if then is None else round(then, 2)
    return data


def _division_to_json(one: Division) -> dict[str, Any]:
    return {
        "config": one.config,
        "build_environment": one.build_environment,
        "num_shards": one.num_shards,
        "lower_bound": one.lower_bound,
        "basis": one.basis,
        "shards": [_load_to_json(shard) for shard in one.shards],
    }


def _load_to_json(shard: ShardLoad) -> dict[str, Any]:
    return {
        "number": shard.number,
        "minutes": shard.minutes,
        "parts": [
            {"file": p.file, "part": p.part, "parts": p.parts, "serial": p.serial}
            for p in shard.parts
        ],
        "other": [
            {
                "test": work.test,
                "step": work.step,
                "command": work.command,
                "minutes": work.minutes,
                "basis": work.basis,
                "unknown_options": list(work.unknown),
            }
            for work in shard.other
        ],
    }


def describe_plan(plan: ShardPlan) -> str:
    """Return the shards of one configuration with bars, and what would be better."""
    one = plan.chosen
    is_today = one.num_shards == plan.today.num_shards
    head = f"{one.config} on {one.build_environment}, {count(one.num_shards, 'shard')}"
    lines = [f"{head} {'today' if is_today else f'instead of {plan.today.num_shards}'}"]
    lines.append(f"minutes as run_test.py estimates them ({_BASES[one.basis]})")
    scale = max([shard.total for shard in one.shards] + [1.0])
    lines.append(f"  {'shard':>5}  {'tests':>7}  {'other':>6}  {'files':>5}")
    lines += [_bar(shard, scale) for shard in one.shards]
    lines += _unknown_lines(one)
    if one.is_known:
        lines += _summary(plan)
    return for_log("\n".join(lines))


def _bar(shard: ShardLoad, scale: float) -> str:
    minutes = "-" if shard.minutes is None else f"{shard.minutes:.1f}"
    other = f"+{shard.other_minutes:.1f}" if shard.other else ""
    full = round((shard.minutes or 0.0) / scale * _WIDTH)
    more = round(shard.other_minutes / scale * _WIDTH)
    files = len({part.file for part in shard.parts})
    bar = f"  {'█' * full}{'▒' * more}".rstrip()
    return f"  {shard.number:>5}  {minutes:>7}  {other:>6}  {files:>5}{bar}"


def _unknown_lines(one: Division) -> Iterator[str]:
    untimed = {work.test for s in one.shards for work in s.other if work.minutes is None}
    if untimed:
        yield f"other work without a known time: {', '.join(sorted(untimed))}"
    options = {o for shard in one.shards for work in shard.other for o in work.unknown}
    if options:
        yield f"run_test.py of this checkout does not know {', '.join(sorted(options))}"


def _summary(plan: ShardPlan) -> Iterator[str]:
    one, longest = plan.chosen, plan.chosen.longest_part
    part = ""
    if longest is not None:
        part = f"longest part: {longest.file} {longest.part}/{longest.parts}"
        part = f"{part}, {longest.minutes or 0.0:.1f} · "
    bound = one.lower_bound or 0.0
    yield f"{part}lower bound of the tests with {count(one.num_shards, 'shard')}: {bound:.1f}"
    placed = one.longest_if_placed
    gain = one.longest - placed
    yield (
        f"longest shard {one.longest:.1f}, {one.imbalance:.2f} times the mean"
        + (f" · {placed:.1f} with the other work on the shards with most room" if gain > 1 else "")
    )
    if plan.target is not None:
        yield from _target_lines(plan)


def _target_lines(plan: ShardPlan) -> Iterator[str]:
    needed, placed = plan.needed, plan.needed_if_placed
    if needed is None:
        yield f"{count(plan.target or 0, 'minute')}: no number of shards is enough as they are"
    else:
        yield (
            f"{count(plan.target or 0, 'minute')} need {count(needed.num_shards, 'shard')} "
            f"({needed.longest:.1f} the longest)"
        )
    if placed is not None and (needed is None or placed.num_shards < needed.num_shards):
        yield (
            f"{placed.num_shards} are enough ({placed.longest_if_placed:.1f}) with the other work "
            "on the shards with most room"
        )
    if needed is not None:
        today = plan.today
        sooner = round(today.longest - needed.longest)
        when = f"{count(abs(sooner), 'minute')} {'sooner' if sooner >= 0 else 'later'}"
        yield (
            f"machine hours a commit: {today.total / 60:.1f} now, {needed.total / 60:.1f} then · "
            f"{when}"
        )


def describe_overview(plans: Sequence[ShardPlan]) -> str:
    """Return a row for each configuration on each build."""
    heads = ["config", "build", "shards", "longest", "mean", "imbalance", "bound", "hours"]
    is_aimed = any(plan.target is not None for plan in plans)
    heads += ["needed", "longest", "hours", "if placed"] if is_aimed else []
    rows = [heads, *(_overview_row(plan, is_aimed=is_aimed) for plan in plans)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(heads))]
    return for_log("\n".join(_aligned(row, widths) for row in rows))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """Return a row whose first columns are text, and the others numbers."""
    texts = [cell.ljust(width) for cell, width in zip(row[:_TEXTS], widths, strict=False)]
    numbers = [cell.rjust(width) for cell, width in zip(row[_TEXTS:], widths[_TEXTS:], strict=True)]
    return "  ".join([*texts, *numbers]).rstrip()


def _overview_row(plan: ShardPlan, *, is_aimed: bool) -> list[str]:
    one = plan.chosen
    row = [one.config, one.build_environment, str(one.num_shards)]
    if not one.is_known:
        return [*row, *["-"] * (9 if is_aimed else 5)]
    row += [f"{one.longest:.1f}", f"{one.mean:.1f}", f"{one.imbalance:.2f}"]
    row += [f"{one.lower_bound or 0:.1f}", f"{one.total / 60:.1f}"]
    if not is_aimed:
        return row
    needed, placed = plan.needed, plan.needed_if_placed
    row += (
        [str(needed.num_shards), f"{needed.longest:.1f}", f"{needed.total / 60:.1f}"]
        if needed
        else ["none", "-", "-"]
    )
    return [*row, str(placed.num_shards) if placed else "none"]


def matrix_lines(plan: ShardPlan) -> list[str]:
    """Return the lines of the workflow's test matrix with the number of shards that is needed."""
    one = plan.best
    runner = f', runner: "{plan.runner}"' if plan.runner else ""
    lines = [f"# {one.config} on {one.build_environment}: {plan.today.num_shards} before"]
    total = one.num_shards
    lines += [
        f'{{ config: "{one.config}", shard: {number}, num_shards: {total}{runner} }},'
        for number in range(1, total + 1)
    ]
    return [for_log(line) for line in lines]
