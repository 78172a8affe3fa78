"""Shows the findings of an audit, and which of them are new against a baseline."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci_sessions.inventory.audit import KINDS
from ci_sessions.text import count, for_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ci_sessions.inventory.audit import Audit, Finding, FindingKind
    from ci_sessions.inventory.baseline import Accepted, Baseline, Change

__all__ = ["Verdict", "audit_to_json", "describe_audit"]

_NOUNS: Mapping[FindingKind, str] = {
    "unrun": "file",
    "empty": "job",
    "incomplete": "configuration",
    "repeated": "file",
    "refused": "step",
}
_MAX_LINES = 30
_MAX_NAMES = 6
_SINGULAR: Mapping[FindingKind, str] = {
    "unrun": "test file runs in no scheduled job",
    "empty": "job selects nothing",
    "incomplete": "configuration lacks a shard",
    "repeated": "file runs again and again",
    "refused": "step that run_test.py of this checkout cannot run",
}
_PLURAL: Mapping[FindingKind, str] = {
    "unrun": "test files run in no scheduled job",
    "empty": "jobs select nothing",
    "incomplete": "configurations lack a shard",
    "repeated": "files run again and again",
    "refused": "steps that run_test.py of this checkout cannot run",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """An audit beside a baseline. Without one nothing is new."""

    audit: Audit
    baseline: Baseline | None
    new: tuple[Finding, ...] = ()
    changes: tuple[Change, ...] = ()
    unused: tuple[Accepted, ...] = ()

    @classmethod
    def of(cls, audit: Audit, baseline: Baseline | None, files: Mapping[str, int]) -> Verdict:
        """Compare an audit with a baseline. ``files`` are the files of each configuration."""
        if baseline is None:
            return cls(audit=audit, baseline=None)
        new = (one for one in audit.findings if baseline.entry_for(one) is None)
        return cls(
            audit=audit,
            baseline=baseline,
            new=tuple(new),
            changes=tuple(baseline.changes(files)),
            unused=tuple(baseline.unused(audit)),
        )

    @property
    def has_news(self) -> bool:
        """Whether there is something that the baseline does not accept."""
        return bool(self.new or self.changes)


def audit_to_json(verdict: Verdict) -> dict[str, Any]:
    """Return the findings of each kind; with a baseline, each says whether it is new."""
    new = {id(one) for one in verdict.new}

    def entry(one: Finding) -> dict[str, Any]:
        mark = {} if verdict.baseline is None else {"new": id(one) in new}
        return {**one.data, **mark}

    data: dict[str, Any] = {kind: [entry(one) for one in verdict.audit.of(kind)] for kind in KINDS}
    if verdict.baseline is not None:
        data["changed"] = [
            {"config": one.config, "before": one.before, "now": one.now} for one in verdict.changes
        ]
    return data


def describe_audit(verdict: Verdict, *, every: bool = False) -> str:
    """Return the findings, those that are new first. ``every``: also what is accepted."""
    lines: list[str] = []
    for kind in KINDS:
        lines += _section(kind, verdict, every=every)
    for change in verdict.changes:
        lines.append(
            f"{change.config} runs {count(change.now, 'test file')}, {change.before:,} when the "
            "baseline was written   NEW"
        )
    lines += [f"no longer found, remove it from the baseline: {one.what}" for one in verdict.unused]
    return for_log("\n".join([*lines, _last(verdict)]))


def _section(kind: FindingKind, verdict: Verdict, *, every: bool) -> Iterator[str]:
    found = verdict.audit.of(kind)
    if not found:
        return
    new = {id(one) for one in verdict.new}
    shown = found if every or verdict.baseline is None else [f for f in found if id(f) in new]
    accepted = len(found) - len(shown)
    more = f" ({accepted:,} of them accepted)" if accepted else ""
    yield f"{len(found):,} {_SINGULAR[kind] if len(found) == 1 else _PLURAL[kind]}{more}"
    lines = list(_grouped(shown, new, every=every))
    yield from lines if every else lines[:_MAX_LINES]
    if len(lines) > _MAX_LINES and not every:
        yield f"  … {count(len(lines) - _MAX_LINES, 'more line')}: --every shows all"
    yield ""


def _grouped(found: Sequence[Finding], new: set[int], *, every: bool) -> Iterator[str]:
    """Yield a line for each finding; those with the same text share one."""
    by_text: dict[tuple[str, bool], list[Finding]] = defaultdict(list)
    for one in found:
        by_text[one.text, id(one) in new].append(one)
    for (text, is_new), group in by_text.items():
        mark = "   NEW" if is_new else ""
        if len(group) == 1 or not text:
            yield from (f"  {one.name}{': ' if text else ''}{text}{mark}" for one in group)
            continue
        shown = group if every else group[:_MAX_NAMES]
        more = len(group) - len(shown)
        names = ", ".join(one.name for one in shown) + (f" and {more:,} more" if more else "")
        yield f"  {text}{mark}"
        yield f"    {count(len(group), _NOUNS[group[0].kind])}: {names}"


def _last(verdict: Verdict) -> str:
    what = f"{count(verdict.audit.jobs, 'job')}, {count(verdict.audit.files, 'test file')}"
    if verdict.baseline is None:
        return f"{what}; --write-baseline FILE accepts what is found, to see only what is new"
    news = len(verdict.new) + len(verdict.changes)
    return f"{what}; " + (f"{count(news, 'new finding')}" if news else "nothing new")
