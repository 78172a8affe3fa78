"""Compare what a script ran with what a plan says: in order, word by word.

Both sides are lists of ``Command``; what depends on the machine alone is made alike first. Tests,
sanity checks, installs, helpers and files are compared apart, each in its own order, and then
where in the order of tests each of the others stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal

from ci_sessions.parity.recording import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ci_sessions.plan import Plan

__all__ = ["EVERYTHING", "STREAMS", "Difference", "Field", "compare", "plan_commands"]

STREAMS = ("test", "preflight", "install", "helper", "file")
"""The kinds that are compared. Probes and sourced files leave no trace but in what follows them."""

EVERYTHING = (*STREAMS, "source", "probe")

Field = Literal["argv", "cwd", "env", "order", "missing", "extra"]
_OURS = frozenset({"PATH", "TERM", "PYTHONUNBUFFERED", "FORCE_COLOR"})
"""Set here for clean logs, and by the script only sometimes."""


_FILE_TOOLS = frozenset({"ln", "cp", "mv", "rm"})
_UNSEEN = frozenset({"mkdir", "touch", "bash"})
"""What makes room or writes a line: scripts do that by redirections too, which no trace shows."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where script and plan part. ``script`` or ``plan`` is None where the other stands alone.

    ``number`` is the command's place in its stream, from 1: the script's, or the plan's where the
    script has none. For ``order``, the commands are the same, and stand elsewhere among the tests.
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


def plan_commands(plan: Plan) -> tuple[Command, ...]:
    """Return the commands of a plan, answered as a traced script is."""
    line = plan.trace_line({})
    common: Mapping[str, str] = line["env"]  # type: ignore[assignment]
    tests: list[dict[str, object]] = line["tests"]  # type: ignore[assignment]
    return tuple(
        Command(_kind(step), tuple(step["argv"]), step["cwd"], {**common, **step["env"]})
        for test in tests
        if test["origin"] == "test.sh" and not test["skipped"]
        for step in test["steps"]  # type: ignore[attr-defined]
        if step["argv"][0] not in _UNSEEN or step["kind"] not in ("file", "install")
    )


def _kind(step: Mapping[str, Any]) -> str:
    """Return a step's kind; one that moves files is that, also where it serves an install."""
    return "file" if step["argv"][0] in _FILE_TOOLS else str(step["kind"])


def compare(
    script: Iterable[Command], plan: Iterable[Command], streams: Sequence[str] = STREAMS
) -> tuple[Difference, ...]:
    """Return all differences, those of tests first; none means that the two are equal."""
    ours = tuple(_alike(command) for command in script)
    theirs = tuple(_alike(command) for command in plan)
    found = [
        difference
        for stream in streams
        for difference in _compare_stream(stream, _of(ours, stream), _of(theirs, stream))
    ]
    return tuple(found) or tuple(_misplaced(ours, theirs, streams))


def _of(commands: Iterable[Command], stream: str) -> list[Command]:
    return [command for command in commands if command.kind == stream]


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
    """Find commands of the other streams that stand before another test than in the plan."""
    for stream in streams[1:]:
        pairs = zip(_places(script, stream), _places(plan, stream), strict=True)
        for number, ((before, ours), (after, theirs)) in enumerate(pairs, 1):
            if before != after:
                yield Difference(stream, "order", number, ours, theirs)


def _places(commands: Iterable[Command], stream: str) -> Iterator[tuple[int, Command]]:
    tests = 0
    for command in commands:
        tests += command.kind == "test"
        if command.kind == stream:
            yield tests, command


def _alike(command: Command) -> Command:
    """Return a command without what depends on the machine alone."""
    program, *rest = command.argv
    argv = (program.removeprefix("$ROOT/").removeprefix("./"), *rest)
    text = "\0".join(argv)
    text = _random(text)
    text = re.sub(r"taskset\0-c\0[0-9,-]+", "taskset\0-c\0N", text)
    cwd = _random(command.cwd).replace("$TMP", "..").replace("$ROOT/", "").replace("$ROOT", ".")
    env = {
        name: _value(name, value)
        for name, value in command.env.items()
        if name not in _OURS and value is not None
    }
    return replace(command, argv=tuple(text.split("\0")), cwd=cwd, env=env)


def _random(text: str) -> str:
    """Return a text in which a scratch folder has one name, wherever mktemp made it."""
    return re.sub(r"(?:\$TMP|/tmp)/([\w-]+)\.RANDOM", r"$TMP/\1.RANDOM", text)


def _value(name: str, value: str) -> str:
    if name == "OMP_NUM_THREADS":
        return "N"
    if name == "TASKSET":
        return re.sub(r"[0-9,-]+$", "N", value)
    parts = [part for part in value.split(":") if part]
    if name == "LD_PRELOAD":
        parts = [part.rpartition("/")[2] for part in parts]
    return ":".join(parts)
