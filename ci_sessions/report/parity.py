"""A proof for people and for programs: text, Markdown for a pull request, JSON."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ci_sessions.parity.verdict import Standing
from ci_sessions.text import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.parity.compare import Difference
    from ci_sessions.parity.recording import Command
    from ci_sessions.parity.verdict import JobProof, Proof

__all__ = ["describe_job", "describe_proof", "proof_dict", "proof_markdown"]

_ALWAYS = (Standing.EQUAL, Standing.NAMED, Standing.DIFFERENT, Standing.NOT_FOLLOWED)
_WIDE = 100  # columns that a command's line may take before it is cut around what differs


def describe_proof(proof: Proof, most: int = 20) -> str:
    """Write the totals, one diff for each way to differ (``most`` at the most), and a table."""
    blocks = ["\n".join(_block(job, alike, proof)) for job, alike in _groups(proof)]
    lines = [_totals(proof), *blocks[:most]]
    if len(blocks) > most:
        lines.append(f"… and {len(blocks) - most} more ways to differ: --show {len(blocks)}")
    lines += [f"named differences: {fault}" for fault in proof.faults]
    assumed = sorted({note.text for job in proof.jobs for note in job.assumed})
    if assumed:
        lines.append("assumed on the way: " + "; ".join(assumed))
    return "\n".join([*lines, "", *_table(proof)])


def describe_job(job: JobProof) -> str:
    """Return one line: where a job first differs, or why it could not be compared."""
    if not job.differences:
        return " ".join((job.reason, *job.lines[:1]))
    first = job.differences[0]
    where = f"{_where(first.lines)}: " if first.lines else ""
    more = f", and {len(job.differences) - 1} more" if len(job.differences) > 1 else ""
    return f"{where}{first.stream} {first.number}, {first.field}{more}"


def _totals(proof: Proof) -> str:
    counts = [f"jobs {len(proof.jobs)}"]
    for standing in Standing:
        number = proof.count(standing)
        if standing in _ALWAYS or number:
            name = _name(standing, proof)
            if standing is not Standing.NAMED or proof.right == "plan":
                counts.append(f"{name} {number}")
    cached = f", {proof.cached} from the cache" if proof.cached else ""
    return "   ".join(counts) + f"   ({proof.script}; {duration(proof.seconds)}{cached})"


def _name(standing: Standing, proof: Proof) -> str:
    if proof.right != "plan":
        return {Standing.EQUAL: "unchanged", Standing.DIFFERENT: "changed"}.get(
            standing, standing.value
        )
    return standing.value


def _groups(proof: Proof) -> Iterator[tuple[JobProof, list[JobProof]]]:
    """Give one job for each way to differ, with the others that do so; the commonest first."""
    groups: dict[object, list[JobProof]] = {}
    for job in proof.jobs:
        if job.standing.is_bad:
            groups.setdefault(_signature(job), []).append(job)
    for first, *others in sorted(groups.values(), key=len, reverse=True):
        yield first, others


def _signature(job: JobProof) -> object:
    if not job.differences:
        return (job.standing, job.lines, job.reason if job.standing is Standing.NO_PLAN else "")
    first = job.differences[0]
    if first.field == "argv" and first.script and first.plan:
        at = _first_apart(first.script.argv, first.plan.argv)
        return (first.stream, first.field, first.lines[:1], first.script.argv[at : at + 1])
    what = first.script or first.plan
    changed = (
        tuple(_changed_names(first)) if first.field == "env" else what.argv[:4] if what else ()
    )
    return (first.stream, first.field, first.lines[:1], changed)


def _block(job: JobProof, alike: list[JobProof], proof: Proof) -> Iterator[str]:
    difference = job.differences[0] if job.differences else None
    lines = difference.lines if difference else job.lines
    where = f"   {_where(lines)}" if lines else ""
    yield f"{_name(job.standing, proof)}: {job.name}{where}"
    if difference is None:
        yield f"  {_plain(job.reason)}"
    else:
        yield from _diff(difference, proof)
        if len(job.differences) > 1:
            yield f"  and {len(job.differences) - 1} more differences in this job"
    if alike:
        configs = ", ".join(sorted({str(one.job.get("config", "")) for one in alike}))
        yield f"  the same in {len(alike)} more jobs of {configs}"


def _plain(text: str) -> str:
    """Return a text without control characters but for the ends of lines, which are indented."""
    lines = ("".join(c for c in line if c.isprintable()) for line in text.splitlines())
    return "\n  ".join(lines)


def _where(lines: tuple[str, ...]) -> str:
    """Write a line of the script, and from which of its own lines it was called."""
    inner, *outer = (line.rpartition("/")[2] for line in lines)
    return inner + (f" (called from {', '.join(outer)})" if outer else "")


def _diff(difference: Difference, proof: Proof) -> Iterator[str]:
    script, plan = difference.script, difference.plan
    width = max(len(proof.left), len(proof.right))
    left, right = f"  {proof.left:{width}}  ", f"  {proof.right:{width}}  "
    stream = difference.stream if difference.stream != "test" else "command"
    if script is None or plan is None:
        what = f"{stream} {difference.number}"
        yield f"{left if script else right}{_line(script or plan)}"
        yield f"  {_gone(what, proof) if script else _new(what, proof)}"
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
        which = f"{difference.stream} {difference.number}"
        yield f"  {which} stands elsewhere among the others {_in(proof.right)}"
    else:
        yield from _words(left, script, right, plan, proof)


def _words(left: str, script: Command, right: str, plan: Command, proof: Proof) -> Iterator[str]:
    """Write two commands above one another, and a mark below the first word that differs."""
    at = _first_apart(script.argv, plan.argv)
    before = " ".join(map(_quoted, script.argv[:at]))
    cut = max(0, len(before) - _WIDE)
    column = len(before) - cut + (1 if at else 0) + (2 if cut else 0)
    for label, command in ((left, script), (right, plan)):
        text = _line(command)
        text = "… " + text[cut:] if cut else text
        yield label + text
    yield " " * (len(right) + column) + "^ " + _said(script.argv[at:], plan.argv[at:], proof)


def _said(script: tuple[str, ...], plan: tuple[str, ...], proof: Proof) -> str:
    """Say in words what happened at the first place where two commands part."""
    if not plan or (script and script[1:2] == plan[:1]):
        return _gone(script[0], proof)
    if not script or plan[1:2] == script[:1]:
        return _new(plan[0], proof)
    return f"{script[0]} {_in(proof.left)}, {plan[0]} {_in(proof.right)}"


def _gone(what: str, proof: Proof) -> str:
    return f"{what} is gone" if proof.right == "now" else f"{what} is missing in the {proof.right}"


def _new(what: str, proof: Proof) -> str:
    return f"{what} is new" if proof.right == "now" else f"{what} is not in the {proof.left}"


def _in(side: str) -> str:
    return side if side in ("before", "now") else f"in the {side}"


def _first_apart(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _changed_names(difference: Difference) -> list[str]:
    script = difference.script.env if difference.script else {}
    plan = difference.plan.env if difference.plan else {}
    return sorted(name for name in {**script, **plan} if script.get(name) != plan.get(name))


def _shown(value: str | None) -> str:
    return "(not set)" if value is None else _quoted(value)


def _line(command: Command | None) -> str:
    return " ".join(map(_quoted, command.argv)) if command else ""


def _quoted(word: str) -> str:
    """Quote a word for a shell, on one line: a log must not take it for a command of its own."""
    if word.isprintable():
        return shlex.quote(word)
    text = word.replace("\\", "\\\\").replace("'", "\\'")
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"$'{''.join(shown)}'"


def _table(proof: Proof) -> Iterator[str]:
    shown = [standing for standing in Standing if proof.count(standing)]
    names = {Standing.NAMED: "named"}
    heads = "".join(f"{names.get(one, _name(one, proof)):>17}" for one in shown)
    yield f"{'config':40}{'jobs':>6}{heads}"
    for config, counts in proof.by_config().items():
        cells = "".join(f"{counts[one] or '':>17}" for one in shown)
        yield f"{config or '(none)':40}{sum(counts.values()):>6}{cells}"


def proof_markdown(proof: Proof, most: int = 20) -> str:
    """Write a comment for a pull request: the totals, the diffs folded, the table."""
    mark = "❌" if proof.exit_code else "✅"
    title = "Parity of plans and script" if proof.right == "plan" else "What the change runs anew"
    lines = [f"### {mark} {title}", "", _totals(proof), ""]
    groups = list(_groups(proof))
    for job, alike in groups[:most]:
        head, *rest = _block(job, alike, proof)
        lines += ["<details>", f"<summary>{_escaped(head)}</summary>", ""]
        lines += ["```", *rest, "```", "", "</details>", ""]
    if len(groups) > most:
        lines += [f"… and {len(groups) - most} more ways to differ.", ""]
    lines += [f"- ⚠️ named differences: {_escaped(fault)}" for fault in proof.faults]
    shown = [standing for standing in Standing if proof.count(standing)]
    heads = " | ".join(_name(one, proof) for one in shown)
    lines += ["", f"| config | jobs | {heads} |", "| --- | ---: |" + " ---: |" * len(shown)]
    for config, counts in proof.by_config().items():
        cells = " | ".join(str(counts[one] or "") for one in shown)
        lines.append(f"| {_escaped(config) or '(none)'} | {sum(counts.values())} | {cells} |")
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(old, new)
    return text


def proof_dict(proof: Proof) -> dict[str, Any]:
    """Return everything as JSON values: each job with all of its differences."""
    return {
        "format": 1,
        "script": proof.script,
        "sides": [proof.left, proof.right],
        "seconds": round(proof.seconds, 3),
        "cached": proof.cached,
        "exit_code": proof.exit_code,
        "totals": {standing.value: proof.count(standing) for standing in Standing},
        "configs": {
            config: {standing.value: number for standing, number in counts.items()}
            for config, counts in proof.by_config().items()
        },
        "faults": list(proof.faults),
        "jobs": [_job_dict(job) for job in proof.jobs],
    }


def _job_dict(job: JobProof) -> dict[str, Any]:
    return {
        "job": dict(job.job),
        "standing": job.standing.value,
        "reason": job.reason,
        "lines": list(job.lines),
        "commands": job.commands,
        "assumed": [note.text for note in job.assumed],
        "named": [{"what": entry.what, "why": entry.why} for entry in job.named],
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
