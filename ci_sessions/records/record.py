"""What happened, as values: a StepRecord for each step, a RunRecord for the whole.

Records are written as events, one JSON object a line, while the run goes on. ``run_from_events``
reads them back; a run whose last event is missing was cut off and reads as ``aborted``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ci_sessions.errors import RecordError
from ci_sessions.records.route import Attempt, Runner

__all__ = [
    "FORMAT",
    "NOT_TESTS",
    "Case",
    "Cases",
    "Outcome",
    "RunRecord",
    "StepRecord",
    "run_from_events",
]

FORMAT = 1
NOT_TESTS = ("setup", "cleanup")  # parts of a plan that are no tests
Event = Mapping[str, Any]


class Outcome(str, enum.Enum):
    """How a step or a run ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"
    NO_TEST = "no test ran"
    ABORTED = "aborted"
    RUNNER_ERROR = "runner error"

    def __str__(self) -> str:
        return self.value

    @property
    def is_bad(self) -> bool:
        """Whether a step with this outcome makes its run red."""
        return self not in (Outcome.PASSED, Outcome.SKIPPED)


@dataclass(frozen=True, slots=True)
class Case:
    """A test case that failed: its full name, what kind of fault, the first line of the message."""

    name: str
    fault: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Cases:
    """The test cases of a step, as counted in the reports that it left. ``source`` names them."""

    total: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0
    failed: tuple[Case, ...] = ()
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """A step that ran, or why it did not. Times in seconds, ``peak`` in bytes.

    ``test`` is the part of the plan that it belongs to, ``number`` its place there; ``test_kind``
    says how that test stands to the script, ``is_test`` whether the step itself tests.
    ``tail``: the last lines of a step that failed without naming a test case.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A run: the job, its steps, its end. ``exit_code`` is the first failed child's own.

    ``route`` says how it came to its ``runner``, where the gate was asked.
    """

    id: str
    job: Mapping[str, Any]
    started: str
    checkout: str = ""
    runner: Runner = Runner.PYTHON
    route: Attempt | None = None
    ended: str = ""
    wall: float = 0.0
    outcome: Outcome = Outcome.ABORTED
    exit_code: int | None = None
    note: str = ""
    steps: tuple[StepRecord, ...] = field(default=())

    @property
    def has_tested(self) -> bool:
        """Tell whether a step that tests has begun: from then on, nothing may run again."""
        return any(step.is_test and step.outcome is not Outcome.SKIPPED for step in self.steps)

    @property
    def bad_steps(self) -> tuple[StepRecord, ...]:
        """The steps that make the run red, in order."""
        return tuple(step for step in self.steps if step.outcome.is_bad)

    def started_event(self) -> Event:
        """Return the first event."""
        kept = {k: _plain(getattr(self, k)) for k in ("id", "job", "started", "checkout", "runner")}
        route = self.route.to_json() if self.route else {}
        return {"event": "run started", "format": FORMAT, **kept, "route": route}

    def ended_event(self) -> Event:
        """Return the last event."""
        kept = ("id", "ended", "wall", "outcome", "exit_code", "note")
        return {"event": "run ended", **{k: _plain(getattr(self, k)) for k in kept}}


def step_started_event(step: StepRecord) -> Event:
    """Return the event of a step's start."""
    kept = ("id", "test", "number", "kind", "command", "test_kind", "is_test", "started")
    return {"event": "step started", **{k: getattr(step, k) for k in kept}}


def step_ended_event(step: StepRecord) -> Event:
    """Return the event of a step's end: all that is known of it."""
    return {"event": "step ended", **{k: _plain(v) for k, v in asdict(step).items()}}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, enum.Enum) else value


def run_from_events(events: Iterable[Event]) -> RunRecord:
    """Rebuild a run; what was cut off is ``aborted``. Raises RecordError on another format."""
    run: RunRecord | None = None
    steps: dict[str, StepRecord] = {}
    for event in events:
        name = event.get("event")
        if name == "run started":
            if event.get("format") != FORMAT:
                raise RecordError(
                    f"a record has format {event.get('format')!r}, and this version reads "
                    f"{FORMAT}: read it with the ci_sessions that wrote it."
                )
            run = _run(event)
        elif name == "step started":
            step = StepRecord(**_known(StepRecord, event), outcome=Outcome.ABORTED)
            steps[step.id] = step
        elif name == "step ended":
            steps[event["id"]] = _step(event)
        elif name == "run ended" and run is not None:
            end = _known(RunRecord, event)
            run = replace(run, **{**end, "outcome": Outcome(end["outcome"])})
    if run is None:
        raise RecordError("a record has no beginning: its first line is not a started run.")
    return replace(run, steps=tuple(steps.values()))


def _known(kind: type[RunRecord | StepRecord], event: Event) -> dict[str, Any]:
    names = {item.name for item in fields(kind)}
    return {name: value for name, value in event.items() if name in names}


def _run(event: Event) -> RunRecord:
    values = _known(RunRecord, event)
    route = values.get("route")
    values["route"] = Attempt.from_json(route) if route else None
    values["runner"] = Runner(values.get("runner", Runner.PYTHON))
    return RunRecord(**values)


def _step(event: Event) -> StepRecord:
    values = _known(StepRecord, event)
    values["outcome"] = Outcome(values["outcome"])
    cases = values.get("cases")
    if cases is not None:
        failed = tuple(Case(**case) for case in cases["failed"])
        values["cases"] = Cases(**{**cases, "failed": failed})
    values["tail"] = tuple(values.get("tail", ()))
    return StepRecord(**values)
