"""Generated histories: the jobs of a configuration that run day by day, in a rollout."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from ci_sessions.clock import iso_timestamp
from ci_sessions.gate.evidence import Evidence, collect_evidence, relevant_runs
from ci_sessions.gate.rollout import Configuration, read_rollout
from ci_sessions.gate.verdict import judge
from ci_sessions.records.details import RunDetails
from ci_sessions.records.query import Summary
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner
from ci_sessions.records.verdict import JobVerdict

CONFIG = "docs_test"
BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def state_at(share, since="", **more):
    """A rollout with one configuration, whose phase is open."""
    entry = Configuration("2A", share, since, more.pop("compare", True))
    return replace(
        read_rollout(), open_phases=frozenset({"1", "2A"}), configurations={CONFIG: entry}, **more
    )


@dataclass
class Fleet:
    """Runs of one configuration, ``runs`` and ``pairs`` a day, with rates of what can go wrong.

    ``flaky`` is the rate of one flaky case, which makes a run red, on each side.
    """

    seed: int
    runs: int = 40
    pairs: int = 2
    jobs: int = 40
    red: float = 0.04
    python_red: float | None = None
    errors: float = 0.0
    flaky: float = 0.0
    differing_shadows: float = 0.0
    share: int = 0
    state: object = None
    day: int = 0
    records: list = field(default_factory=list)
    details: dict = field(default_factory=dict)
    verdicts: list = field(default_factory=list)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.state = self.state or state_at(self.share)

    def add(self, time, job, runner, *, commit="", **more):
        red = self.red if runner is Runner.SHELL or self.python_red is None else self.python_red
        outcome = Outcome.FAILED if self.random.random() < red else Outcome.PASSED
        if runner is Runner.PYTHON and self.random.random() < self.errors:
            outcome = Outcome.RUNNER_ERROR
        failed = (
            {f"Test.case_{self.random.randrange(10_000)}"} if outcome is Outcome.FAILED else set()
        )
        if self.random.random() < self.flaky and outcome is Outcome.PASSED:
            outcome, failed = Outcome.FAILED, {"Test.flaky"}
        number = len(self.records)
        run = Summary(
            id=f"{iso_timestamp(time)}/{job}/{number:06}", config=CONFIG, job=job, runner=runner, commit=commit or f"c{number}",
            started=iso_timestamp(time), outcome=outcome, wall=100 * self.random.uniform(0.93, 1.03), **more,
        )  # fmt: skip
        self.records.append(run)
        self.details[run.id] = RunDetails(
            total=100, failed=frozenset(failed), cpu=run.wall, peak=10**9
        )

    def run_one_day(self):
        """Run the jobs of a day as the gate would, then the pairs of the night."""
        entry = self.state.configurations[CONFIG]
        for n in range(self.runs):
            time = BEGIN + timedelta(days=self.day, seconds=n)
            job = f"job-{self.random.randrange(self.jobs)}"
            if self.state.is_for_python(CONFIG, job):
                self.add(time, job, Runner.PYTHON, reason="split-in")
            elif entry.share == 0 and entry.compare:
                bad = self.random.random() < self.differing_shadows
                shadow = JobVerdict.DIFFERENT if bad else JobVerdict.EQUAL
                self.add(time, job, Runner.SHELL, reason="shadow", shadow=shadow)
            else:
                self.add(time, job, Runner.SHELL, reason="split-out")
        for n in range(self.pairs):
            time = BEGIN + timedelta(days=self.day, hours=20, seconds=n)
            job, commit = f"job-{self.random.randrange(self.jobs)}", f"night-{self.day}-{n}"
            self.add(time, job, Runner.SHELL, commit=commit, reason="flag-off")
            self.add(time, job, Runner.PYTHON, commit=commit, reason="flag-on")
        self.day += 1

    def evidence(self):
        found = collect_evidence(
            relevant_runs(self.records, self.state), self.details, self.state.acknowledged
        )
        return found.get(CONFIG, Evidence(CONFIG))

    def judge(self):
        verdict = judge(self.evidence(), self.state)
        self.verdicts.append(verdict)
        return verdict

    def days_until(self, share, most):
        """Run day by day, follow each verdict, and return the days until a share; None if longer."""
        print(f"seed {self.seed}")
        while self.day < most:
            self.run_one_day()
            verdict = self.judge()
            entry = self.state.configurations[CONFIG]
            if verdict.share != entry.share:
                since = iso_timestamp(BEGIN + timedelta(days=self.day))
                changed = replace(entry, share=verdict.share, since=since)
                self.state = replace(self.state, configurations={CONFIG: changed})
            if verdict.share >= share:
                return self.day
        return None
