"""The only writer of shell text: for a dry run, a script, a repeat line, and the runner itself.

``quote`` is the one set of quoting rules; whatever it is given, bash reads the same word back.
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

__all__ = ["ShellWriter", "bash_words", "quote", "quote_all"]


def quote(text: str) -> str:
    """Quote a plain text as one word for bash, on one line.

    What has single quotes in it gets double ones, where that is safe; control characters are
    written as escapes.
    """
    if not text:
        return "''"
    if any(not char.isprintable() for char in text):
        return f"$'{''.join(map(_escaped, text))}'"
    if "'" in text and not set(text) & set('"$`\\!'):
        return f'"{text}"'
    return shlex.quote(text)


def _escaped(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    known = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return known.get(char) or "".join(
        f"\\x{byte:02x}" for byte in char.encode(errors="surrogateescape")
    )


def quote_all(words: Iterable[str]) -> str:
    """Quote plain texts as the words of one line."""
    return " ".join(map(quote, words))


def bash_words(
    command: Command, word: Callable[[str], str], *, saves_to: str = ""
) -> tuple[str, ...] | None:
    """Return the argv that runs a shell function or a sourced file in bash; None for programs.

    ``word`` writes a template as one argument. ``saves_to`` is the file in which the environment
    is written down at the end. Nothing but that path is part of shell text: all else is handed over
    as arguments, so a path with a space or a semicolon is only a path.
    """
    match command:
        case ShellFunction():
            script, words = _call(command), _call_arguments(command)
        case SourcedFile():
            script, words = 'set -e -o pipefail; . "$@"', command.words
        case Program() | ForEach():
            return None
    if saves_to:
        script += f"; env -0 > {quote(saves_to)}"
    return ("bash", "-c", script, "bash", *map(word, words))


def _call(command: ShellFunction) -> str:
    """Write a script that reads files, then calls a function, all named by its arguments."""
    count = len(command.sources)
    files = "".join(f'. "${{{number}}}"; ' for number in range(1, count + 1))
    into, out = "", ""
    if command.stdout is not None:
        count += 1
        into, out = f"out=${{{count}}}; ", ' > "$out"'
    return f'{files}{into}shift {count}; set -e -o pipefail; "$@"{out}'


def _call_arguments(command: ShellFunction) -> tuple[str, ...]:
    out = () if command.stdout is None else (command.stdout,)
    return (*command.sources, *out, *command.argv)


@dataclass(frozen=True, slots=True)
class ShellWriter:
    """Writes templates for a person's shell: places as variables, questions as ``$(…)``."""

    questions: Mapping[str, Question] = field(default_factory=lambda: MappingProxyType({}))

    def word(self, template: str, *, is_pattern: bool = False) -> str:
        """Write a template as one word; a list question splits into several.

        With ``is_pattern``, wildcards stay open so that the shell expands them.
        """
        asked = names_in(template, Kind.QUESTION)
        if asked and self.questions[asked[0]].is_list:
            return f"$({self.questions[asked[0]].line})"
        pieces = parse(template)
        if not pieces:
            return "''"
        return "".join(self._piece(piece, is_pattern=is_pattern) for piece in pieces)

    def _piece(self, piece: Piece, *, is_pattern: bool) -> str:
        match piece.kind:
            case Kind.TEXT:
                return _pattern(piece.name) if is_pattern else quote(piece.name)
            case Kind.PLACE | Kind.BEFORE:
                return f'"${piece.name}"'
            case Kind.QUESTION:
                return f'"$({self.questions[piece.name].line})"'
            case Kind.PIN:
                return f'"$(cat "$ROOT"/.github/ci_commit_pins/{piece.name}.txt)"'
            case Kind.RANDOM:
                return '"$RANDOM_NAME"'
            case Kind.EACH:
                return '"${each##*/}"' if piece.name else '"$each"'

    def assignment(self, name: str, template: str) -> str:
        """Write ``NAME=value``."""
        return f"{name}={self.word(template) if template else ''}"

    def export(self, name: str, template: str | None) -> str:
        """Write a line that exports a variable, or unsets it."""
        if template is None:
            return f"unset {name}"
        asked = names_in(template, Kind.QUESTION)
        if asked and self.questions[asked[0]].is_optional:  # no answer leaves the caller's value
            answer = f'"$({self.questions[asked[0]].line})"'
            return f'{name}_={answer}; export {name}="${{{name}_:-${name}}}"'
        return f"export {self.assignment(name, template)}"

    def command(self, command: Command) -> str:
        """Write a command, without its folder and variables."""
        in_bash = bash_words(command, lambda template: template)
        if in_bash is not None:
            *bash, script, name = in_bash[:4]
            return " ".join([*bash, quote(script), name, *map(self.word, in_bash[4:])])
        expands = isinstance(command, Program) and command.expands
        return " ".join(self.word(word, is_pattern=expands) for word in command.argv)

    def line(self, step: Step) -> str:
        """Write a step as one line for a shell in the root, folder and variables included."""
        settings = self._settings(step.env)
        if isinstance(step.command, ForEach):
            return self._loop(step, step.command, settings)
        line = f"{settings}{self.command(step.command)}"
        return line if step.cwd == "." else f"(cd {self.word(step.cwd)} && {line})"

    def _settings(self, env: Variables) -> str:
        unset = [word for name, value in env.items() if value is None for word in ("-u", name)]
        sets = [self.assignment(name, value) for name, value in env.items() if value is not None]
        return "".join(f"{word} " for word in [*(["env", *unset] if unset else []), *sets])

    def _loop(self, step: Step, command: ForEach, settings: str) -> str:
        patterns = " ".join(map(_pattern, command.executables.patterns))
        run = f'[ ! -x "$each" ] || {settings}{self.command(command)}'
        return f"(cd {self.word(step.cwd)} && for each in {patterns}; do {run}; done)"

    def guarded_line(self, step: Step) -> str:
        """Write a step as a script would: guarded, and judged as its policy says.

        A step that is not run is a comment. What only this tool judges (a clean checkout, a text in
        the output) is not in the line.
        """
        line = self._in_this_shell(step) if step.keeps_environment else self.line(step)
        if step.policy.expect is Expect.FAILURE:
            line = f"if {line}; then echo 'this was expected to fail'; exit 1; fi"
        elif step.policy.expect is Expect.ANYTHING:
            line = f"{line} || true"
        if step.when is not None:
            line = f"if {step.when.line}; then {line}; fi"
        return f"# {line}" if step.skipped else line

    def _in_this_shell(self, step: Step) -> str:
        """Write a sourced file or shell function so that what it exports holds for what follows."""
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
    """Quote all of a text but for its wildcards."""
    pieces = re.split(r"([*?])", text)
    return "".join(piece if piece in "*?" else quote(piece) for piece in pieces if piece)
