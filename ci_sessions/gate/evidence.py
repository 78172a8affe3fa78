"""Evidence for the rollout from the records: which runs count, and for what."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ci_sessions.gate.pairs import MAX_PAIRS, FlakyCase, Measure, Pair, flaky_cases, newest_pairs
from ci_sessions.gate.statistics import Interval, Rate, bootstrap_median
from ci_sessions.records.details import read_details
from ci_sessions.records.query import by_time
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Reason, Runner
from ci_sessions.records.run_list import RunChain, RunList, members_of_newest_pairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ci_sessions.gate.rollout import Acknowledged, Rollout
    from ci_sessions.records.details import RunDetails
    from ci_sessions.records.query import Summary

__all__ = ["Evidence", "collect_evidence", "judged_evidence", "relevant_runs"]


_UNDECIDED = str(Reason.UNDECIDED)
_CUT_OFF = (Outcome.INTERRUPTED, Outcome.ABORTED)


@dataclass(slots=True)
class Evidence:
    """The runs of one configuration that count.

    ``jobs`` counts the runs of each job. ``acknowledged`` is what the rollout file says is known.
    Each kind of runs may be given as any sequence.
    """

    config: str
    python: RunList = field(default_factory=RunList)
    shell: RunList = field(default_factory=RunList)
    fallbacks: RunList = field(default_factory=RunList)
    shadows: RunList = field(default_factory=RunList)
    pairs: list[Pair] = field(default_factory=list)
    jobs: Counter[str] = field(default_factory=Counter)
    acknowledged: tuple[Acknowledged, ...] = ()

    def __post_init__(self) -> None:
        """Keep the runs in little memory."""
        for name in ("python", "shell", "fallbacks", "shadows"):
            runs = getattr(self, name)
            if not isinstance(runs, RunList):
                setattr(self, name, RunList(runs))

    @property
    def runs(self) -> int:
        """The number of runs of any kind."""
        return sum(self.jobs.values())

    @property
    def python_runs(self) -> Sequence[Summary]:
        """The jobs that Python should have run, including those that fell back."""
        # After a bug in the run, the Python run has a record of its own.
        return RunChain(self.python, self.fallbacks.without_own_record())

    @property
    def attempts(self) -> int:
        """The number of ``python_runs``."""
        return len(self.python_runs)

    @property
    def errors(self) -> RunList:
        """The runs in which the runner failed."""
        return self.python.with_outcome(lambda outcome: outcome is Outcome.RUNNER_ERROR)

    @property
    def fallback_rate(self) -> Rate:
        """The rate of fallbacks to the shell."""
        return Rate(len(self.fallbacks), self.attempts)

    @property
    def error_rate(self) -> Rate:
        """The rate of runner errors."""
        return Rate(len(self.errors), self.attempts)

    @property
    def python_red(self) -> RunList:
        """The Python runs with a red result of the job itself."""
        return self.python.with_outcome(_is_red)

    @property
    def python_red_rate(self) -> Rate:
        """The rate of red results in Python, without runner errors."""
        return Rate(len(self.python_red), len(self.python) - len(self.errors))

    @property
    def shell_red_rate(self) -> Rate:
        """The rate of red results in the shell."""
        red = self.shell.with_outcome(_is_red)
        finished = self.shell.with_outcome(lambda outcome: outcome is not Outcome.RUNNER_ERROR)
        return Rate(len(red), len(finished))

    @property
    def failed_shadows(self) -> list[Summary]:
        """The shadow comparisons that differ or failed, without acknowledged ones, oldest first."""
        known = {one.run for one in self.acknowledged}
        failed = self.shadows.with_shadow(lambda verdict: verdict.is_failure)
        return sorted((run for run in failed if run.id not in known), key=by_time)

    @property
    def clean_shadows(self) -> RunList:
        """The equal shadow comparisons since the last one that was not."""
        clean = self.shadows.with_shadow(lambda verdict: verdict.is_success)
        failed = self.failed_shadows
        return clean.after(failed[-1]) if failed else clean

    @property
    def differing_pairs(self) -> list[Pair]:
        """The pairs in which the runners differ, without acknowledged ones."""
        known = {one.run for one in self.acknowledged if one.run}
        return [
            pair
            for pair in self.pairs
            if pair.difference and known.isdisjoint(run.id for run in pair.runs)
        ]

    @property
    def flaky(self) -> list[FlakyCase]:
        """The cases that failed on one side of a pair only."""
        known = {one.case: one.reason for one in self.acknowledged if one.case}
        return flaky_cases(self.pairs, known)

    def ratios(self, measure: Measure) -> list[float]:
        """Return Python's value divided by the shell's, for each pair that has both."""
        found = (pair.ratio(measure) for pair in self.pairs)
        return [ratio for ratio in found if ratio is not None]

    def excess(self, measure: Measure) -> float | None:
        """Return the median of the ratios, minus 1; None without pairs."""
        ratios = self.ratios(measure)
        return statistics.median(ratios) - 1 if ratios else None

    def excess_interval(self, measure: Measure) -> Interval:
        """Return the 95 % interval of ``excess``."""
        limits = bootstrap_median(self.ratios(measure))
        return Interval(limits.low - 1, limits.high - 1)

    def jobs_below(self, share: int, rollout: Rollout) -> Counter[str]:
        """Return the jobs that run in Python at a share, with how often each ran."""
        return Counter(
            {job: runs for job, runs in self.jobs.items() if rollout.bucket(job) < share}
        )


def _is_red(outcome: Outcome) -> bool:
    return outcome not in (Outcome.PASSED, Outcome.RUNNER_ERROR)


def relevant_runs(runs: Iterable[Summary], rollout: Rollout) -> Iterator[Summary]:
    """Yield the runs that count for the current state of the rollout.

    These are complete runs that the gate routed since the configuration's share last changed.
    """
    since = {config: entry.since for config, entry in rollout.configurations.items()}
    for run in runs:
        if run.reason and not run.is_partial and run.started >= since.get(run.config, ""):
            yield run if run.reason != _UNDECIDED else _decide(run, rollout)


def _decide(run: Summary, rollout: Rollout) -> Summary:
    """Return a run that the gate could not decide: a fallback only if Python was to run it."""
    is_for_python = rollout.is_for_python(run.config, run.job)
    return run if is_for_python else replace(run, fallback="", place=-1)  # the file says otherwise


def collect_evidence(
    runs: Iterable[Summary],
    details: Mapping[str, RunDetails] | None = None,
    acknowledged: Iterable[Acknowledged] = (),
) -> dict[str, Evidence]:
    """Group runs by configuration. Interrupted and aborted runs are ignored.

    ``details`` of the runs of pairs, by their IDs, are needed to compare them case by case.
    """
    found: dict[str, Evidence] = {}
    known = tuple(acknowledged)
    for run in runs:
        if run.outcome in _CUT_OFF:
            continue
        if run.config not in found:
            found[run.config] = Evidence(
                run.config, acknowledged=tuple(one for one in known if one.config == run.config)
            )
        _add(found[run.config], run)
    for evidence in found.values():
        members = members_of_newest_pairs(evidence.python, evidence.shell, MAX_PAIRS)
        evidence.pairs = newest_pairs(members, details)
    return found


def _add(evidence: Evidence, run: Summary) -> None:
    evidence.jobs[run.job] += 1
    if run.shadow is not None:
        evidence.shadows.append(run)
    if run.fallback:
        evidence.fallbacks.append(run)
    elif run.outcome is not Outcome.UNKNOWN:
        side = evidence.python if run.runner is Runner.PYTHON else evidence.shell
        side.append(run)


def judged_evidence(runs: Iterable[Summary], rollout: Rollout) -> dict[str, Evidence]:
    """Return the evidence for each configuration of a rollout; runs of pairs are read in full."""
    found = collect_evidence(relevant_runs(runs, rollout), acknowledged=rollout.acknowledged)
    evidence = {name: found.get(name, Evidence(name)) for name in rollout.configurations}
    pairs = [pair for one in evidence.values() for pair in one.pairs]
    details = read_details(run for pair in pairs for run in pair.runs)
    for one in evidence.values():
        one.pairs = [pair.with_details(details) for pair in one.pairs]
    return evidence
