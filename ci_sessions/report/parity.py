"""The results of ``parity`` as text, as Markdown for a pull request, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.parity.causes import find_causes
from ci_sessions.parity.verdict import Side
from ci_sessions.plan.shell import quote, quote_all
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.text import count, duration

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from ci_sessions.parity.causes import Cause
    from ci_sessions.parity.compare import Difference
    from ci_sessions.parity.recording import Command
    from ci_sessions.parity.verdict import JobComparison, ParityResult

__all__ = ["SIDES", "describe_job", "describe_parity", "parity_markdown"]

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
    JobVerdict.UNKNOWN: "unknown",
    JobVerdict.OTHER_SCRIPT: "other script",
    JobVerdict.ERROR: "failed",
}
SIDES = {Side.PLAN: ("script", "plan"), Side.EARLIER: ("before", "now")}
_MAX_PLACES = 3  # in the catalogue, named for a cause
_MAX_CONFIGS = 3  # more configurations are on a line of their own
_MAX_COLUMNS = 100  # longer commands are cut before the first difference


def describe_parity(result: ParityResult, max_shown: int = 20) -> str:
    """Return the totals, the causes of differences (at most ``max_shown``), and a table."""
    blocks = ["\n".join(_block(cause, result)) for cause in find_causes(result)]
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
    name = f" {first.variable}" if first.variable else ""
    return f"{where}{first.stream} {first.number}, {first.field}{name}{more}"


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


def _block(cause: Cause, result: ParityResult) -> Iterator[str]:
    """Yield a cause's headline with the number of its jobs, an example, and where it is."""
    configs = cause.configs
    few = f" in {', '.join(configs)}" if len(configs) <= _MAX_CONFIGS and any(configs) else ""
    where = f"   {_where(cause.lines)}" if cause.lines else ""
    yield f"{_printable(cause.text)}{few}: {count(len(cause.jobs), 'job')}{where}"
    if cause.example:
        yield from _diff(cause.example, result)
    for other in cause.others:
        name = SIDES[result.other][0 if other.script else 1]
        yield f"  {name:{max(map(len, SIDES[result.other]))}}  {_line(other.script or other.plan)}"
    if places := cause.places:
        rest = f", and {len(places) - _MAX_PLACES} more" if len(places) > _MAX_PLACES else ""
        yield f"  edit {', '.join(places[:_MAX_PLACES])}{rest}"
    more = count(len(cause.jobs) - 1, "more job") if len(cause.jobs) > 1 else ""
    yield f"  job: {cause.jobs[0].name}" + (f", and {more}" if more else "")
    if len(configs) > _MAX_CONFIGS:
        yield f"  configurations: {', '.join(configs)}"


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
    names = SIDES[result.other]
    left, right = (f"  {name:{max(map(len, names))}}  " for name in names)
    stream = difference.stream if difference.stream != "test" else "command"
    if script is None or plan is None:
        name = f"{stream} {difference.number}"
        yield f"{left if script else right}{_line(script or plan)}"
        yield f"  {_missing(name, result) if script else _added(name, result)}"
        return
    if difference.field == "env":
        yield f"{left}{_line(script)}"
        name = difference.variable
        yield f"{left}{name}={_shown(script.env.get(name))}"
        yield f"{right}{name}={_shown(plan.env.get(name))}"
    elif difference.field == "cwd":
        yield f"{left}in {script.cwd}: {_line(script)}"
        yield f"{right}in {plan.cwd}: {_line(plan)}"
    elif difference.field == "order":
        yield f"{left}{_line(script)}"
        name = f"{difference.stream} {difference.number}"
        yield f"  {name} has a different position {_in_side(SIDES[result.other][1])}"
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
    left, right = map(_in_side, SIDES[result.other])
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


def _shown(value: str | None) -> str:
    return "(not set)" if value is None else quote(value)


def _line(command: Command | None) -> str:
    return quote_all(command.argv) if command else ""


def _table(result: ParityResult) -> Iterator[str]:
    shown = [verdict for verdict in JobVerdict if result.count(verdict)]
    heads = "".join(f"{_SHORT_LABELS.get(one, _label(one, result)):>17}" for one in shown)
    yield f"{'config':40}{'jobs':>6}{heads}"
    rows, unchanged = _rows(result)
    for config, counts in rows.items():
        cells = "".join(f"{counts[one] or '':>17}" for one in shown)
        yield f"{config or '(none)':40}{sum(counts.values()):>6}{cells}"
    if unchanged:
        yield unchanged


def _rows(result: ParityResult) -> tuple[dict[str, Counter[JobVerdict]], str]:
    """Return the rows of the table, and a line for configurations that did not change at all."""
    rows = result.by_config()
    if result.other is Side.PLAN:
        return rows, ""
    changed = {k: row for k, row in rows.items() if set(row) != {JobVerdict.EQUAL}}
    number = len(rows) - len(changed)
    jobs = sum(row.total() for config, row in rows.items() if config not in changed)
    line = f"unchanged: {count(number, 'configuration')} with {count(jobs, 'job')}"
    return changed, line if number else ""


def parity_markdown(result: ParityResult, max_shown: int = 20) -> str:
    """Return a comment for a pull request: the totals, collapsed diffs, and a table."""
    mark = "❌" if result.exit_code else "✅"
    is_change = result.other is Side.EARLIER
    title = "Jobs affected by this change" if is_change else "Plans compared with the script"
    lines = [f"### {mark} {title}", "", _totals(result), ""]
    groups = find_causes(result)
    for cause in groups[:max_shown]:
        head, *rest = _block(cause, result)
        lines += ["<details>", f"<summary>{_escape(head)}</summary>", ""]
        lines += ["```", *rest, "```", "", "</details>", ""]
    if len(groups) > max_shown:
        more = count(len(groups) - max_shown, "more distinct difference")
        lines += [f"… and {more}.", ""]
    lines += [f"- ⚠️ accepted differences: {_escape(problem)}" for problem in result.faults]
    shown = [verdict for verdict in JobVerdict if result.count(verdict)]
    heads = " | ".join(_label(one, result) for one in shown)
    lines += ["", f"| config | jobs | {heads} |", "| --- | ---: |" + " ---: |" * len(shown)]
    rows, unchanged = _rows(result)
    for config, counts in rows.items():
        cells = " | ".join(str(counts[one] or "") for one in shown)
        lines.append(f"| {_escape(config) or '(none)'} | {sum(counts.values())} | {cells} |")
    lines += ["", unchanged] if unchanged else []
    return "\n".join([*lines, ""])


def _escape(text: str) -> str:
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(old, new)
    return text
