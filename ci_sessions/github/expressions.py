"""The part of GitHub's expression language that workflows use to pass variables to jobs.

``evaluate("matrix.rerun && '1' || '0'", context)``. A missing input or matrix key is None, as on
GitHub. Values known only at run time (``steps``, ``hashFiles``) are ``UNKNOWN``, and so is every
result that depends on them: a condition is false only if it is false for every such value.
"""

from __future__ import annotations

import json
import math
import operator as operators
import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from ci_sessions.errors import InputError

__all__ = ["UNKNOWN", "evaluate", "fill_template", "is_known", "to_string", "without_marks"]

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.*-]*)"
    r"|\.(?P<member>[A-Za-z_][\w-]*)|(?P<operator>\|\||&&|==|!=|<=|>=|[!<>()\[\],]))"
)
_EXPRESSION = re.compile(r"(?:[^'}]|'[^']*'|\}(?!\}))*\}\}")
_MAX_LENGTH = 20_000  # characters of an expression
_MAX_RESULT = 1_000_000  # characters of a string: nested calls, and inputs in inputs, multiply it
_MAX_DIGITS = 300  # of an integer; GitHub's numbers are floating-point numbers
_ORDER = {"<": operators.lt, "<=": operators.le, ">": operators.gt, ">=": operators.ge}
_LITERALS = {"true": True, "false": False, "null": None}
_KNOWN_CONTEXTS = ("inputs", "matrix")
_MARK = "\ue000"  # stands for the unknown part of a string; a private character that YAML allows


class _Unknown:
    """The type of ``UNKNOWN``, a value that is known only at run time; it is falsy."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


def is_known(value: object) -> bool:
    """Return whether a value, and each part of it, is known before a run."""
    return value is not UNKNOWN and not (isinstance(value, str) and _MARK in value)


def without_marks(text: str) -> str:
    """Return a string with nothing in place of its unknown parts."""
    return text.replace(_MARK, "")


def evaluate(text: str, context: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of an expression, or ``UNKNOWN``. Raises InputError on a syntax error."""
    if len(text) > _MAX_LENGTH:
        raise InputError(f"the workflow expression {text[:80]!r}… is too long.")
    try:
        return _Parser(text, context).parse()
    except RecursionError as error:
        raise InputError(f"the workflow expression {text[:80]!r}… is nested too deeply.") from error


def fill_template(
    text: Any,  # noqa: ANN401 - any YAML value
    context: Mapping[str, Any],
    unknown: object = None,
) -> Any:  # noqa: ANN401 - any YAML value
    """Replace each ``${{ … }}``; a string that is a single expression becomes its value.

    ``unknown`` is the value of a single expression that is ``UNKNOWN``. If it is ``UNKNOWN`` too,
    an unknown part of a longer string leaves a mark (see ``is_known``), and otherwise nothing.
    """
    if not isinstance(text, str):
        return text
    single = text.strip()
    if single.startswith("${{") and _find_end(single, 0) == len(single) - 2:
        value = evaluate(single[3:-2], context)
        return unknown if value is UNKNOWN else value
    parts: list[str] = []
    end = size = 0
    while (start := text.find("${{", end)) >= 0 and (close := _find_end(text, start)) >= 0:
        value = evaluate(text[start + 3 : close], context)
        is_marked = value is UNKNOWN and unknown is UNKNOWN
        parts += [text[end:start], _MARK if is_marked else to_string(value)]
        size += len(parts[-2]) + len(parts[-1])
        _check_size(size)
        end = close + 2
    return "".join([*parts, text[end:]])


def _find_end(text: str, start: int) -> int:
    """Return where the ``}}`` is that ends the expression at ``start``; not one in its strings."""
    match = _EXPRESSION.match(text, start)
    return match.end() - 2 if match else text.find("}}", start)


def _check_size(size: int) -> None:
    if size > _MAX_RESULT:
        raise InputError(
            f"a workflow expression's value is longer than {_MAX_RESULT:,} characters."
        )


def to_string(value: object) -> str:
    """Return a value as GitHub writes it. Raises InputError for one that JSON does not have."""
    if value is None or value is UNKNOWN:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return json.dumps(value) if isinstance(value, dict | list) else str(value)
    except (TypeError, ValueError) as error:  # a date in a list, or thousands of digits
        raise InputError(f"a value in a workflow expression is not JSON: {error}.") from error


def _format(template: object, *values: object) -> str:
    """Replace ``{0}``, ``{1}`` and so on by the values, and ``{{`` and ``}}`` by a brace.

    Raises IndexError if a value is missing.
    """
    texts = [to_string(value) for value in values]
    pieces = re.split(r"(\{\{|\}\}|\{[0-9]+\})", to_string(template))
    pieces[1::2] = [
        piece[0] if piece in ("{{", "}}") else texts[int(piece[1:-1])] for piece in pieces[1::2]
    ]
    _check_size(sum(map(len, pieces)))
    return "".join(pieces)


def _compare(value: object, operator: str, other: object) -> object:
    """Compare two values. Only numbers are ordered here, so the order of others is UNKNOWN."""
    if operator in ("==", "!="):
        is_equal = to_string(value).lower() == to_string(other).lower()
        return is_equal is (operator == "==")
    if not isinstance(value, (int, float)) or not isinstance(other, (int, float)):
        return UNKNOWN
    return _ORDER[operator](value, other)


def _contains(where: Any, what: Any) -> bool:  # noqa: ANN401 - any JSON value
    if isinstance(where, list):
        return what in where
    return to_string(what).lower() in to_string(where).lower()


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "contains": _contains,
    "startsWith": lambda text, part: to_string(text).lower().startswith(to_string(part).lower()),
    "endsWith": lambda text, part: to_string(text).lower().endswith(to_string(part).lower()),
    "toJSON": json.dumps,
    "fromJSON": json.loads,
    "format": _format,
}


_PARTLY_KNOWN = ("fromJSON", "toJSON", "format")  # whose results keep the marks of arguments


class _Parser:
    """A recursive descent parser that evaluates as it parses; expressions have no side effects."""

    def __init__(self, text: str, context: Mapping[str, Any]) -> None:
        self.text = text.strip()
        self.context = context
        self.tokens = self.tokenize()
        self.position = 0

    def tokenize(self) -> list[tuple[str, str]]:
        tokens, start = [], 0
        while start < len(self.text):
            match = _TOKEN.match(self.text, start)
            if match is None or match.lastgroup is None:
                raise self.error()
            tokens.append((match.lastgroup, match[match.lastgroup]))
            start = match.end()
        return tokens

    def error(self) -> InputError:
        return InputError(f"the workflow expression {self.text!r} cannot be parsed.")

    def parse(self) -> Any:  # noqa: ANN401 - any JSON value
        value = self.parse_or()
        if self.position != len(self.tokens):
            raise self.error()
        return value

    def accept(self, *operators: str) -> str | None:
        wanted = [("operator", operator) for operator in operators]
        if self.position < len(self.tokens) and self.tokens[self.position] in wanted:
            self.position += 1
            return self.tokens[self.position - 1][1]
        return None

    def parse_or(self) -> Any:  # noqa: ANN401 - any JSON value
        value = self.parse_and()
        while self.accept("||"):
            other = self.parse_and()
            value = UNKNOWN if value is UNKNOWN and not other else value or other
        return value

    def parse_and(self) -> Any:  # noqa: ANN401 - any JSON value
        value = self.parse_comparison()
        while self.accept("&&"):
            other = self.parse_comparison()
            value = other if value is UNKNOWN and not other else value and other
        return value

    def parse_comparison(self) -> Any:  # noqa: ANN401 - any JSON value
        value = self.parse_unary()
        while operator := self.accept("==", "!=", "<", ">", "<=", ">="):
            other = self.parse_unary()
            if not (is_known(value) and is_known(other)):
                value = UNKNOWN
                continue
            value = _compare(value, operator, other)
        return value

    def parse_unary(self) -> Any:  # noqa: ANN401 - any JSON value
        if self.accept("!"):
            value = self.parse_unary()
            return UNKNOWN if value is UNKNOWN else not value
        if self.accept("("):
            value = self.parse_or()
            if not self.accept(")"):
                raise self.error()
            return value
        if self.position >= len(self.tokens):
            raise self.error()
        kind, word = self.tokens[self.position]
        self.position += 1
        if kind == "string":
            return word[1:-1].replace("''", "'")
        if kind == "number":
            value = float(word) if "." in word or len(word) > _MAX_DIGITS else int(word)
            if math.isinf(value):
                raise self.error()
            return value
        if kind != "name":
            raise self.error()
        value = self.parse_call(word) if self.accept("(") else self.look_up(word)
        return self.parse_members(value)

    def parse_members(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Parse ``.name`` and ``[…]`` after a value, as in ``fromJSON(x).include``."""
        while True:
            if self.position < len(self.tokens) and self.tokens[self.position][0] == "member":
                key: Any = self.tokens[self.position][1]
                self.position += 1
            elif self.accept("["):
                key = self.parse_or()
                if not self.accept("]"):
                    raise self.error()
            else:
                return value
            if value is not UNKNOWN:
                is_key = isinstance(value, Mapping) and isinstance(key, Hashable)
                value = value.get(key) if is_key else None

    def look_up(self, path: str) -> Any:  # noqa: ANN401 - any JSON value
        if path in _LITERALS:
            return _LITERALS[path]
        value: Any = self.context
        first, *_ = path.split(".")
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return UNKNOWN if value is None and first not in _KNOWN_CONTEXTS else value

    def parse_call(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        arguments = []
        while not self.accept(")"):
            arguments.append(self.parse_or())
            if self.position >= len(self.tokens):
                raise self.error()
            self.accept(",")
        function = _FUNCTIONS.get(name)
        if function is None or UNKNOWN in arguments:
            return UNKNOWN
        if name not in _PARTLY_KNOWN and not all(map(is_known, arguments)):
            return UNKNOWN
        try:
            value = function(*arguments)
        except (TypeError, ValueError, IndexError):
            return UNKNOWN
        _check_size(len(value) if isinstance(value, str) else 0)
        return value
