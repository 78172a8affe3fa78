"""A run as a JUnit report: a suite for each step, and its test cases inside.

The format is the one that Jenkins' xUnit plugin and GitLab read: its schema is junit-10.xsd of
github.com/jenkinsci/xunit-plugin. A step whose cases are not known, such as one of the set-up, is a
case itself. So is one that failed without a failed case, since a suite without one would be green.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from ci_sessions.records.record import Outcome
from ci_sessions.text import exit_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ci_sessions.records.record import Case, RunRecord, StepRecord

__all__ = ["junit_lines"]

_INVALID = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0
_LONGEST = 200  # characters of a command in a case's name
_RED = ("failure", "error")
_FAILURES = (Outcome.FAILED, Outcome.NO_TEST)  # other outcomes are errors


@dataclass(frozen=True, kw_only=True, slots=True)
class _TestCase:
    """A ``testcase`` element. ``fault`` is ``failure``, ``error``, ``skipped`` or ""."""

    classname: str
    name: str
    seconds: float = 0.0
    fault: str = ""
    message: str = ""
    kind: str = ""
    text: str = ""


def junit_lines(run: RunRecord, redact: Callable[[str], str]) -> Iterator[str]:
    """Yield the lines of the report, without line ends. ``redact`` hides secrets."""
    suites = [(step, _cases(run, step)) for step in run.steps]
    red = sum(_count(cases, *_RED) for _, cases in suites)
    extra = [] if red or run.outcome is Outcome.PASSED else [_whole_run(run)]
    everything = [*(case for _, cases in suites for case in cases), *extra]
    yield "<?xml version='1.0' encoding='utf-8'?>"
    head = {
        "name": _config(run),
        "time": f"{run.wall:.3f}",
        "tests": len(everything),
        "failures": _count(everything, "failure"),
        "errors": _count(everything, "error"),
    }
    yield f"<testsuites{_attributes(redact, head)}>"
    for step, cases in suites:
        head = {"name": step.id, "time": f"{step.wall:.3f}", "timestamp": step.started[:19]}
        yield from _suite(head, cases, _properties(run, step), redact)
    if extra:
        head = {"name": f"{_config(run)}.run", "time": "0.000", "timestamp": run.started[:19]}
        yield from _suite(head, extra, {}, redact)
    yield "</testsuites>"


def _suite(
    head: Mapping[str, object],
    cases: list[_TestCase],
    properties: Mapping[str, str],
    redact: Callable[[str], str],
) -> Iterator[str]:
    counts = {
        "tests": len(cases),
        "failures": _count(cases, "failure"),
        "errors": _count(cases, "error"),
        "skipped": _count(cases, "skipped"),
    }
    yield f" <testsuite{_attributes(redact, {**head, **counts})}>"
    if properties:
        yield "  <properties>"
        for name, value in properties.items():
            yield f"   <property{_attributes(redact, {'name': name, 'value': value})}/>"
        yield "  </properties>"
    for case in cases:
        yield from _case_lines(case, redact)
    yield " </testsuite>"


def _case_lines(case: _TestCase, redact: Callable[[str], str]) -> Iterator[str]:
    names = {"classname": case.classname, "name": case.name, "time": f"{case.seconds:.3f}"}
    start = f"  <testcase{_attributes(redact, names)}"
    if not case.fault:
        yield f"{start}/>"
        return
    yield f"{start}>"
    given = {"type": case.kind or case.fault, "message": case.message}
    text = escape(_INVALID.sub("\N{REPLACEMENT CHARACTER}", redact(case.text)))
    yield f"   <{case.fault}{_attributes(redact, given)}>{text}</{case.fault}>"
    yield "  </testcase>"


def _attributes(redact: Callable[[str], str], values: Mapping[str, object]) -> str:
    return "".join(
        f" {name}={quoteattr(_INVALID.sub(chr(0xFFFD), redact(str(value))))}"
        for name, value in values.items()
    )


def _count(cases: list[_TestCase], *faults: str) -> int:
    return sum(case.fault in faults for case in cases)


def _config(run: RunRecord) -> str:
    return str(run.job.get("config", ""))


def _properties(run: RunRecord, step: StepRecord) -> dict[str, str]:
    """Return what else is known about a step: systems show it beside its cases."""
    job, cases = run.job, step.cases
    return {
        "config": _config(run),
        "build_environment": str(job.get("build_environment", "")),
        "shard": f"{job.get('shard', 1)}/{job.get('num_shards', 1)}",
        "command": step.command,
        "outcome": str(step.outcome),
        # Without reports only the failed cases have names, so the suite has fewer.
        **({"cases": str(cases.total)} if cases and not cases.every else {}),
    }


# --- cases


def _cases(run: RunRecord, step: StepRecord) -> list[_TestCase]:
    cases = step.cases
    found = [] if cases is None else list(_named_cases(step))
    is_red = any(case.fault in _RED for case in found)
    if found and (is_red or not step.outcome.is_failure):
        return found
    return [*found, _whole_step(run, step)]


def _named_cases(step: StepRecord) -> Iterator[_TestCase]:
    """Yield the cases whose names are known: all of them, or those that failed."""
    cases = step.cases
    if cases is None:
        return
    failed = {(case.name, case.fault): case for case in cases.failed}
    if not cases.every:
        for case in cases.failed:
            yield _failed_case(step, case)
        return
    for one in cases.every:
        if one.result in _RED and (one.name, one.result) in failed:
            yield _failed_case(step, failed[one.name, one.result], one.seconds)
        else:
            classname, name = _split(one.name)
            fault = "" if one.result == "passed" else one.result
            yield _judged(
                step,
                _TestCase(classname=classname, name=name, seconds=one.seconds, fault=fault),
            )


def _failed_case(step: StepRecord, case: Case, seconds: float = 0.0) -> _TestCase:
    classname, name = _split(case.name)
    place = f"{case.file}:{case.line}" if case.file else ""
    return _judged(
        step,
        _TestCase(
            classname=classname,
            name=name,
            seconds=seconds,
            fault=case.fault if case.fault in _RED else "error",
            message=case.message,
            text="\n".join(filter(None, (case.message, place))),
        ),
    )


def _judged(step: StepRecord, case: _TestCase) -> _TestCase:
    """Return a case as its step was judged: in one that had to fail, a failure is none."""
    if step.outcome.is_failure or case.fault not in _RED:
        return case
    return _TestCase(
        classname=case.classname,
        name=case.name,
        seconds=case.seconds,
        fault="skipped",
        message=f"{case.fault}, but the step passed: {case.message}",
    )


def _split(name: str) -> tuple[str, str]:
    """Split a case's full name into class and name; parameters in brackets may have dots."""
    classname = name.partition("[")[0].rpartition(".")[0]
    return classname, name[len(classname) + 1 :] if classname else name


def _whole_step(run: RunRecord, step: StepRecord) -> _TestCase:
    """Return a step as a case of its own."""
    command = step.command if len(step.command) <= _LONGEST else f"{step.command[:_LONGEST]}…"
    fault, message = "", ""
    if step.outcome is Outcome.SKIPPED:
        fault, message = "skipped", step.note
    elif step.outcome.is_failure:
        fault = "failure" if step.outcome in _FAILURES else "error"
        status = exit_status(step.code) if step.code else ""
        message = ", ".join(filter(None, (str(step.outcome), status, step.note)))
    return _TestCase(
        classname=f"{_config(run)}.{step.test}",
        name=f"step {step.number}: {command}",
        seconds=step.wall,
        fault=fault,
        message=message,
        kind=str(step.outcome) if fault else "",
        text="\n".join(step.tail),
    )


def _whole_run(run: RunRecord) -> _TestCase:
    """Return the run as a case, if it failed and no step says so."""
    return _TestCase(
        classname=_config(run),
        name="run",
        fault="failure" if run.outcome in _FAILURES else "error",
        message=": ".join(filter(None, (str(run.outcome), run.note))),
        kind=str(run.outcome),
    )
