"""The results of ``parity`` as text, as Markdown for a pull request, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ci_sessions.parity.verdict import Side
from ci_sessions.plan.shell import quote, quote_all
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.text import count, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.parity.compare import Difference
    from ci_sessions.parity.recording import Command
    from ci_sessions.parity.verdict import JobComparison, ParityResult

__all__ = ["describe_job", "describe_parity", "parity_markdown", "parity_to_json"]

_ALWAYS = (
    JobVerdict.EQUAL,
    JobVerdict.ACCEPTED,
    JobVerdict.DIFFERENT,
    JobVerdict.UNTRACEABLE,
)
_LABELS = {
    JobVerdict.EQUAL: "equal",
    JobVerdict.ACCEPTED: "equal except for accepted differences",
    JobVerdict.DIFFERENT: "different",
    JobVerdict.UNTRACEABLE: "could not be traced",
    JobVerdict.UNKNOWN: "depends on the run",
    JobVerdict.NEW: "new job",
    JobVerdict.GONE: "gone job",
    JobVerdict.NO_PLAN: "no plan",
    JobVerdict.OTHER_SCRIPT: "run by another script",
    JobVerdict.ERROR: "comparison failed",
}
_CHANGE_LABELS = {JobVerdict.EQUAL: "unchanged", JobVerdict.DIFFERENT: "changed"}
_SHORT_LABELS = {
    JobVerdict.ACCEPTED: "accepted",
    JobVerdict.UNTRACEABLE: "not traced",
    JobVerdict.OTHER_SCRIPT: "other script",
    JobVerdict.ERROR: "failed",
}
_SIDES = {Side.PLAN: ("script", "plan"), Side.EARLIER: ("before", "now")}
_MAX_COLUMNS = 100  # longer commands are cut before the first difference


def describe_parity(result: ParityResult, max_shown: int = 20) -> str:
    """Return the totals, a diff for each distinct difference (at most ``max_shown``), a table."""
    blocks = ["\n".join(_block(job, others, result)) for job, others in _groups(result)]
    lines = [_totals(result), *blocks[:max_shown]]
    if len(blocks) > max_shown:
        more = count(len(blocks) - max_shown, "more distinct difference")
        lines.append(f"… and {more}: --show {len(blocks)} shows all")
    lines += [f"accepted differences: {problem}" for problem in result.faults]
    assumed = sorted({note.text for job in result.jobs for note in job.assumed})
    if assumed:
        lines.append("assumed: " + "; ".join(assumed))
    return "\n".join([*lines, "", *_table(result)])


def describe_job(job: JobComparison) -> str:
    """Return one line: the first difference of a job, or why it could not be compared."""
    if not job.differences:
        return " ".join((job.reason, *job.lines[:1]))
    first = job.differences[0]
    where = f"{_where(first.lines)}: " if first.lines else ""
    more = f", and {len(job.differences) - 1} more" if len(job.differences) > 1 else ""
    return f"{where}{first.stream} {first.number}, {first.field}{more}"


def _totals(result: ParityResult) -> str:
    counts = [f"jobs {len(result.jobs)}"]
    for verdict in JobVerdict:
        number = result.count(verdict)
        if verdict in _ALWAYS or number:
            name = _label(verdict, result)
            if verdict is not JobVerdict.ACCEPTED or result.other is Side.PLAN:
                counts.append(f"{name} {number}")
    cached = f", {result.cached} from the cache" if result.cached else ""
    return "   ".join(counts) + f"   ({result.script}; {duration(result.seconds)}{cached})"


def _label(verdict: JobVerdict, result: ParityResult) -> str:
    if result.other is Side.EARLIER and verdict in _CHANGE_LABELS:
        return _CHANGE_LABELS[verdict]
    return _LABELS[verdict]


def _groups(result: ParityResult) -> Iterator[tuple[JobComparison, list[JobComparison]]]:
    """Yield a job for each distinct difference, and the other jobs with it; most common first."""
    groups: dict[object, list[JobComparison]] = {}
    for job in result.jobs:
        if job.verdict.is_failure:
            groups.setdefault(_signature(job), []).append(job)
    for first, *others in sorted(groups.values(), key=len, reverse=True):
        yield first, others


def _signature(job: JobComparison) -> object:
    if not job.differences:
        if job.unknown or job.inputs:
            return (job.verdict, job.unknown, job.inputs)
        return (job.verdict, job.lines, job.reason if job.verdict is JobVerdict.NO_PLAN else "")
    first = job.differences[0]
    if first.field == "argv" and first.script and first.plan:
        at = _first_difference(first.script.argv, first.plan.argv)
        return (first.stream, first.field, first.lines[:1], first.script.argv[at : at + 1])
    command = first.script or first.plan
    changed = (
        tuple(_changed_names(first))
        if first.field == "env"
        else command.argv[:4]
        if command
        else ()
    )
    return (first.stream, first.field, first.lines[:1], changed)


def _block(job: JobComparison, others: list[JobComparison], result: ParityResult) -> Iterator[str]:
    difference = job.differences[0] if job.differences else None
    lines = difference.lines if difference else job.lines
    if difference is None and job.unknown:
        lines = job.unknown[0].lines
    where = f"   {_where(lines)}" if lines else ""
    yield f"{_label(job.verdict, result)}: {job.name}{where}"
    for change in job.inputs:
        before, now = map(_shown, (change.before, change.now))
        yield f"  changed input {change.name}: {before} before, {now} now"
    for note in job.unknown:
        where_read = _where(note.lines)
        yield f"  reads {note.text}, whose value is known only at run time: {where_read}"
    if difference is None:
        if job.reason:
            yield f"  {_printable(job.reason)}"
    else:
        yield from _diff(difference, result)
        if len(job.differences) > 1:
            yield f"  and {count(len(job.differences) - 1, 'more difference')} in this job"
    if others:
        configs = ", ".join(sorted({str(one.job.get("config", "")) for one in others}))
        yield f"  and the same difference in {count(len(others), 'more job')}: {configs}"


def _printable(text: str) -> str:
    """Remove control characters from text, except for newlines, and indent it."""
    lines = ("".join(c for c in line if c.isprintable()) for line in text.splitlines())
    return "\n  ".join(lines)


def _where(lines: tuple[str, ...]) -> str:
    """Return a line of the script, and the lines that it was called from."""
    inner, *outer = (line.rpartition("/")[2] for line in lines)
    return inner + (f" (called from {', '.join(outer)})" if outer else "")


def _diff(difference: Difference, result: ParityResult) -> Iterator[str]:
    script, plan = difference.script, difference.plan
    names = _SIDES[result.other]
    left, right = (f"  {name:{max(map(len, names))}}  " for name in names)
    stream = difference.stream if difference.stream != "test" else "command"
    if script is None or plan is None:
        name = f"{stream} {difference.number}"
        yield f"{left if script else right}{_line(script or plan)}"
        yield f"  {_missing(name, result) if script else _added(name, result)}"
        return
    if difference.field == "env":
        yield f"{left}{_line(script)}"
        for name in _changed_names(difference):
            yield f"{left}{name}={_shown(script.env.get(name))}"
            yield f"{right}{name}={_shown(plan.env.get(name))}"
    elif difference.field == "cwd":
        yield f"{left}in {script.cwd}: {_line(script)}"
        yield f"{right}in {plan.cwd}: {_line(plan)}"
    elif difference.field == "order":
        yield f"{left}{_line(script)}"
        name = f"{difference.stream} {difference.number}"
        yield f"  {name} has a different position {_in_side(_SIDES[result.other][1])}"
    else:
        yield from _command_diff(left, script, right, plan, result)


def _command_diff(
    left: str, script: Command, right: str, plan: Command, result: ParityResult
) -> Iterator[str]:
    """Yield two commands, and a line that marks and explains the first difference."""
    at = _first_difference(script.argv, plan.argv)
    before = quote_all(script.argv[:at])
    cut = max(0, len(before) - _MAX_COLUMNS)
    column = len(before) - cut + (1 if at else 0) + (2 if cut else 0)
    for label, command in ((left, script), (right, plan)):
        text = _line(command)
        text = "… " + text[cut:] if cut else text
        yield label + text
    yield " " * (len(right) + column) + "^ " + _explain(script.argv[at:], plan.argv[at:], result)


def _explain(script: tuple[str, ...], plan: tuple[str, ...], result: ParityResult) -> str:
    """Describe the first difference between two commands."""
    if not plan or (script and script[1:2] == plan[:1]):
        return _missing(script[0], result)
    if not script or plan[1:2] == script[:1]:
        return _added(plan[0], result)
    left, right = map(_in_side, _SIDES[result.other])
    return f"{script[0]} {left}, {plan[0]} {right}"


def _missing(name: str, result: ParityResult) -> str:
    is_change = result.other is Side.EARLIER
    return f"{name} was removed" if is_change else f"{name} is missing from the plan"


def _added(name: str, result: ParityResult) -> str:
    return f"{name} was added" if result.other is Side.EARLIER else f"{name} is not in the script"


def _in_side(side: str) -> str:
    return side if side in ("before", "now") else f"in the {side}"


def _first_difference(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _changed_names(difference: Difference) -> list[str]:
    script = difference.script.env if difference.script else {}
    plan = difference.plan.env if difference.plan else {}
    return sorted(name for name in {**script, **plan} if script.get(name) != plan.get(name))


def _shown(value: str | None) -> str:
    return "(not set)" if value is None else quote(value)


def _line(command: Command | None) -> str:
    return quote_all(command.argv) if command else ""


def _table(result: ParityResult) -> Iterator[str]:
    shown = [verdict for verdict in JobVerdict if result.count(verdict)]
    heads = "".join(f"{_SHORT_LABELS.get(one, _label(one, result)):>17}" for one in shown)
    yield f"{'config':40}{'jobs':>6}{heads}"
    for config, counts in result.by_config().items():
        cells = "".join(f"{counts[one] or '':>17}" for one in shown)
        yield f"{config or '(none)':40}{sum(counts.values()):>6}{cells}"


def parity_markdown(result: ParityResult, max_shown: int = 20) -> str:
    """Return a comment for a pull request: the totals, collapsed diffs, and a table."""
    mark = "❌" if result.exit_code else "✅"
    is_change = result.other is Side.EARLIER
    title = "Jobs affected by this change" if is_change else "Plans compared with the script"
    lines = [f"### {mark} {title}", "", _totals(result), ""]
    groups = list(_groups(result))
    for job, others in groups[:max_shown]:
        head, *rest = _block(job, others, result)
        lines += ["<details>", f"<summary>{_escape(head)}</summary>", ""]
        lines += ["```", *rest, "```", "", "</details>", ""]
    if len(groups) > max_shown:
        more = count(len(groups) - max_shown, "more distinct difference")
        lines += [f"… and {more}.", ""]
    lines += [f"- ⚠️ accepted differences: {_escape(problem)}" for problem in result.faults]
    shown = [verdict for verdict in JobVerdict if result.count(verdict)]
    heads = " | ".join(_label(one, result) for one in shown)
    lines += ["", f"| config | jobs | {heads} |", "| --- | ---: |" + " ---: |" * len(shown)]
    for config, counts in result.by_config().items():
        cells = " | ".join(str(counts[one] or "") for one in shown)
        lines.append(f"| {_escape(config) or '(none)'} | {sum(counts.values())} | {cells} |")
    return "\n".join([*lines, ""])


def _escape(text: str) -> str:
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(old, new)
    return text


STRUCTURE = frozenset(("verdict", "stream", "field", "kind", "config", "build_environment"))
"""Keys in ``parity_to_json`` whose values are this package's own words, and so never a secret."""


def parity_to_json(result: ParityResult) -> dict[str, Any]:
    """Return the complete result as JSON values, with all differences of each job."""
    return {
        "format": 1,
        "script": result.script,
        "sides": list(_SIDES[result.other]),
        "seconds": round(result.seconds, 3),
        "cached": result.cached,
        "exit_code": result.exit_code,
        "totals": {verdict.value: result.count(verdict) for verdict in JobVerdict},
        "configs": {
            config: {verdict.value: number for verdict, number in counts.items()}
            for config, counts in result.by_config().items()
        },
        "faults": list(result.faults),
        "jobs": [_job_dict(job) for job in result.jobs],
    }


def _job_dict(job: JobComparison) -> dict[str, Any]:
    return {
        "job": dict(job.job),
        "verdict": job.verdict.value,
        "reason": job.reason,
        "lines": list(job.lines),
        "commands": job.commands,
        "assumed": [note.text for note in job.assumed],
        "unknown": [{"name": note.text, "lines": list(note.lines)} for note in job.unknown],
        "inputs": [asdict(change) for change in job.inputs],
        "accepted": [{"what": entry.what, "why": entry.why} for entry in job.accepted],
        "differences": [_difference_dict(one) for one in job.differences],
    }


def _difference_dict(difference: Difference) -> dict[str, Any]:
    sides = {"script": difference.script, "plan": difference.plan}
    return {
        "stream": difference.stream,
        "field": difference.field,
        "number": difference.number,
        "lines": list(difference.lines),
        **{name: asdict(side) if side else None for name, side in sides.items()},
    }
