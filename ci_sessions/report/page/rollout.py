"""The roll-out as a page shows it: a phase after another, a row for each configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.gate.findings import MIN_PAIRS, MIN_SHADOWS, closed_phase
from ci_sessions.gate.pairs import Measure
from ci_sessions.gate.verdict import Action
from ci_sessions.report.page.plots import interval_plot, pair_plot, percent
from ci_sessions.text import StrEnum, count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.gate.evidence import Evidence
    from ci_sessions.gate.rollout import Rollout
    from ci_sessions.gate.statistics import Rate
    from ci_sessions.gate.verdict import Verdict
    from ci_sessions.report.page.plots import IntervalPlot, PairPlot

__all__ = ["MOST_BEHIND", "ConfigurationRow", "PhaseRows", "Tone", "rollout_phases"]

_AXIS_STEPS = (0.15, 0.25, 0.5, 1.0)  # ends of the axis of paired times
MOST_BEHIND = 2_000
"""How many runs behind a verdict are selected in the list, at most."""
_MOST_FLAKY = 8


class Tone(StrEnum):
    """What a colour means; the word beside it says the same."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    PLAIN = "plain"


_TONES = {
    Action.PROMOTE: Tone.GOOD,
    Action.DONE: Tone.GOOD,
    Action.HOLD: Tone.PLAIN,
    Action.ROLL_BACK: Tone.BAD,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RateCell:
    """A rate in words, its limit, and its plot; ``is_missed``: the limit is not met yet."""

    text: str
    limit: str
    plot: IntervalPlot | None
    is_missed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureRow:
    """What Python takes more than the shell: a measure of the pairs of a configuration."""

    name: str
    text: str
    pairs: int
    target: str
    plot: PairPlot | None
    is_missed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigurationRow:
    """One configuration. ``is_listed``: the runs behind the verdict are selected in the list."""

    config: str
    share: int
    next_share: int | None
    action: str
    tone: Tone
    move: str
    reasons: tuple[str, ...]
    python: str
    shell: str
    errors: RateCell
    fallback: RateCell
    red: str
    shadow: str
    pairs: str
    measures: tuple[MeasureRow, ...]
    flaky: tuple[str, ...]
    more_flaky: int
    commands: tuple[str, ...]
    is_listed: bool
    number_of_runs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseRows:
    """A phase with its configurations. ``state`` says whether it is open, or what opens it."""

    name: str
    state: str
    is_open: bool
    rows: tuple[ConfigurationRow, ...]


def rollout_phases(
    rollout: Rollout,
    evidence: Mapping[str, Evidence],
    verdicts: Mapping[str, Verdict],
    commands: Mapping[str, Sequence[str]],
) -> tuple[list[PhaseRows], float]:
    """Return the phases, and the end of the axis of paired times (a fraction)."""
    most = _axis(evidence)
    phases = []
    for phase in rollout.phases:
        names = [name for name, entry in rollout.configurations.items() if entry.phase == phase]
        rows = tuple(
            _row(rollout, evidence[name], verdicts[name], commands[name], most) for name in names
        )
        if rows:
            is_open = phase in rollout.open_phases
            state = _state(rollout, phase)
            phases.append(PhaseRows(name=phase, state=state, is_open=is_open, rows=rows))
    return phases, most


def _state(rollout: Rollout, phase: str) -> str:
    if phase in rollout.open_phases:
        return "open"
    before = rollout.unfinished_before(phase)
    if not before:
        return "closed, can be opened now"
    names = ", ".join(before[:3]) + (f" and {len(before) - 3} more" if len(before) > 3 else "")  # noqa: PLR2004 - a few are named
    return f"closed, opens when {names} reached 100 %"


def _row(
    rollout: Rollout,
    found: Evidence,
    verdict: Verdict,
    commands: Sequence[str],
    most: float,
) -> ConfigurationRow:
    entry, targets = rollout.configurations[found.config], rollout.targets
    following = rollout.next_share(found.config)
    flaky = sorted(found.flaky, key=lambda case: -len(case.pairs))
    number = len(verdict.runs)
    closed = closed_phase(rollout, entry.phase).text  # the heading says so
    return ConfigurationRow(
        config=found.config,
        share=entry.share,
        next_share=following,
        action=str(verdict.action),
        tone=_TONES[verdict.action],
        move=_move(verdict, entry.share),
        reasons=()
        if verdict.action is Action.PROMOTE
        else tuple(one for one in verdict.reasons if one != closed),
        python=f"{found.attempts:,}",
        shell=f"{len(found.shell):,}",
        errors=_rate_cell(found.error_rate, targets.errors, following),
        fallback=_rate_cell(found.fallback_rate, targets.fallback, following),
        red=f"{_rate(found.python_red_rate)} / {_rate(found.shell_red_rate)}",
        shadow=_shadow(found, compare=entry.compare),
        pairs=_pairs(found, compare=entry.compare),
        measures=tuple(_measures(found, rollout, most)),
        flaky=tuple(
            f"{case.name}: failed in Python only in {count(len(case.python), 'pair')}, "
            f"in the shell only in {len(case.shell)}"
            + (f" (acknowledged: {case.acknowledged})" if case.acknowledged else "")
            for case in flaky[:_MOST_FLAKY]
        ),
        more_flaky=max(0, len(flaky) - _MOST_FLAKY),
        commands=tuple(commands),
        is_listed=0 < number <= MOST_BEHIND,
        number_of_runs=number,
    )


def _move(verdict: Verdict, share: int) -> str:
    """Return the verdict in a few words: ``promote to 25 %``, ``hold at 5 %``."""
    match verdict.action:
        case Action.PROMOTE | Action.ROLL_BACK:
            return f"{verdict.action} to {verdict.share} %"
        case Action.HOLD:
            return f"hold at {share} %"
    return str(verdict.action)


def _rate(rate: Rate) -> str:
    return percent(rate.value) if rate.total else "–"  # noqa: RUF001 - an en dash for no value


def _rate_cell(rate: Rate, target: float, following: int | None) -> RateCell:
    """Return a rate beside the limit of the next step: the target divided by the next share."""
    limit = min(1.0, 100 * target / (following or 100))
    is_missed = rate.total > 0 and rate.interval.high >= limit
    if not rate.total:
        text = "no runs"
    else:
        text = f"{rate.hits:,} of {rate.total:,}, at most {percent(rate.interval.high)}"
    return RateCell(
        text=text,
        limit=f"{'limit' if following else 'target'} {percent(limit)}",
        plot=interval_plot(rate, limit) if rate.total else None,
        is_missed=is_missed,
    )


def _shadow(found: Evidence, *, compare: bool) -> str:
    if not compare:
        return "none: the script has no such configuration"
    if not found.shadows:
        return f"none yet, {MIN_SHADOWS} are needed before the first step"
    failed = len(found.failed_shadows)
    text = f"{len(found.clean_shadows):,} clean of {count(len(found.shadows), 'comparison')}"
    return text + (f", {failed:,} did not match" if failed else "")


def _pairs(found: Evidence, *, compare: bool) -> str:
    if not compare:
        return "none: the script has no such configuration"
    if not found.pairs:
        return f"none yet, {MIN_PAIRS} are needed"
    differing = len(found.differing_pairs)
    text = f"{count(len(found.pairs), 'pair')}, {differing} differ"
    return text if not differing else f"{text}: {found.differing_pairs[-1].difference}"


def _measures(found: Evidence, rollout: Rollout, most: float) -> list[MeasureRow]:
    targets = rollout.targets
    rows = []
    for measure, target in zip(Measure, (targets.time, targets.cpu, targets.memory), strict=True):
        ratios, median = found.ratios(measure), found.excess(measure)
        if median is None:
            continue
        limits = found.excess_interval(measure)
        excess = [ratio - 1 for ratio in ratios]
        text = f"{_signed(median)} ({_signed(limits.low)} to {_signed(limits.high)})"
        rows.append(
            MeasureRow(
                name=str(measure),
                text=text,
                pairs=len(ratios),
                target=_signed(target),
                plot=pair_plot(excess, median, limits, most),
                is_missed=limits.high >= target,
            )
        )
    return rows


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %".replace("-", "\N{MINUS SIGN}")


def _axis(evidence: Mapping[str, Evidence]) -> float:
    """Return the end of an axis on which nearly all pairs have their place."""
    found = sorted(
        abs(ratio - 1)
        for one in evidence.values()
        for measure in Measure
        for ratio in one.ratios(measure)
    )
    usual = found[int(0.98 * (len(found) - 1))] if found else 0.0
    return next((step for step in _AXIS_STEPS if step >= usual), _AXIS_STEPS[-1])
