"""The recording of a traced script: commands in order, with cwd, environment and source lines."""

from __future__ import annotations

import enum
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ci_sessions.parity.order import PID_LIMIT, parse_steps, sort_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_sessions.parity.order import Step

__all__ = [
    "Command",
    "Fault",
    "FaultKind",
    "Note",
    "NoteKind",
    "Recording",
    "classify",
    "from_dict",
    "read_log",
]

_SHELL_VARIABLES = {"PWD", "OLDPWD", "SHLVL", "_", "BASH_ENV"}


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``env`` has the variables that changed since the job's start; None is unset.

    ``cwd`` is relative to the checkout, or starts with a variable such as $TMP. ``lines`` is the
    call stack as ``file:line``, innermost first.
    """

    kind: str
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str | None]
    lines: tuple[str, ...] = ()


class NoteKind(enum.Enum):
    """The kinds of notes. The values are those that recorder.bash writes."""

    UNTRACEABLE = "untraceable"  # from here on, commands may be missing
    UNKNOWN = "unknown"  # the script read a variable whose value is known only at run time
    ASSUMED = "assumed"  # something that the checkout does not have was assumed to exist
    END = "end"  # where the script ended


@dataclass(frozen=True, slots=True)
class Note:
    """Something other than a command that happened during a trace."""

    kind: NoteKind
    text: str
    lines: tuple[str, ...] = ()


class FaultKind(enum.Enum):
    """Why a script could not be traced to its end."""

    UNTRACEABLE = "untraceable"  # it does something that the recorder cannot see
    FAILED = "failed"  # it failed, given the profile's answers
    TIMED_OUT = "timed-out"
    LOST = "lost"  # a command was lost, or the tracing process died
    NO_END = "no-end"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a recording is incomplete: a kind and a message. ``lines`` is the call stack."""

    kind: FaultKind
    text: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """A traced job. It is complete unless it has a ``fault``. ``seconds`` is wall time.

    ``is_ordered``: whether the order of the commands is certain.
    """

    exit_code: int
    commands: tuple[Command, ...]
    notes: tuple[Note, ...] = ()
    fault: Fault | None = None
    seconds: float = 0.0
    is_ordered: bool = True

    @property
    def is_repeatable(self) -> bool:
        """Return whether another trace would have the same result, independent of machine load."""
        repeatable = (FaultKind.UNTRACEABLE, FaultKind.FAILED)
        return self.is_ordered and (self.fault is None or self.fault.kind in repeatable)

    def to_dict(self) -> dict[str, Any]:
        """Return the recording as JSON values."""
        fault = self.fault and {**asdict(self.fault), "kind": self.fault.kind.value}
        notes = [{**asdict(note), "kind": note.kind.value} for note in self.notes]
        commands = [asdict(command) for command in self.commands]
        return {
            "exit_code": self.exit_code,
            "commands": commands,
            "notes": notes,
            "fault": fault,
            "seconds": self.seconds,
            "is_ordered": self.is_ordered,
        }


def from_dict(data: Mapping[str, Any]) -> Recording:
    """Read a recording from ``Recording.to_dict``."""
    commands = (
        Command(item["kind"], tuple(item["argv"]), item["cwd"], item["env"], tuple(item["lines"]))
        for item in data["commands"]
    )
    notes = (
        Note(NoteKind(item["kind"]), item["text"], tuple(item["lines"])) for item in data["notes"]
    )
    fault = data["fault"] and Fault(
        FaultKind(data["fault"]["kind"]), data["fault"]["text"], tuple(data["fault"]["lines"])
    )
    return Recording(
        data["exit_code"],
        tuple(commands),
        tuple(notes),
        fault,
        data["seconds"],
        data["is_ordered"],
    )


@dataclass(frozen=True, slots=True)
class _Record:
    order: tuple[Step, ...]  # for each enclosing shell, outermost first
    kind: str
    lines: tuple[str, ...]
    cwd: str
    argv: tuple[str, ...]
    exports: str


def read_log(
    texts: Iterable[str],
    start: Mapping[str, str],
    places: Mapping[str, str],
    pid_max: int = PID_LIMIT,
) -> tuple[tuple[Command, ...], tuple[Note, ...], bool]:
    """Read the recorder's log files, which contain records of NUL-terminated fields.

    Return the commands and notes in order, and whether that order is certain.
    """
    paths = _PathNames(places)
    found = [record for text in texts for record in _split(text)]
    key, is_certain = sort_key((record.order for record in found), pid_max)
    records = sorted(found, key=lambda record: key(record.order))
    commands, notes = [], []
    for record in records:
        lines = tuple(paths.file(line) for line in record.lines)
        if record.kind != "command":
            notes.append(Note(NoteKind(record.kind), paths.text(" ".join(record.argv)), lines))
            continue
        program, *rest = map(paths.text, record.argv)
        argv = (program.removeprefix("$SHIMS/"), *rest)  # `command -v` returns such paths
        cwd = paths.folder(record.cwd)
        env = _changes(record.exports, start)
        env = {k: None if v is None else paths.text(v) for k, v in env.items()}
        argv, env = _without_env(argv, env)
        commands.append(Command(classify(argv), argv, cwd, env, lines))
    return tuple(commands), tuple(notes), is_certain


def _without_env(
    argv: tuple[str, ...], env: dict[str, str | None]
) -> tuple[tuple[str, ...], dict[str, str | None]]:
    """Return ``env NAME=VALUE command`` as the command with that environment."""
    if argv[0] not in ("env", "/usr/bin/env") or argv[1:2] in [("-i",), ("-",), ("-S",)]:
        return argv, env
    index, env = 1, dict(env)
    while index < len(argv) - 1:
        name, equals, value = argv[index].partition("=")
        if argv[index] == "-u":
            env[argv[index + 1]] = None
            index += 1
        elif equals and name.isidentifier():
            env[name] = value
        else:
            break
        index += 1
    return argv[index:] or argv, env


def _split(text: str) -> Iterable[_Record]:
    fields = text.split("\0")
    start = 0
    while start + 6 < len(fields):
        kind, chain, number, pid, lines, cwd, count = fields[start : start + 7]
        end = start + 7 + int(count)
        yield _Record(
            parse_steps(f"{chain} {number}:{pid}"),
            kind,
            tuple(lines.split("\n")[:-1]),
            cwd,
            tuple(fields[start + 7 : end]),
            fields[end],
        )
        start = end + 1


_EXPORT = re.compile(
    r"""declare -[b-zB-Z]*x[b-zB-Z]* (\w+)(?:=("(?:[^"\\]|\\.)*"|\$'(?:[^'\\]|\\.)*'|\S*))?\n""",
    re.DOTALL,
)
_ESCAPES = dict(zip(b"ntEerabfv", b"\n\t\x1b\x1b\r\a\b\f\v", strict=True))


@lru_cache(maxsize=4096)
def _exports(text: str) -> dict[str, str]:
    return {match[1]: _unquote(match[2]) for match in _EXPORT.finditer(text) if match[2]}


def _unquote(word: str) -> str:
    """Unquote a word from ``export -p``. Bytes beyond ASCII may be octal escapes."""
    if word.startswith("$'"):
        data = re.sub(
            rb"\\(\d{3}|.)",
            lambda m: bytes([int(m[1], 8) if len(m[1]) > 1 else _ESCAPES.get(m[1][0], m[1][0])]),
            word[2:-1].encode(errors="surrogateescape"),
            flags=re.DOTALL,
        )
        return data.decode(errors="surrogateescape")
    if word.startswith('"'):
        return re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL)
    return word


def _changes(text: str, start: Mapping[str, str]) -> dict[str, str | None]:
    now = _exports(text)
    changed: dict[str, str | None] = {
        name: value
        for name, value in now.items()
        if name not in _SHELL_VARIABLES and start.get(name) != value
    }
    removed = (name for name in start if name not in now and name not in _SHELL_VARIABLES)
    changed.update((name, None) for name in removed)
    return changed


class _PathNames:
    """Replaces paths in the temporary folder by their variables, such as ``$ROOT``."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self.base = places["tmp"].rpartition("/")[0]
        self.root = places["root"]
        by_length = sorted(places.items(), key=lambda item: -len(item[1]))
        self.places = [(path, f"${name.upper()}") for name, path in by_length]

    def text(self, word: str) -> str:
        if self.base not in word:
            return word
        for path, token in self.places:
            word = word.replace(path, token)
        return word.replace(f"{self.base}/abs", "")

    def folder(self, path: str) -> str:
        if path == self.root:
            return "."
        return self.text(path).removeprefix("$ROOT/")

    def file(self, line: str) -> str:
        return self.text(line).removeprefix("$ROOT/").removeprefix("./")


_PYTHON = r"(?:python[\d.]*|\$SHIMS/python[\d.]*) "
_PROBES = (
    r"import site; print\(site\.getsitepackages\(\)\[0\]\)",
    r"from distutils\.sysconfig import get_python_lib; print\(get_python_lib\(\)\)",
    r"from sysconfig import get_path; print\(get_path\([\"']purelib[\"']\)\)",
    r"import os; print\((?:min|max)\(os\.sched_getaffinity\(0\)\)\)",
    r"import numba\.cuda",
    r"import os;\s*import numba\.cuda; print\(os\.path\.dirname\(numba\.cuda\.__file__\)\)",
    r"import pandas; print\(pandas\.__version__\)",
    r"import sys; print\(sys\.executable\)",
    r"import sys; print\(f'\{sys\.version_info\.major\}\.\{sys\.version_info\.minor\}'\)",
)
"""Python programs that scripts use as queries, in full: anything longer counts as a test."""

_RULES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.DOTALL))
    for kind, pattern in (
        ("source", r"(?:source|\.) |deactivate$"),
        ("probe", r"(?:chown|true)(?: |$)|git status(?: |$)|git (?:merge-base|rev-parse) "),
        ("probe", r"git config --global --add safe\.directory \S+$"),
        ("probe", r"(?:nvidia-smi|rocminfo|rocm-smi)(?: |$)|timeout \d+ xpu-smi discovery$"),
        ("probe", r"kill(?: |$)|clang --print-file-name=\S+$|s?ccache --(?:show|zero)-stats$"),
        ("probe", _PYTHON + rf"-c (?:{'|'.join(_PROBES)})$"),
        ("file", r"(?:ln|cp|mv|rm|mkdir|chmod|patch|tar|unzip|zip|sed|sort|tee)(?: |$)"),
        ("install", r"(?:pip[\d.]*|conda|mamba|uv|apt|apt-get|yum|dnf|npm|curl|wget|git)(?: |$)"),
        ("install", _PYTHON + r"-m ?(?:pip|venv|build)(?: |$)"),
        ("install", _PYTHON + r"\S*setup\.py "),
        ("install", _PYTHON + r"\S*tests_setup\.py "),
        ("preflight", _PYTHON + r"-c import os, torch, shutil; shutil\.copytree\("),
        ("preflight", _PYTHON + r"-c import torch; (?:torch\._C\._crash_if_\w+|print)\([^;]*\)$"),
        ("helper", r"(?!run_test)[a-z][a-z0-9]*_[a-z0-9_]*(?: |$)"),
    )
)
_SUDO = re.compile(r"sudo (?:-\w+ )*")


def classify(argv: tuple[str, ...]) -> str:
    """Return a command's kind. A command that matches no rule is a test."""
    line = _SUDO.sub("", " ".join(argv), count=1) if argv[0] == "sudo" else " ".join(argv)
    return next((kind for kind, rule in _RULES if rule.match(line)), "test")
