"""Compare the commands that a script ran with those of a plan: in order, argument by argument.

Both sides are lists of ``Command``. Values that depend only on the machine are normalised first.
Tests, sanity checks, installs, helpers and files are separate streams: each is compared in its own
order, and then its position relative to the others.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal

from ci_sessions.job.variables import LD_PRELOAD, OMP_NUM_THREADS
from ci_sessions.parity.recording import Command
from ci_sessions.plan.recorded import recorded_plan
from ci_sessions.plan.step import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci_sessions.plan.plan import Plan
    from ci_sessions.plan.recorded import Answers, RecordedStep

__all__ = ["ALL_STREAMS", "STREAMS", "Difference", "Field", "compare", "plan_commands"]

STREAMS = ("test", "preflight", "install", "helper", "file", "source")
"""The kinds that are compared. Probes are not: the profile answers them for both sides."""

ALL_STREAMS = (*STREAMS, "probe")

_SIMILAR = 0.5  # of the words of two commands
Field = Literal["argv", "cwd", "env", "order", "missing", "extra"]
_IGNORED_VARIABLES = frozenset({"PATH", "TERM", "PYTHONUNBUFFERED", "FORCE_COLOR"})
"""Plans always set these, for clean logs; the script sets them only sometimes."""


_IGNORED_SOURCE = re.compile(
    r"source (?:\$ROOT/|\./)?(?:\.(?:ci|jenkins)/pytorch/|\S*bin/activate$)|deactivate"
)
_FILE_TOOLS = frozenset({"ln", "cp", "mv", "rm"})
_UNTRACED_TOOLS = frozenset({"mkdir", "touch", "bash"})
"""Steps that create folders or files. Scripts also use redirection for that, unseen by traces."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between script and plan; ``script`` or ``plan`` is None if only one has it.

    ``number`` is the command's position in its stream, from 1: in the script, or in the plan if
    the script does not have it. For ``order``, the commands are the same but at another position
    relative to other streams. ``variable`` is the one that differs, for ``env``.
    """

    stream: str
    field: Field
    number: int
    script: Command | None
    plan: Command | None
    variable: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The script's lines, from the command outward."""
        return self.script.lines if self.script else ()


def plan_commands(plan: Plan, answers: Answers | None = None) -> tuple[Command, ...]:
    """Return those commands of a plan that replace the script's, as a trace would have them."""
    common, tests = recorded_plan(plan, answers)
    steps = [step for test in tests if test.is_in_script for step in test.steps]
    return tuple(
        Command(_kind(step), step.argv, step.cwd, {**common, **step.env})
        for step in steps
        if step.argv[0] not in _UNTRACED_TOOLS or step.kind not in (Kind.FILE, Kind.INSTALL)
    )


def _kind(step: RecordedStep) -> str:
    """Return a step's kind: file tools always count as "file", even as part of an install."""
    return "file" if step.argv[0] in _FILE_TOOLS else str(step.kind)


def compare(
    script: Iterable[Command], plan: Iterable[Command], streams: Sequence[str] = STREAMS
) -> tuple[Difference, ...]:
    """Return all differences, those of tests first. If there are none, the two are equal."""
    left = tuple(_normalize(command) for command in script)
    right = tuple(_normalize(command) for command in plan)
    found = [
        difference
        for stream in streams
        for difference in _compare_stream(stream, _select(left, stream), _select(right, stream))
    ]
    return tuple(found) or tuple(_out_of_order(left, right, streams))


def _select(commands: Iterable[Command], stream: str) -> list[Command]:
    return [item for item in commands if item.kind == stream and not _is_ignored_source(item)]


def _is_ignored_source(command: Command) -> bool:
    """Return whether a sourced file belongs to the script itself or to a virtual environment.

    The recorder traces into the former, and a plan sets PATH for the latter, so these are never
    on both sides.
    """
    return command.kind == "source" and _IGNORED_SOURCE.match(" ".join(command.argv)) is not None


def _compare_stream(
    stream: str, script: Sequence[Command], plan: Sequence[Command]
) -> Iterator[Difference]:
    matcher = SequenceMatcher(
        None, [item.argv for item in script], [item.argv for item in plan], autojunk=False
    )
    for _, start, end, first, last in matcher.get_opcodes():
        pairs = min(end - start, last - first)
        for offset in range(pairs):
            left, right = script[start + offset], plan[first + offset]
            yield from _compare_pair(stream, start + offset + 1, left, right)
        for index in range(start + pairs, end):
            yield Difference(stream, "missing", index + 1, script[index], None)
        for index in range(first + pairs, last):
            yield Difference(stream, "extra", index + 1, None, plan[index])


def _compare_pair(stream: str, number: int, script: Command, plan: Command) -> Iterator[Difference]:
    """Compare two commands at the same place; the environment only of tests."""
    if script.argv != plan.argv:
        yield Difference(stream, "argv", number, script, plan)
        if not _is_variant(script, plan):
            return
    if script.cwd != plan.cwd:
        yield Difference(stream, "cwd", number, script, plan)
    names = sorted({**script.env, **plan.env}) if stream == "test" else []
    for name in names:
        # None is a variable of the job that a side unsets; a missing one is as it was.
        if script.env.get(name, "\0") != plan.env.get(name, "\0"):
            yield Difference(stream, "env", number, script, plan, name)


def _is_variant(one: Command, other: Command) -> bool:
    """Return whether two different commands are one that changed, by the words they share.

    Then its folder and environment can be compared too.
    """
    return SequenceMatcher(None, one.argv, other.argv, autojunk=False).ratio() >= _SIMILAR


def _out_of_order(
    script: Sequence[Command], plan: Sequence[Command], streams: Sequence[str]
) -> Iterator[Difference]:
    """Find commands whose position relative to other streams differs. The streams are equal."""
    left, right = _numbered(script, streams), _numbered(plan, streams)
    plan_positions = _tests_before(right)
    moved_past_test = [
        (key, command)
        for (key, command), position in zip(left, _tests_before(left).values(), strict=True)
        if plan_positions[key] != position
    ]
    counterparts = dict(right)
    for (stream, number), command in moved_past_test:
        yield Difference(stream, "order", number, command, counterparts[stream, number])
    if moved_past_test:
        return
    keys = [key for key, _ in left], [key for key, _ in right]
    matcher = SequenceMatcher(None, *keys, autojunk=False)
    for tag, start, end, _, _ in matcher.get_opcodes():
        if tag in ("delete", "replace"):
            for (stream, number), command in left[start:end]:
                yield Difference(stream, "order", number, command, counterparts[stream, number])


def _tests_before(
    numbered: Iterable[tuple[tuple[str, int], Command]],
) -> dict[tuple[str, int], int]:
    """Return how many tests come before each command; 0 for the tests themselves."""
    tests, positions = 0, {}
    for (stream, number), _ in numbered:
        tests += stream == "test"
        positions[stream, number] = tests if stream != "test" else 0
    return positions


def _numbered(
    commands: Iterable[Command], streams: Sequence[str]
) -> list[tuple[tuple[str, int], Command]]:
    """Return the compared commands in order, each with its stream and its number in that."""
    counts: Counter[str] = Counter()
    found = []
    for command in commands:
        if command.kind in streams and not _is_ignored_source(command):
            counts[command.kind] += 1
            found.append(((command.kind, counts[command.kind]), command))
    return found


def _normalize(command: Command) -> Command:
    """Return a command with the values that depend on the machine replaced."""
    program, *rest = command.argv
    argv = (program.removeprefix("$ROOT/").removeprefix("./"), *rest)
    text = "\0".join(argv)
    text = _normalize_temporary(text)
    text = re.sub(r"taskset\0-c\0[0-9,-]+", "taskset\0-c\0N", text)
    cwd = _normalize_temporary(command.cwd)
    cwd = cwd.replace("$TMP", "..").replace("$ROOT/", "").replace("$ROOT", ".")
    env = {
        name: _normalize_value(name, value)
        for name, value in command.env.items()
        if name not in _IGNORED_VARIABLES
    }
    return replace(command, argv=tuple(text.split("\0")), cwd=cwd, env=env)


def _normalize_temporary(text: str) -> str:
    """Replace /tmp by $TMP in paths from mktemp."""
    return re.sub(r"(?:\$TMP|/tmp)/([\w-]+)\.RANDOM", r"$TMP/\1.RANDOM", text)


def _normalize_value(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    if name == OMP_NUM_THREADS.name:
        return "N"
    if name == "TASKSET":
        return re.sub(r"[0-9,-]+$", "N", value)
    if not name.endswith(("PATH", LD_PRELOAD.name)):
        return value
    parts = [part for part in value.split(":") if part]
    if name == LD_PRELOAD.name:
        parts = [part.rpartition("/")[2] for part in parts]
    return ":".join(parts)
