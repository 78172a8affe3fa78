"""The machine that a traced script believes to run on: what it is told, what it finds there.

``resources/profile.toml`` is a plain Linux runner of PyTorch's fleet; plans are answered from the
same file. Another file describes another machine, and is part of what a recording's cache key
covers.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InputError
from ci_sessions.plan.recorded import Answers, answers_in, read_profile_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Answer", "Profile", "read_profile"]

_TEXTS = ("command", "output", "error", "writes")
_MACHINE = ("functions", "missing", "silent", "folders", "moved", "pins")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command prints, and its exit code. ``*`` in ``command`` stands for anything.

    ``error`` goes to standard error. ``where`` limits the answer to values of variables that fit
    the patterns. ``writes`` is the option whose value is a file that the command writes.
    """

    command: str
    output: str = ""
    error: str = ""
    code: int = 0
    where: Mapping[str, str] = field(default_factory=dict)
    writes: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A machine. Paths may begin with a place: $ROOT, $SITE, $HOME, $TMP or $SHIMS.

    ``functions`` of the checkout are recorded by name, not followed. ``missing`` programs are not
    installed; ``silent`` ones are answered and leave no record. ``moved`` absolute paths lie in the
    throwaway folder instead. ``plan_answers`` are what a plan is told of the same machine.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    pin: str = "{}"
    answers: tuple[Answer, ...] = ()
    plan_answers: Answers = field(default_factory=Answers)
    digest: str = ""

    def variables(self, places: Mapping[str, str]) -> dict[str, str]:
        """Return what a runner sets for each job."""
        return {name: self.where(text, places) for name, text in self.environment.items()}

    def where(self, path: str, places: Mapping[str, str]) -> str:
        """Return where a path of the profile lies for a trace; other texts stay as they are."""
        for name in self.moved:
            if path == name or path.startswith(f"{name}/"):
                return f"{places['tmp'].rpartition('/')[0]}/abs{path}"
        return put_places(path, places)

    def as_bash(self, places: Mapping[str, str]) -> str:
        """Return the functions ``__ci_setup`` and ``__ci_answer`` that the recorder calls."""
        names = {"opaque": self.functions, "missing": self.missing, "silent": self.silent}
        sets = (f"__ci_{name}[{shlex.quote(word)}]=1" for name in names for word in names[name])
        lines = [
            "declare -gA __ci_missing=()",
            *(f"__ci_{name}={shlex.quote(path)}" for name, path in places.items()),
            "__ci_setup() {",
            "  :",
            *(f"  {line}" for line in sets),
            "}",
            "__ci_answer() {",
            '  local __ci_line="$*"',
            *(_as_bash(answer, places) for answer in self.answers),
            '  __ci_tool "$@"',
            "}",
        ]
        return "\n".join(lines) + "\n"


def _as_bash(answer: Answer, places: Mapping[str, str]) -> str:
    test = f"$__ci_line == {_pattern(answer.command)}"
    for name, value in answer.where.items():
        test += f" && ${{{name}-}} == {_pattern(value)}"
    shown = ""
    for text, target in ((answer.output, ""), (answer.error, " >&2")):
        if text:
            shown += f"builtin printf '%s\\n' {shlex.quote(put_places(text, places))}{target}; "
    if answer.writes:
        shown += f'__ci_write {shlex.quote(answer.writes)} "$@"; '
    return f"  if [[ {test} ]]; then {shown}return {answer.code}; fi"


def _pattern(glob: str) -> str:
    """Return a pattern for ``[[ == ]]`` in which only ``*`` is special."""
    return "*".join(shlex.quote(part) if part else "" for part in glob.split("*"))


def put_places(text: str, places: Mapping[str, str]) -> str:
    """Replace ``$ROOT`` and the like by where they are."""
    for name, path in places.items():
        text = text.replace(f"${name.upper()}", path)
    return text


def read_profile(path: Path | None = None) -> Profile:
    """Read a profile, or the one that is shipped. Raises InputError with all that is wrong."""
    file = read_profile_file(path)
    data = file.data
    faults = [f"{file.name}: {fault}" for fault in _faults(data)]
    if faults:
        raise InputError(*faults)
    machine = data.get("machine", {})
    plan_answers = answers_in(file)
    built = {path for paths in plan_answers.executables.values() for path in paths}
    return Profile(
        environment=data.get("environment", {}),
        files={**dict.fromkeys(sorted(built), ""), **data.get("files", {})},
        **{key: tuple(machine.get(key, ())) for key in _MACHINE},
        pin=machine.get("pin", "{}"),
        answers=tuple(Answer(**answer) for answer in data.get("answer", ())),
        plan_answers=plan_answers,
        digest=hashlib.sha256(file.text.encode()).hexdigest(),
    )


def _faults(data: dict[str, Any]) -> list[str]:
    machine = data.get("machine", {})
    faults = [
        f"machine.{key} is unknown: choose from {', '.join((*_MACHINE, 'pin'))}."
        for key in machine
        if key not in (*_MACHINE, "pin")
    ]
    faults += [
        f"machine.{key} is {machine[key]!r}: give a list of texts."
        for key in _MACHINE
        if key in machine and not _is_texts(machine[key])
    ]
    known: dict[str, type] = {**dict.fromkeys(_TEXTS, str), "code": int, "where": dict}
    for number, answer in enumerate(data.get("answer", ()), 1):
        wrong = [key for key, value in answer.items() if type(value) is not known.get(key)]
        if "command" not in answer or wrong:
            what = ", ".join(wrong) or "no command"
            faults.append(
                f"answer {number} has {what}: give command, output, error, code, where, writes."
            )
    return faults


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
