"""Writes shell text for dry runs, scripts, repeat commands and the runner; no other module does.

All quoting is done by ``quote``: bash reads back exactly the string that it was given.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.plan.placeholders import Kind, Piece, names_in, parse
from ci_sessions.plan.step import Expect, ForEach, Program, ShellFunction, SourcedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ci_sessions.plan.facts import Question
    from ci_sessions.plan.step import Command, Step, Variables

__all__ = ["ShellWriter", "bash_argv", "quote", "quote_all"]


def quote(text: str) -> str:
    """Quote a string as one word for bash, on one line.

    A string with single quotes is put in double quotes if that is safe. Control characters are
    escaped. ``##[`` is split, because in a log it would be a command to GitHub.
    """
    if not text:
        return "''"
    if any(not char.isprintable() for char in text):
        return f"$'{''.join(map(_escaped, text))}'".replace("##[", "#\\x23[")
    if "'" in text and not set(text) & set('"$`\\!'):
        return f'"{text}"'.replace("##[", '#""#[')
    return shlex.quote(text).replace("##[", "#''#[")


def _escaped(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    known = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return known.get(char) or "".join(f"\\x{byte:02x}" for byte in _as_bytes(char))


def _as_bytes(char: str) -> bytes:
    """Encode a character; a surrogate that stands for no byte, as JSON can contain it, as UTF-8."""
    try:
        return char.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return char.encode(errors="surrogatepass")


def quote_all(words: Iterable[str]) -> str:
    """Quote strings as the words of one line."""
    return " ".join(map(quote, words))


def bash_argv(
    command: Command, render: Callable[[str], str], *, env_file: str = ""
) -> tuple[str, ...] | None:
    """Return the argv that runs a shell function or a sourced file in bash; None for programs.

    ``render`` turns a template into one argument. ``env_file`` is a file to which the environment
    is written at the end. Only that path is part of the shell text. Everything else is passed as
    arguments, so spaces and semicolons in it are harmless.
    """
    match command:
        case ShellFunction():
            script, args = _call_script(command), _call_args(command)
        case SourcedFile():
            script, args = 'set -e -o pipefail; . "$@"', command.args
        case Program() | ForEach():
            return None
    if env_file:
        script += f"; env -0 > {quote(env_file)}"
    return ("bash", "-c", script, "bash", *map(render, args))


def _call_script(command: ShellFunction) -> str:
    """Return a script that sources files and calls a function, all given as arguments."""
    count = len(command.sources)
    files = "".join(f'. "${{{number}}}"; ' for number in range(1, count + 1))
    into, out = "", ""
    if command.stdout is not None:
        count += 1
        into, out = f"out=${{{count}}}; ", ' > "$out"'
    return f'{files}{into}shift {count}; set -e -o pipefail; "$@"{out}'


def _call_args(command: ShellFunction) -> tuple[str, ...]:
    out = () if command.stdout is None else (command.stdout,)
    return (*command.sources, *out, *command.argv)


@dataclass(frozen=True, slots=True)
class ShellWriter:
    """Writes templates for an interactive shell: paths as variables, questions as ``$(…)``."""

    questions: Mapping[str, Question] = field(default_factory=lambda: MappingProxyType({}))

    def word(self, template: str) -> str:
        """Return a template as one word; the answer to a list question splits into several."""
        names = names_in(template, Kind.QUESTION)
        if names and self.questions[names[0]].is_list:
            return f"$({self.questions[names[0]].line})"
        pieces = parse(template)
        if not pieces:
            return "''"
        return "".join(map(self._piece, pieces))

    def _piece(self, piece: Piece) -> str:
        match piece.kind:
            case Kind.TEXT:
                return quote(piece.name)
            case Kind.PLACE | Kind.BEFORE:
                return f'"${piece.name}"'
            case Kind.QUESTION:
                return f'"$({self.questions[piece.name].line})"'
            case Kind.PIN:
                return f'"$(cat "$ROOT"/.github/ci_commit_pins/{piece.name}.txt)"'
            case Kind.RANDOM | Kind.WILDCARD:
                return '"$RANDOM_NAME"' if piece.kind is Kind.RANDOM else "*"
            case Kind.EACH:
                return '"${each##*/}"' if piece.name else '"$each"'

    def assignment(self, name: str, template: str) -> str:
        """Return ``NAME=value``."""
        return f"{name}={self.word(template) if template else ''}"

    def export(self, name: str, template: str | None) -> str:
        """Return a line that exports a variable, or unsets it."""
        if template is None:
            return f"unset {name}"
        names = names_in(template, Kind.QUESTION)
        if names and self.questions[names[0]].is_optional:  # no answer keeps the caller's value
            answer = f'"$({self.questions[names[0]].line})"'
            return f'{name}_={answer}; export {name}="${{{name}_:-${name}}}"'
        return f"export {self.assignment(name, template)}"

    def command(self, command: Command) -> str:
        """Return a command without its working directory and variables."""
        in_bash = bash_argv(command, lambda template: template)
        if in_bash is not None:
            *bash, script, name = in_bash[:4]
            return " ".join([*bash, quote(script), name, *map(self.word, in_bash[4:])])
        return " ".join(map(self.word, command.argv))

    def line(self, step: Step) -> str:
        """Return a step as one line to run in the root, including its folder and variables."""
        settings = self._settings(step.env)
        if isinstance(step.command, ForEach):
            return self._loop(step, step.command, settings)
        line = f"{settings}{self.command(step.command)}"
        return line if step.cwd == "." else f"(cd {self.word(step.cwd)} && {line})"

    def _settings(self, env: Variables) -> str:
        unset = [arg for name, value in env.items() if value is None for arg in ("-u", name)]
        sets = [self.assignment(name, value) for name, value in env.items() if value is not None]
        return "".join(f"{arg} " for arg in [*(["env", *unset] if unset else []), *sets])

    def _loop(self, step: Step, command: ForEach, settings: str) -> str:
        patterns = " ".join(map(_pattern, command.executables.patterns))
        run = f'[ ! -x "$each" ] || {settings}{self.command(command)}'
        return f"(cd {self.word(step.cwd)} && for each in {patterns}; do {run}; done)"

    def guarded_line(self, step: Step) -> str:
        """Return a step as a line of a script, with its condition and expected result.

        A skipped step becomes a comment. Checks that only the runner makes (a clean checkout,
        required output) are left out.
        """
        line = self._in_this_shell(step) if step.exports_variables else self.line(step)
        if step.policy.expect is Expect.FAILURE:
            line = f"if {line}; then echo 'this was expected to fail'; exit 1; fi"
        elif step.policy.expect is Expect.ANYTHING:
            line = f"{line} || true"
        if step.policy.skips_without_match:
            patterns = [arg for arg in step.argv if names_in(arg, Kind.WILDCARD)]
            found = " && ".join(
                f"compgen -G {self._quoted_pattern(arg)} >/dev/null" for arg in patterns
            )
            line = f"if {found}; then {line}; fi"
        if step.when is not None:
            line = f"if {step.when.line}; then {line}; fi"
        return f"# {line}" if step.skipped else line

    def _quoted_pattern(self, template: str) -> str:
        """Return a template as one word in which wildcards are not expanded yet."""
        pieces = parse(template)
        return "".join("'*'" if p.kind is Kind.WILDCARD else self._piece(p) for p in pieces)

    def _in_this_shell(self, step: Step) -> str:
        """Return a sourced file or shell function as a line that exports into the current shell."""
        unset = "".join(f"unset {name}; " for name, value in step.env.items() if value is None)
        sets = {name: value for name, value in step.env.items() if value is not None}
        files = into = ""
        call = [".", *map(self.word, step.argv[1:])]
        if isinstance(step.command, ShellFunction):
            files = "".join(f". {self.word(file)}; " for file in step.command.sources)
            call = list(map(self.word, step.argv))
            into = f" > {self.word(step.command.stdout)}" if step.command.stdout else ""
        line = f"{unset}{files}{self._settings(sets)}{' '.join(call)}{into}"
        if step.cwd != ".":
            line = f"pushd {self.word(step.cwd)} >/dev/null; {line}; popd >/dev/null"
        return line


def _pattern(text: str) -> str:
    """Quote everything in a string except wildcards."""
    pieces = re.split(r"([*?])", text)
    return "".join(piece if piece in "*?" else quote(piece) for piece in pieces if piece)
