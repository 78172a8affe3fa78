"""Compare what a script ran with what a plan says: in order, word by word.

Both sides are lists of ``Command``; what depends on the machine alone is normalised first. Tests,
sanity checks, installs, helpers and files are compared apart, each in its own order, and then
where in the order of tests each of the others stands.
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

__all__ = ["EVERYTHING", "STREAMS", "Difference", "Field", "compare", "plan_commands"]

STREAMS = ("test", "preflight", "install", "helper", "file", "source")
"""The kinds that are compared. What probes answer, the profile says on both sides."""

EVERYTHING = (*STREAMS, "probe")

Field = Literal["argv", "cwd", "env", "order", "missing", "extra"]
_OURS = frozenset({"PATH", "TERM", "PYTHONUNBUFFERED", "FORCE_COLOR"})
"""Set here for clean logs, and by the script only sometimes."""


_OWN_FILE = re.compile(
    r"source (?:\$ROOT/|\./)?(?:\.(?:ci|jenkins)/pytorch/|\S*bin/activate$)|deactivate"
)
_FILE_TOOLS = frozenset({"ln", "cp", "mv", "rm"})
_UNSEEN = frozenset({"mkdir", "touch", "bash"})
"""What makes a folder or writes a line: scripts also redirect for that, which no trace shows."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where script and plan part. ``script`` or ``plan`` is None where the other stands alone.

    ``number`` is the command's place in its stream, from 1: the script's, or the plan's where the
    script has none. For ``order``, the commands are the same, and stand elsewhere among the others.
    """

    stream: str
    field: Field
    number: int
    script: Command | None
    plan: Command | None

    @property
    def lines(self) -> tuple[str, ...]:
        """The script's own lines, from the command outward."""
        return self.script.lines if self.script else ()


def plan_commands(plan: Plan, answers: Answers | None = None) -> tuple[Command, ...]:
    """Return the commands of a plan that stand for the script's, answered as a traced script is."""
    common, tests = recorded_plan(plan, answers)
    rows = [row for test in tests if test.is_of_script for row in test.steps]
    return tuple(
        Command(_kind(row), row.argv, row.cwd, {**common, **row.env})
        for row in rows
        if row.argv[0] not in _UNSEEN or row.kind not in (Kind.FILE, Kind.INSTALL)
    )


def _kind(row: RecordedStep) -> str:
    """Return a step's kind; one that moves files is that, also where it serves an install."""
    return "file" if row.argv[0] in _FILE_TOOLS else str(row.kind)


def compare(
    script: Iterable[Command], plan: Iterable[Command], streams: Sequence[str] = STREAMS
) -> tuple[Difference, ...]:
    """Return all differences, those of tests first; none means that the two are equal."""
    ours = tuple(_normalized(command) for command in script)
    theirs = tuple(_normalized(command) for command in plan)
    found = [
        difference
        for stream in streams
        for difference in _compare_stream(stream, _of(ours, stream), _of(theirs, stream))
    ]
    return tuple(found) or tuple(_misplaced(ours, theirs, streams))


def _of(commands: Iterable[Command], stream: str) -> list[Command]:
    return [one for one in commands if one.kind == stream and not _is_own_file(one)]


def _is_own_file(command: Command) -> bool:
    """Tell whether a sourced file is the script's own, or a virtual environment's.

    The recorder follows the one and a plan sets PATH for the other, so neither is on both sides.
    """
    return command.kind == "source" and _OWN_FILE.match(" ".join(command.argv)) is not None


def _compare_stream(
    stream: str, script: Sequence[Command], plan: Sequence[Command]
) -> Iterator[Difference]:
    matcher = SequenceMatcher(
        None, [item.argv for item in script], [item.argv for item in plan], autojunk=False
    )
    for tag, start, end, first, last in matcher.get_opcodes():
        pairs = min(end - start, last - first)
        for step in range(pairs):
            ours, theirs = script[start + step], plan[first + step]
            number = start + step + 1
            if tag == "replace":
                yield Difference(stream, "argv", number, ours, theirs)
                continue
            if ours.cwd != theirs.cwd:
                yield Difference(stream, "cwd", number, ours, theirs)
            if stream == "test" and ours.env != theirs.env:
                yield Difference(stream, "env", number, ours, theirs)
        for at in range(start + pairs, end):
            yield Difference(stream, "missing", at + 1, script[at], None)
        for at in range(first + pairs, last):
            yield Difference(stream, "extra", at + 1, None, plan[at])


def _misplaced(
    script: Sequence[Command], plan: Sequence[Command], streams: Sequence[str]
) -> Iterator[Difference]:
    """Find what stands elsewhere among the commands of other streams; each stream is equal."""
    ours, theirs = _numbered(script, streams), _numbered(plan, streams)
    places = _after_tests(theirs)
    past_a_test = [
        (key, command)
        for (key, command), place in zip(ours, _after_tests(ours).values(), strict=True)
        if places[key] != place
    ]
    where = dict(theirs)
    for (stream, number), command in past_a_test:
        yield Difference(stream, "order", number, command, where[stream, number])
    if past_a_test:
        return
    keys = [key for key, _ in ours], [key for key, _ in theirs]
    matcher = SequenceMatcher(None, *keys, autojunk=False)
    for tag, start, end, _, _ in matcher.get_opcodes():
        if tag in ("delete", "replace"):
            for (stream, number), command in ours[start:end]:
                yield Difference(stream, "order", number, command, where[stream, number])


def _after_tests(numbered: Iterable[tuple[tuple[str, int], Command]]) -> dict[tuple[str, int], int]:
    """Return after how many tests each command stands; a test itself stands nowhere else."""
    tests, places = 0, {}
    for (stream, number), _ in numbered:
        tests += stream == "test"
        places[stream, number] = tests if stream != "test" else 0
    return places


def _numbered(
    commands: Iterable[Command], streams: Sequence[str]
) -> list[tuple[tuple[str, int], Command]]:
    """Return the compared commands in their order, each with its stream and number there."""
    counts: Counter[str] = Counter()
    found = []
    for command in commands:
        if command.kind in streams and not _is_own_file(command):
            counts[command.kind] += 1
            found.append(((command.kind, counts[command.kind]), command))
    return found


def _normalized(command: Command) -> Command:
    """Return a command without what depends on the machine alone."""
    program, *rest = command.argv
    argv = (program.removeprefix("$ROOT/").removeprefix("./"), *rest)
    text = "\0".join(argv)
    text = _random(text)
    text = re.sub(r"taskset\0-c\0[0-9,-]+", "taskset\0-c\0N", text)
    cwd = _random(command.cwd).replace("$TMP", "..").replace("$ROOT/", "").replace("$ROOT", ".")
    env = {name: _value(name, v) for name, v in command.env.items() if name not in _OURS}
    return replace(command, argv=tuple(text.split("\0")), cwd=cwd, env=env)


def _random(text: str) -> str:
    """Return a text in which a scratch folder has one name, wherever mktemp made it."""
    return re.sub(r"(?:\$TMP|/tmp)/([\w-]+)\.RANDOM", r"$TMP/\1.RANDOM", text)


def _value(name: str, value: str | None) -> str | None:
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
