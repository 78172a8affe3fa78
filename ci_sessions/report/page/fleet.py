"""The page about the runs of a fleet: the values that its template shows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ci_sessions import clock
from ci_sessions.gate.verdict import Action
from ci_sessions.records.whole import read_whole
from ci_sessions.report.page.durations import TestTimes
from ci_sessions.report.page.failures import NEW_DAYS, FailedCases
from ci_sessions.report.page.packing import DetailsPacker, pack, run_columns
from ci_sessions.report.page.plots import percent, series_plot
from ci_sessions.report.page.rates import ALL
from ci_sessions.report.page.rollout import MOST_BEHIND, Tone, rollout_phases
from ci_sessions.report.page.run import view_run
from ci_sessions.report.page.timeline import tone_of
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ci_sessions.gate.evidence import Evidence
    from ci_sessions.gate.rollout import Rollout
    from ci_sessions.gate.verdict import Verdict
    from ci_sessions.records.query import Summary
    from ci_sessions.records.record import RunRecord
    from ci_sessions.report.page.failures import FailedCase
    from ci_sessions.report.page.html import Templates
    from ci_sessions.report.page.newest import NewestRuns
    from ci_sessions.report.page.plots import SeriesPlot
    from ci_sessions.report.page.rates import DailyCounts, Period

__all__ = ["Fleet", "fleet_page"]

_SECTIONS = (
    ("rollout", "Roll-out"),
    ("rates", "Rates"),
    ("pairs", "Time"),
    ("tests", "Slow tests"),
    ("cases", "Failed cases"),
    ("runs", "Runs"),
)
_MOST_RED = 1_000  # red runs that are read in full
_MOST_OTHERS = 3_000  # newest runs that are not, to see how long tests take
_MOST_TESTS = 25
_NAMES_SIZE = 400_000  # characters of the cases that can be searched for, before compression
_DETAILS_SIZE = 500_000  # characters in the page
_ANSWERS = (
    ("May move now", Action.PROMOTE, Tone.GOOD),
    ("Must go back", Action.ROLL_BACK, Tone.BAD),
    ("Must wait", Action.HOLD, Tone.PLAIN),
    ("Has moved", Action.DONE, Tone.GOOD),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """What a page is made of. ``commands`` are what to type next for each configuration.

    ``repeat`` returns the commands that repeat a run. ``own_page`` is the command for the page
    of one run, with RUN for its ID. ``source`` says where the records are.
    """

    rollout: Rollout
    evidence: Mapping[str, Evidence]
    verdicts: Mapping[str, Verdict]
    commands: Mapping[str, Sequence[str]]
    newest: NewestRuns
    counts: DailyCounts
    repeat: Callable[[RunRecord], Mapping[str, Sequence[str]]]
    own_page: str
    source: str


class Answer(NamedTuple):
    """A verdict, and the configurations that have it, each with where it moves to, or ""."""

    name: str
    configs: tuple[tuple[str, str], ...]
    tone: Tone


@dataclass(frozen=True, kw_only=True, slots=True)
class RatesView:
    """The plots of one configuration, or of all together."""

    config: str
    periods: Sequence[Period]
    fallback: SeriesPlot
    errors: SeriesPlot
    red: SeriesPlot
    first: str
    last: str


def fleet_page(fleet: Fleet, templates: Templates) -> str:
    """Return the page."""
    runs = fleet.newest.runs
    details = _Details(fleet, templates)
    details.read(runs)
    slowest, cases = details.times.slowest(_MOST_TESTS), details.cases.result(runs)
    values = {
        "title": "CI roll-out: ci_sessions report",
        "sections": _SECTIONS,
        "made": clock.timestamp()[:16].replace("T", " ") + " UTC",
        "heading": f"{count(fleet.newest.total, 'CI run')}",
        "span": _span(fleet.newest),
        "source": fleet.source,
        **_rollout(fleet),
        "rates": _rates(fleet),
        "period_name": _period_name(fleet.counts),
        "slowest": slowest,
        "longest": max((one.high for one in slowest), default=0.0) or 1.0,
        "detailed": details.times.runs,
        "cases": _cases(cases),
        "red": details.red,
        "red_more": details.red_more,
        "listed": len(runs),
        "total": fleet.newest.total,
        "data": pack(_data(fleet, runs, cases)),
        "details": details.packer.text(),
    }
    return templates.page("fleet.html", values)


def _span(newest: NewestRuns) -> str:
    first, last = newest.first[:10], newest.last[:10]
    return first if first == last else f"{first} to {last}"


# --- roll-out


def _rollout(fleet: Fleet) -> dict[str, Any]:
    phases, axis = rollout_phases(fleet.rollout, fleet.evidence, fleet.verdicts, fleet.commands)
    answers = []
    for title, action, tone in _ANSWERS:
        configs = tuple(
            (name, _share(fleet, name))
            for name, verdict in fleet.verdicts.items()
            if verdict.action is action
        )
        if configs or action in (Action.PROMOTE, Action.ROLL_BACK):
            answers.append(Answer(title, configs, tone if configs else Tone.PLAIN))
    target = fleet.rollout.targets.time
    return {
        "answers": answers,
        "phases": phases,
        "measured": [row for phase in phases for row in phase.rows if row.measures],
        "pair_axis": percent(axis),
        "pair_target": 50 + 50 * target / axis if target <= axis else None,
    }


def _share(fleet: Fleet, config: str) -> str:
    """Return where a verdict moves a configuration: `` to 25 %``; "" if it stays."""
    share = fleet.verdicts[config].share
    return "" if share == fleet.rollout.configurations[config].share else f" to {share} %"


def _rates(fleet: Fleet) -> list[RatesView]:
    """Return the plots of all configurations together, and of each, unless there is only one."""
    configs = fleet.counts.configurations
    return [_rate(fleet, config) for config in [ALL, *configs] if configs]


def _rate(fleet: Fleet, config: str) -> RatesView:
    targets, periods = fleet.rollout.targets, fleet.counts.periods(config)
    return RatesView(
        config=config,
        periods=periods,
        fallback=series_plot([one.fallback for one in periods], targets.fallback),
        errors=series_plot([one.errors for one in periods], targets.errors),
        red=series_plot(
            [one.python_red for one in periods], None, [one.shell_red for one in periods]
        ),
        first=periods[0].start.isoformat() if periods else "",
        last=periods[-1].start.isoformat() if periods else "",
    )


def _period_name(counts: DailyCounts) -> str:
    days = max((one.days for one in counts.periods(ALL)), default=1)
    return "day" if days == 1 else f"{days} days from"


# --- runs and cases


@dataclass(slots=True)
class _Details:
    """What the steps of some runs say. They are read one at a time, and not kept."""

    fleet: Fleet
    templates: Templates
    times: TestTimes = field(default_factory=TestTimes)
    cases: FailedCases = field(default_factory=FailedCases)
    packer: DetailsPacker = field(default_factory=lambda: DetailsPacker(_DETAILS_SIZE))
    red: int = 0
    red_more: int = 0

    def read(self, runs: Sequence[Summary]) -> None:
        """Read runs, newest first: red ones first, since the page has room for some only."""
        bad = {
            number
            for number, run in enumerate(runs)
            if tone_of(run.outcome) is Tone.BAD or run.fallback
        }
        for number in sorted(bad):
            is_red = tone_of(runs[number].outcome) is Tone.BAD
            if self.red >= _MOST_RED:
                self.red_more += is_red
            else:
                self._read(number, runs[number], is_red=is_red)
        others = (number for number in range(len(runs)) if number not in bad)
        for number in itertools.islice(others, _MOST_OTHERS):
            self._read(number, runs[number], is_red=False)

    def _read(self, number: int, run: Summary, *, is_red: bool) -> None:
        record = read_whole(run)
        if record is None:
            return
        if is_red:
            self.red += 1
            self.cases.add(run, record)
        self.times.add(run, record)
        if not self.packer.is_full:
            view = view_run(record, self.fleet.repeat(record), run.path)
            self.packer.add(number, self.templates.part("details.html", {"run": view}))


class CaseRow(NamedTuple):
    """A failed case, and the number of ``others`` with its message that failed in the same runs."""

    case: FailedCase
    others: int


class CaseTable(NamedTuple):
    """Failed cases of a kind, and their number."""

    heading: str
    note: str
    number: int
    rows: list[CaseRow]


def _cases(found: list[FailedCase]) -> list[CaseTable]:
    """Return the tables of failed cases."""
    new = [case for case in found if case.is_new]
    flaky = [case for case in found if case.passed and not case.is_new]
    other = [case for case in found if not case.passed and not case.is_new]
    tables = (
        ("New", f"They first failed in the last {NEW_DAYS} days of these records.", new),
        ("Flaky", "They failed in one run, and not in another of the same job and commit.", flaky),
        ("Failing for longer", "They have failed since before that.", other),
    )
    return [CaseTable(heading, note, len(cases), _rows(cases)) for heading, note, cases in tables]


def _rows(cases: Iterable[FailedCase]) -> list[CaseRow]:
    """Return a row for each case, and one for all that failed together with the same message."""
    groups: dict[tuple[str, ...], list[FailedCase]] = defaultdict(list)
    for case in cases:
        message = case.message or f"\0{case.name}"
        key = (case.config, message, *(run.id for run in case.failed))
        groups[key].append(case)
    return [CaseRow(group[0], len(group) - 1) for group in groups.values()]


def _data(fleet: Fleet, runs: Sequence[Summary], cases: Sequence[FailedCase]) -> dict[str, Any]:
    """Return what the list of runs is made of. ``cases`` are what can be searched for besides."""
    numbers = {run.id: number for number, run in enumerate(runs)}
    return {
        **run_columns(runs),
        "cases": list(_searchable(cases, numbers)),
        "phases": {name: one.phase for name, one in fleet.rollout.configurations.items()},
        "verdicts": _behind(fleet, runs),
        "command": fleet.own_page,
    }


def _searchable(
    cases: Sequence[FailedCase], numbers: Mapping[str, int]
) -> Iterator[tuple[str, list[int]]]:
    """Yield the names of failed cases with the numbers of their runs, as far as there is room."""
    size = 0
    for case in cases:
        size += len(case.name) + 3 * len(case.failed)
        if size > _NAMES_SIZE:
            return
        yield case.name, [numbers[run.id] for run in case.failed]


def _behind(fleet: Fleet, runs: Iterable[Summary]) -> dict[str, list[int]]:
    """Return the numbers of the listed runs that each verdict rests on, if they are not too many.

    All IDs of a verdict are only read if there are few.
    """
    wanted: dict[str, list[str]] = defaultdict(list)
    for config, verdict in fleet.verdicts.items():
        if 0 < len(verdict.runs) <= MOST_BEHIND:
            for name in verdict.runs:
                wanted[name].append(config)
    found: dict[str, list[int]] = defaultdict(list)
    for number, run in enumerate(runs):
        for config in wanted.get(run.id, ()):
            found[config].append(number)
    return dict(found)
