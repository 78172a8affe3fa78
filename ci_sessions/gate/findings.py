"""What speaks for and against a step of a rollout, as findings with the runs that show them.

A step is judged by what it risks for all jobs of the configuration: the next share times the upper
95 % limit of a rate must be below its target. With an error target of 1 %, a step to 25 % needs an
upper limit below 4 %, so 93 runs without an error, and a step to 100 % needs 381. The first step
puts the first job in Python, so it cannot ask for runs in Python: it asks for equal shadow
comparisons.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.gate.pairs import Measure
from ci_sessions.gate.statistics import difference
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ci_sessions.gate.evidence import Evidence
    from ci_sessions.gate.rollout import Rollout, Targets
    from ci_sessions.gate.statistics import Rate
    from ci_sessions.records.query import Summary

__all__ = [
    "MIN_PAIRS",
    "MIN_RUNS",
    "MIN_SHADOWS",
    "Finding",
    "NextStep",
    "clean_runs_needed",
    "closed_phase",
    "first_needs",
    "later_needs",
    "missed_targets",
    "moves_no_job",
    "objections",
]

MIN_SHADOWS = 20  # before a configuration's first job runs in Python
MIN_PAIRS = 10  # with fewer, a median says little
MIN_RUNS = 20  # with fewer, a single failure proves little
_Z_99 = 2.5758293035489004  # 99 %, two-sided
_Z_999 = 3.2905267314919255  # 99.9 %, two-sided
# A higher red rate is not significant in few runs, such as 12 % against 4 % in 93. So a step waits
# until it is known that no more than this many of the runs are red only in Python; half as many, if
# the rate is higher with 95 % confidence. The confidence is 99.9 %, because somebody looks at the
# records every day: of a hundred days, one is lucky.
_MAX_MORE_RED = 0.08
_LONGEST_LIST = 3


class NextStep(enum.IntEnum):
    """What the release owner can do now; of several, the first is the most useful."""

    APPLY = 0  # change the share in the file
    COMPARE = 1  # show how the plan differs from the script
    INSPECT = 2  # look at the runs that are named
    OPEN = 3  # open the phase
    SHADOW = 4  # compare the plan with the script in shadow
    PAIR = 5  # run a job on purpose: by the script and in Python
    WAIT = 6  # until the jobs of the present share have run often enough


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason for a verdict, with the runs that show it."""

    text: str
    next: NextStep
    runs: Sequence[Summary] = ()


def closed_phase(rollout: Rollout, phase: str) -> Finding:
    """Say what opens a phase."""
    before = rollout.unfinished_before(phase)
    if not before:
        return Finding(f"phase {phase} is closed, and can be opened now", NextStep.OPEN)
    names = ", ".join(before[:_LONGEST_LIST])
    more = f" and {len(before) - _LONGEST_LIST} more" if len(before) > _LONGEST_LIST else ""
    text = f"phase {phase} is closed until {names}{more} reached 100 %"
    return Finding(text, NextStep.WAIT)


# --- what speaks against any step


def missed_targets(evidence: Evidence, targets: Targets) -> list[Finding]:
    """Return the targets that are missed with 95 % confidence, and the runs that show it."""
    found = []
    rates = (
        ("falls back", evidence.fallback_rate, targets.fallback, evidence.fallbacks),
        ("runner fails", evidence.error_rate, targets.errors, evidence.errors),
    )
    for what, rate, target, runs in rates:
        if rate.total >= MIN_RUNS and rate.interval.low >= target:
            text = f"{what} in at least {_percent(rate.interval.low)} of runs"
            text += f", target {100 * target:g} %"
            found.append(Finding(text, NextStep.INSPECT, runs))
    for measure, target in _measures(targets):
        low = evidence.excess_interval(measure).low
        if len(evidence.ratios(measure)) >= MIN_PAIRS and low >= target:
            text = f"{measure}: at least {_percent(low)} more, target {100 * target:g} %"
            found.append(Finding(text, NextStep.INSPECT, _paired(evidence)))
    return found


def _measures(targets: Targets) -> Iterable[tuple[Measure, float]]:
    return (
        (Measure.TIME, targets.time),
        (Measure.CPU, targets.cpu),
        (Measure.MEMORY, targets.memory),
    )


def _paired(evidence: Evidence) -> tuple[Summary, ...]:
    return tuple(run for pair in evidence.pairs for run in pair.runs)


def objections(evidence: Evidence, rollout: Rollout) -> list[Finding]:
    """Return what holds at any share, until it is resolved or acknowledged."""
    found = []
    failed, clean = evidence.failed_shadows, len(evidence.clean_shadows)
    if rollout.configurations[evidence.config].compare and failed and clean < MIN_SHADOWS:
        text = (
            f"{len(failed)} of {count(len(evidence.shadows), 'shadow comparison')} did not match "
            f"the script: {MIN_SHADOWS} clean ones must follow, {clean} did"
        )
        found.append(Finding(text, NextStep.COMPARE, tuple(failed)))
    differing = evidence.differing_pairs
    if differing:
        text = f"{len(differing)} of {count(len(evidence.pairs), 'pair')} differ"
        runs = tuple(run for pair in differing for run in pair.runs)
        found.append(Finding(f"{text}: {differing[-1].difference}", NextStep.INSPECT, runs))
    for case in evidence.flaky:
        if case.is_suspect:
            text = f"{case.name} failed in Python only in {count(len(case.python), 'pair')}"
            text += f", in the shell only in {len(case.shell)}"
            runs = tuple(run for pair in case.pairs for run in pair.runs)
            found.append(Finding(text, NextStep.INSPECT, runs))
    ours, theirs = evidence.python_red_rate, evidence.shell_red_rate
    # The records are looked at every day, and by chance some day of a hundred looks bad.
    if _can_compare(ours, theirs) and difference(ours, theirs, _Z_99).low > 0:
        text = f"significantly more often red: {_red_rates(ours, theirs)}"
        found.append(Finding(text, NextStep.INSPECT, evidence.python_red))
    return found


def _can_compare(ours: Rate, theirs: Rate) -> bool:
    return ours.total >= MIN_RUNS and theirs.total > 0


def _red_rates(ours: Rate, theirs: Rate) -> str:
    python = f"Python {_percent(ours.value)} of {count(ours.total, 'run')}"
    return f"{python}, shell {_percent(theirs.value)} of {theirs.total:,}"


# --- what a step still needs


def first_needs(evidence: Evidence, rollout: Rollout) -> list[Finding]:
    """Return what is missing before the first job may run in Python.

    Runs in Python are not asked for, because there are none at 0 %. If some were made on purpose,
    they do not replace a shadow comparison, but a failure of the runner in them counts.
    """
    found = []
    if rollout.configurations[evidence.config].compare:
        clean = evidence.clean_shadows
        more = MIN_SHADOWS - len(clean)
        if more > 0 and not evidence.failed_shadows:
            text = f"{count(more, 'more clean shadow comparison')} needed"
            found.append(Finding(text, NextStep.SHADOW, clean))
    elif evidence.attempts < MIN_SHADOWS:
        more = MIN_SHADOWS - evidence.attempts
        text = f"{count(more, 'more clean run')} with the flag at 1 needed"
        found.append(Finding(text, NextStep.PAIR, evidence.python_runs))
    if evidence.fallbacks or evidence.errors:
        found += _missing_runs(evidence, rollout, NextStep.PAIR)
    return found


def later_needs(evidence: Evidence, rollout: Rollout) -> list[Finding]:
    """Return the evidence that a later step is missing, with how much more is needed."""
    entry = rollout.configurations[evidence.config]
    if moves_no_job(evidence, rollout):
        return []
    has_jobs = not evidence.jobs or bool(evidence.jobs_below(entry.share, rollout))
    found = _missing_runs(evidence, rollout, NextStep.WAIT if has_jobs else NextStep.PAIR)
    ours, theirs = evidence.python_red_rate, evidence.shell_red_rate
    most = _MAX_MORE_RED / 2 if difference(ours, theirs).low > 0 else _MAX_MORE_RED
    excess = difference(ours, theirs, _Z_999)
    is_significant = difference(ours, theirs, _Z_99).low > 0  # that is an objection
    is_in_doubt = ours.hits > 0 and excess.high >= most and not is_significant
    if _can_compare(ours, theirs) and is_in_doubt:
        text = f"may be more often red, more runs will tell: {_red_rates(ours, theirs)}"
        found.append(Finding(text, NextStep.WAIT, evidence.python_red))
    if entry.compare:
        found += _missing_pairs(evidence, rollout.targets)
    return found


def moves_no_job(evidence: Evidence, rollout: Rollout) -> bool:
    """Return whether no job would run in Python at the next share, as far as the records know.

    A configuration with few jobs may have none with a small bucket. To wait for runs in Python
    would be in vain, and a step that moves nothing risks nothing. Its jobs are known after 20 runs,
    if each of them was seen more than once: while some were seen once, others were not seen yet.
    """
    share = rollout.next_share(evidence.config)
    if share is None or evidence.runs < MIN_RUNS or evidence.jobs_below(share, rollout):
        return False
    if min(evidence.jobs.values()) == 1:
        return False
    return not evidence.python.has_split_in


def clean_runs_needed(
    evidence: Evidence, rollout: Rollout, share: int
) -> list[tuple[str, float, int]]:
    """Return each rate's name, its target, and how many more clean runs a step to a share needs.

    The number is -1 if no number is enough.
    """
    rates = (
        ("errors", evidence.error_rate, rollout.targets.errors),
        ("fallback", evidence.fallback_rate, rollout.targets.fallback),
    )
    return [
        (what, target, rate.clean_runs_needed(100 * target / share)) for what, rate, target in rates
    ]


def _missing_runs(evidence: Evidence, rollout: Rollout, step: NextStep) -> list[Finding]:
    """Return how many clean runs the rates need: the larger number of both."""
    needed = clean_runs_needed(evidence, rollout, rollout.next_share(evidence.config) or 100)
    for what, target, more in needed:
        if more < 0:
            text = f"{what}: no number of runs meets a target of {100 * target:g} %"
            return [Finding(text, NextStep.INSPECT, evidence.python_runs)]
    more, what = max((more, what) for what, _, more in needed)
    if more == 0:
        return []
    text = f"{what}: {count(more, 'more clean run')} needed"
    if step is NextStep.PAIR:
        entry = rollout.configurations[evidence.config]
        text += f" (no job of it runs in Python at {entry.share} %, so only made on purpose)"
    return [Finding(text, step, evidence.python_runs)]


def _missing_pairs(evidence: Evidence, targets: Targets) -> list[Finding]:
    """Return what is missing to know that Python takes no more than the shell.

    CPU time and memory are not recorded on every system, so they are not waited for.
    """
    found = []
    for measure, target in _measures(targets):
        more = MIN_PAIRS - len(evidence.ratios(measure))
        if more > 0:
            if measure is Measure.TIME:
                text = f"{measure}: {count(more, 'more pair')} needed"
                found.append(Finding(text, NextStep.PAIR, _paired(evidence)))
        elif evidence.excess_interval(measure).high >= target:
            text = f"{measure}: may still exceed its target"
            found.append(Finding(text, NextStep.PAIR, _paired(evidence)))
    return found


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
