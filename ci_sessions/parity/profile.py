"""The simulated machine on which a script is traced: the answers to its commands, and its files.

``resources/profile.toml`` describes an ordinary Linux runner of PyTorch's CI; plans use answers
from the same file. Other machines can be described in other files. The cache key of a recording
includes the profile.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ci_sessions.errors import InputError
from ci_sessions.plan.recorded import Answers, parse_answers, read_profile_file
from ci_sessions.toml import Fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Answer", "Profile", "read_profile"]

_STRING_KEYS = ("command", "output", "error", "writes")
_MACHINE_KEYS = ("functions", "missing", "silent", "folders", "built", "moved", "pins")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command prints, and its exit code. ``*`` in ``command`` is a wildcard.

    ``error`` goes to standard error. ``where`` restricts the answer to jobs with variables that
    match these patterns. ``writes`` is an option whose value is a file that the command writes.
    """

    command: str
    output: str = ""
    error: str = ""
    code: int = 0
    where: Mapping[str, str] = field(default_factory=dict)
    writes: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A machine. Paths may start with $ROOT, $SITE, $HOME, $TMP or $SHIMS.

    ``functions`` of the checkout are recorded by name, without tracing into them. ``missing``
    programs are not installed; ``silent`` ones get an answer but are not recorded. ``moved``
    absolute paths are redirected into the temporary folder. ``built`` are folders that a build
    fills. ``plan_answers`` are the answers for plans on the same machine.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    built: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    pin: str = "{}"
    answers: tuple[Answer, ...] = ()
    plan_answers: Answers = field(default_factory=Answers)
    digest: str = ""

    def variables(self, places: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that a runner sets for each job."""
        return {name: self.locate(value, places) for name, value in self.environment.items()}

    def locate(self, path: str, places: Mapping[str, str]) -> str:
        """Return the actual path, during a trace, of a path in the profile."""
        for name in self.moved:
            if path == name or path.startswith(f"{name}/"):
                return f"{places['tmp'].rpartition('/')[0]}/abs{path}"
        return expand_places(path, places)

    def to_bash(self, places: Mapping[str, str]) -> str:
        """Return definitions of ``__ci_setup`` and ``__ci_answer``, which the recorder calls."""
        names = {"opaque": self.functions, "missing": self.missing, "silent": self.silent}
        sets = (f"__ci_{name}[{shlex.quote(item)}]=1" for name in names for item in names[name])
        lines = [
            "declare -gA __ci_missing=()",
            *(f"__ci_{name}={shlex.quote(path)}" for name, path in places.items()),
            "__ci_setup() {",
            "  :",
            *(f"  {line}" for line in sets),
            "}",
            "__ci_answer() {",
            '  local __ci_line="$*"',
            *(_to_bash(answer, places) for answer in self.answers),
            '  __ci_tool "$@"',
            "}",
        ]
        return "\n".join(lines) + "\n"


def _to_bash(answer: Answer, places: Mapping[str, str]) -> str:
    test = f"$__ci_line == {_pattern(answer.command)}"
    for name, value in answer.where.items():
        test += f" && ${{{name}-}} == {_pattern(value)}"
    body = ""
    for text, target in ((answer.output, ""), (answer.error, " >&2")):
        if text:
            body += f"builtin printf '%s\\n' {shlex.quote(expand_places(text, places))}{target}; "
    if answer.writes:
        body += f'__ci_write {shlex.quote(answer.writes)} "$@"; '
    return f"  if [[ {test} ]]; then {body}return {answer.code}; fi"


def _pattern(glob: str) -> str:
    """Return a pattern for ``[[ == ]]`` in which only ``*`` is special."""
    return "*".join(shlex.quote(part) if part else "" for part in glob.split("*"))


def expand_places(text: str, places: Mapping[str, str]) -> str:
    """Replace ``$ROOT``, ``$SITE`` etc. by their actual paths."""
    for name, path in places.items():
        text = text.replace(f"${name.upper()}", path)
    return text


def read_profile(path: Path | None = None) -> Profile:
    """Read a profile, by default the built-in one. Raises InputError with all of its errors."""
    file = read_profile_file(path)
    problems: list[str] = []
    top = Fields(file.data, problems)
    environment, files, machine = map(top.table, ("environment", "files", "machine"))
    machine.only(*_MACHINE_KEYS, "pin")
    answers = parse_answers(file)
    built = {path for paths in answers.executables.values() for path in paths}
    profile = Profile(
        environment={name: environment.text(name) for name in environment.data},
        files={
            **dict.fromkeys(sorted(built), ""),
            **{name: files.text(name) for name in files.data},
        },
        **{key: machine.strings(key, ()) for key in _MACHINE_KEYS},
        pin=machine.string("pin", "{}"),
        answers=tuple(_parse_answer(answer) for answer in top.tables("answer")),
        plan_answers=replace(answers, has_stand_ins=True),
        digest=hashlib.sha256(file.text.encode()).hexdigest(),
    )
    if problems:
        raise InputError(*(f"{file.name}: {problem}" for problem in problems))
    return profile


def _parse_answer(answer: Fields) -> Answer:
    answer.only(*_STRING_KEYS, "code", "where")
    where = answer.table("where")
    return Answer(
        command=answer.string("command"),
        **{key: answer.text(key, "") for key in _STRING_KEYS if key != "command"},
        code=answer.integer("code", 0, 255, 0),
        where={name: where.text(name) for name in where.data},
    )
