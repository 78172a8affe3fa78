"""The state of the rollout as text for people, at most 100 columns wide except for long words."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING

from ci_sessions.gate.pairs import Measure
from ci_sessions.gate.verdict import Action
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.gate.evidence import Evidence
    from ci_sessions.gate.rollout import Configuration, Rollout
    from ci_sessions.gate.statistics import Interval, Rate
    from ci_sessions.gate.verdict import Verdict

__all__ = ["describe_rollout", "targets_of"]

WIDTH = 100
_NAME = 20  # characters of a configuration's name beside its rates
_COLUMNS = (
    f"  {'config':{_NAME}} {'share':>5} {'py / shell':>14}  {'errors %':14}{'fallback %':14}"
    f"{'red py %':14}{'red sh %'}"
)
_WORD = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+""")  # of a command
_MAX_CASES = 3
_WHOLE = 9.95  # percent; from here on, without a decimal


def describe_rollout(
    rollout: Rollout,
    evidence: Mapping[str, Evidence],
    verdicts: Mapping[str, Verdict],
    commands: Mapping[str, Sequence[str]],
) -> str:
    """Return a table for each phase; rates and ratios have their 95 % intervals.

    ``commands`` are what to type next for each configuration.
    """
    lines = targets_of(rollout)
    # A file may have a configuration only for a phase that is listed; the order is the file's.
    for phase in rollout.phases:
        members = {n: e for n, e in rollout.configurations.items() if e.phase == phase}
        if not members:
            continue
        lines += ["", *_wrapped("", _phase(rollout, phase)), _COLUMNS]
        for config, entry in members.items():
            lines += _row(entry, evidence[config])
            lines += _verdict(config, entry, verdicts[config], commands[config])
            lines += _details(evidence[config])
    return "\n".join(lines)


def targets_of(rollout: Rollout) -> list[str]:
    """Return the targets as lines."""
    targets = rollout.targets
    measures = zip(Measure, (targets.time, targets.cpu, targets.memory), strict=True)
    more = ", ".join(f"{name} < +{100 * target:g} %" for name, target in measures)
    rates = f"errors < {100 * targets.errors:g} %, of fallback < {100 * targets.fallback:g} %"
    return [f"targets: next share x upper 95 % limit of {rates};", f"         {more} in pairs"]


def _phase(rollout: Rollout, phase: str) -> str:
    if phase in rollout.open_phases:
        return f"phase {phase} (open)"
    before = rollout.unfinished_before(phase)
    when = f"opens when {', '.join(before)} reached 100 %" if before else "can be opened now"
    return f"phase {phase} (closed, {when})"


def _row(entry: Configuration, found: Evidence) -> list[str]:
    runs = f"{found.attempts:,} / {len(found.shell):,}"
    rates = (
        found.error_rate,
        found.fallback_rate,
        found.python_red_rate,
        found.shell_red_rate,
    )
    cells = "".join(f"{_rate(rate):14}" for rate in rates).rstrip()
    is_long = len(found.config) > _NAME
    name = "" if is_long else found.config
    row = f"  {name:{_NAME}} {entry.share:>3} % {runs:>14}  {cells}"
    return [f"  {found.config}", row] if is_long else [row]


def _verdict(
    config: str, entry: Configuration, verdict: Verdict, commands: Sequence[str]
) -> list[str]:
    where = {
        Action.HOLD: f" at {entry.share} %",
        Action.ROLL_BACK: f" to {verdict.share} %",
        Action.PROMOTE: "",
        Action.DONE: "",
    }
    lines = _wrapped("verdict", f"{verdict.action}{where[verdict.action]}: {verdict.reason}")
    lines += _wrapped("runs", _runs(verdict))
    for number, command in enumerate(commands):
        lines += _command("" if number else "next", command)
    return lines + _acknowledgement(config, verdict)


def _acknowledgement(config: str, verdict: Verdict) -> list[str]:
    """Return what to add to the rollout file if the cause of a hold is known."""
    if verdict.action is not Action.HOLD or not (verdict.case or verdict.run):
        return []
    key, value = ("case", verdict.case) if verdict.case else ("run", verdict.run)
    fields = {"config": config, key: value, "reason": "…"}
    toml = "\n".join(f"            {name} = {_toml(text)}" for name, text in fields.items())
    return ["    known?  add to the rollout file:", "            [[acknowledged]]", toml]


def _toml(text: str) -> str:
    """Return a string as TOML has it, which is almost as JSON has it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _runs(verdict: Verdict) -> str:
    """Return on which runs a verdict rests."""
    if not verdict.runs:
        return "none"
    if len(verdict.runs) == 1:
        return verdict.runs[0]
    return f"{len(verdict.runs):,}, {verdict.runs[0]} to {verdict.runs[-1]} (--json lists all)"


def _details(found: Evidence) -> list[str]:
    lines: list[str] = []
    if found.shadows:
        failed = len(found.shadows.with_shadow(lambda verdict: verdict.is_failure))
        text = f"{count(len(found.shadows), 'comparison')}, {failed} did not match the script"
        lines += _wrapped("shadow", text)
    if found.pairs:
        differing = len([pair for pair in found.pairs if pair.difference])
        parts = [f"{len(found.pairs)}, {differing} differ"]
        parts += [f"{name} {_measure(found, name)}" for name in Measure if found.ratios(name)]
        lines += _wrapped("pairs", " · ".join(parts))
    flaky = found.flaky
    for case in flaky[:_MAX_CASES]:
        text = f"{case.name}: failed in Python only {len(case.python)}x, in the shell only"
        text += f" {len(case.shell)}x"
        text += f"; acknowledged: {case.acknowledged}" if case.acknowledged else ""
        lines += _wrapped("flaky", text)
    if len(flaky) > _MAX_CASES:
        lines += _wrapped("flaky", f"… and {len(flaky) - _MAX_CASES} more (--json lists all)")
    return lines


def _rate(rate: Rate) -> str:
    """Return a rate and its interval, in percent."""
    if rate.total == 0:
        return "-"
    return f"{_percent(rate.value)} {_limits(rate.interval)}"


def _limits(limits: Interval) -> str:
    return f"({_percent(limits.low)}–{_percent(limits.high)})"  # noqa: RUF001


def _percent(fraction: float) -> str:
    percent = 100 * fraction
    return f"{percent:.0f}" if percent >= _WHOLE else f"{percent:.1f}"


def _measure(found: Evidence, measure: Measure) -> str:
    limits = found.excess_interval(measure)
    value = found.excess(measure) or 0.0
    return f"{100 * value:+.1f} % ({100 * limits.low:+.1f}…{100 * limits.high:+.1f})"


def _wrapped(label: str, text: str) -> list[str]:
    """Return a text with a label before it, at most WIDTH wide; long words are kept whole."""
    first = f"    {label:8}" if label else ""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _command(label: str, command: str) -> list[str]:
    """Return a command that can be pasted, continued with backslashes where it is too wide."""
    prefix = f"    {label:8}"
    if len(prefix) + len(command) <= WIDTH or "$'" in command:  # that may contain a quote
        return [prefix + command]
    lines = [""]
    for word in _WORD.findall(command):
        if len(lines[-1]) + len(word) > WIDTH - 17 and lines[-1]:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    continued = [f"{line} \\" for line in lines[:-1]] + lines[-1:]
    return [prefix + continued[0], *(" " * 14 + line for line in continued[1:])]
