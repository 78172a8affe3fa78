"""The record of a run as values: a RunRecord, with a StepRecord for each step.

Records are written during the run as events, one JSON object per line. ``run_from_events`` reads
them back. A run without its last event was killed, and is read as ``aborted``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ci_sessions.errors import RecordError
from ci_sessions.records.route import RouteRecord, Runner
from ci_sessions.text import StrEnum

__all__ = [
    "FORMAT",
    "NOT_TESTS",
    "STRUCTURE",
    "Case",
    "CaseResult",
    "Cases",
    "Outcome",
    "RunRecord",
    "StepRecord",
    "run_from_events",
]

FORMAT = 1
STRUCTURE = frozenset(
    (
        *("event", "format", "id", "started", "ended", "outcome", "exit_code"),
        *("test", "number", "kind", "test_kind", "fault"),
        *("config", "build_environment", "shard", "num_shards"),
        *("runner", "intended", "reason", "phase", "fallback", "commit"),
    )
)
"""Keys of events whose values are the package's own words, and so never a secret."""
NOT_TESTS = ("setup", "cleanup")  # parts of a plan that are no tests
_ENDED = ("id", "ended", "wall", "outcome", "exit_code", "note")  # in a run's last event
_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "started", "checkout", "ended", "note"), (str,)),
    **dict.fromkeys(("test", "kind", "command", "test_kind"), (str,)),
    **dict.fromkeys(("wall", "cpu"), (int, float)),
    **dict.fromkeys(("number", "peak"), (int,)),
    **dict.fromkeys(("exit_code", "code"), (int, type(None))),
    "is_test": (bool,),
    "job": (dict,),
}
"""The types of an event's values, which a test may have changed."""
_INVALID = (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError)
Event = Mapping[str, Any]


class Outcome(StrEnum):
    """How a step or a run ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"
    NO_TEST = "no test ran"
    ABORTED = "aborted"
    RUNNER_ERROR = "runner error"
    UNKNOWN = "unknown"  # the script ran without this package, which could not start

    @property
    def is_failure(self) -> bool:
        """Whether a step with this outcome makes its run fail."""
        return self not in (Outcome.PASSED, Outcome.SKIPPED)


@dataclass(frozen=True, slots=True)
class Case:
    """A failed test case: its full name, ``failure`` or ``error``, one line of the message.

    ``file`` is where it failed, relative to the checkout, and ``line`` the line. ``test_file`` is
    the file that ran it, as run_test.py names it. They are "" and 0 if they are not known.
    """

    name: str
    fault: str
    message: str = ""
    file: str = ""
    line: int = 0
    test_file: str = ""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of any test case: ``passed``, ``skipped``, ``failure`` or ``error``."""

    name: str
    result: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Cases:
    """Counts of a step's test cases, and those that failed. ``source`` is where they come from.

    ``every`` has all of them, if a report is to name them; a record does not have it.
    """

    total: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0
    failed: tuple[Case, ...] = ()
    source: str = ""
    every: tuple[CaseResult, ...] = field(default=(), compare=False, repr=False)

    def groups(self) -> list[tuple[Case, int]]:
        """Return the failed cases grouped by message, the largest group first.

        A group is its first case and the number of its cases. Cases without a message are not
        grouped.
        """
        found: dict[str, list[Case]] = {}
        for case in self.failed:
            found.setdefault(case.message or f"\0{case.name}", []).append(case)
        return sorted(((cases[0], len(cases)) for cases in found.values()), key=lambda one: -one[1])


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """The record of a step that ran or was skipped. Times are in seconds, ``peak`` is in bytes.

    ``test`` is the part of the plan that contains the step, ``number`` its position there, and
    ``test_kind`` how that test relates to the script. ``is_test``: the step runs tests. ``tail``:
    the last lines of output of a step that failed without a failed test case. ``log``: the file
    with its output.
    """

    id: str
    test: str
    number: int
    kind: str
    command: str
    test_kind: str = "replaces"
    is_test: bool = False
    started: str = ""
    outcome: Outcome = Outcome.PASSED
    code: int | None = None
    wall: float = 0.0
    cpu: float = 0.0
    peak: int = 0
    note: str = ""
    cases: Cases | None = None
    tail: tuple[str, ...] = ()
    log: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """The record of a run. ``exit_code`` is that of the first process that failed.

    ``route`` says why the gate chose ``runner``; None if the gate was not asked.
    """

    id: str
    job: Mapping[str, Any]
    started: str
    checkout: str = ""
    runner: Runner = Runner.PYTHON
    route: RouteRecord | None = None
    ended: str = ""
    wall: float = 0.0
    outcome: Outcome = Outcome.ABORTED
    exit_code: int | None = None
    note: str = ""
    steps: tuple[StepRecord, ...] = field(default=())

    @property
    def has_run_tests(self) -> bool:
        """Whether a step that runs tests has started: after that, nothing may run again."""
        return any(step.is_test and step.outcome is not Outcome.SKIPPED for step in self.steps)

    @property
    def has_no_cases(self) -> bool:
        """Whether steps report how many test cases ran, and none did."""
        cases = [step.cases for step in self.steps if step.cases]
        return bool(cases) and not any(one.total or one.failed for one in cases)

    @property
    def failed_steps(self) -> tuple[StepRecord, ...]:
        """The steps that failed, in order."""
        return tuple(step for step in self.steps if step.outcome.is_failure)

    def started_event(self) -> Event:
        """Return the first event of the run."""
        names = ("id", "job", "started", "checkout", "runner")
        values = {name: _plain(getattr(self, name)) for name in names}
        route = self.route.to_json() if self.route else {}
        return {"event": "run started", "format": FORMAT, **values, "route": route}

    def ended_event(self) -> Event:
        """Return the last event."""
        ended = {"event": "run ended", **{k: _plain(getattr(self, k)) for k in _ENDED}}
        # What a shadow found is known after the start.
        return {**ended, "route": self.route.to_json()} if self.route else ended


def step_started_event(step: StepRecord) -> Event:
    """Return the event for the start of a step."""
    names = ("id", "test", "number", "kind", "command", "test_kind", "is_test", "started")
    return {"event": "step started", **{name: getattr(step, name) for name in names}}


def step_ended_event(step: StepRecord) -> Event:
    """Return the event for the end of a step, with all of its fields."""
    cases = replace(step.cases, every=()) if step.cases else None
    values = asdict(replace(step, cases=cases))
    if cases is not None:
        del values["cases"]["every"]
    return {"event": "step ended", **{k: _plain(v) for k, v in values.items()}}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, enum.Enum) else value


def run_from_events(events: Iterable[Event]) -> RunRecord:
    """Rebuild a run; what was cut off is ``aborted``.

    Raises RecordError on another format, and on values that no record has.
    """
    try:
        return _from_events(events)
    except _INVALID as error:
        raise RecordError(f"a record cannot be read: {error!r}.") from error


def _from_events(events: Iterable[Event]) -> RunRecord:
    run: RunRecord | None = None
    steps: dict[str, StepRecord] = {}
    for event in events:
        name = event.get("event")
        if name == "run started":
            if event.get("format") != FORMAT:
                raise RecordError(
                    f"a record has format {event.get('format')!r}, but this version of ci_sessions "
                    f"reads {FORMAT}: use the version that wrote it."
                )
            run = _run(event)
        elif name == "step started":
            step = StepRecord(**_known(StepRecord, event), outcome=Outcome.ABORTED)
            steps[step.id] = step
        elif name == "step ended":
            steps[event["id"]] = _step(event)
        elif name == "run ended" and run is not None:
            end = {k: v for k, v in _known(RunRecord, event).items() if k in _ENDED}
            route = event.get("route")
            run = replace(
                run,
                **{**end, "outcome": Outcome(end["outcome"])},
                route=RouteRecord.from_json(route) if route else run.route,
            )
    if run is None:
        raise RecordError("a record has no 'run started' event: its beginning is missing.")
    return replace(run, steps=tuple(steps.values()))


def _known(kind: type[RunRecord | StepRecord], event: Event) -> dict[str, Any]:
    """Return an event's values that the record has. Raises TypeError on one of another type."""
    names = {item.name for item in fields(kind)}
    values = {name: value for name, value in event.items() if name in names}
    for name, value in values.items():
        if not isinstance(value, _TYPES.get(name, object)):
            raise TypeError(f"{name} is {value!r:.100}")
    return values


def _run(event: Event) -> RunRecord:
    values = _known(RunRecord, event)
    route = values.get("route")
    values["route"] = RouteRecord.from_json(route) if route else None
    values["runner"] = Runner(values.get("runner", Runner.PYTHON))
    return RunRecord(**values)


def _step(event: Event) -> StepRecord:
    values = _known(StepRecord, event)
    values["outcome"] = Outcome(values["outcome"])
    cases = values.get("cases")
    if cases is not None:
        failed = tuple(Case(**case) for case in cases["failed"])
        values["cases"] = Cases(**{**cases, "failed": failed, "every": ()})
    values["tail"] = tuple(values.get("tail", ()))
    return StepRecord(**values)
