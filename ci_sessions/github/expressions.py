"""The part of GitHub's expression language that workflows use to hand a job its variables.

``evaluate("matrix.rerun && '1' || '0'", context)``. An input or a matrix's key that is not there is
None, as in GitHub's own rules. What only a run knows (``steps``, ``hashFiles``) is ``UNKNOWN``, and
so is all that hangs on it: a condition is false only where it is false whatever that turns out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ci_sessions.errors import InputError

__all__ = ["UNKNOWN", "evaluate", "fill_template"]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.*-]*)"
    r"|\.(?P<member>[A-Za-z_][\w-]*)|(?P<sign>\|\||&&|==|!=|<=|>=|[!<>()\[\],]))"
)
_TEMPLATE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_WORDS = {"true": True, "false": False, "null": None}
_GIVEN = ("inputs", "matrix")


class _Unknown:
    """The one value of what only a run knows; as a condition it is not met."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


def evaluate(text: str, context: Mapping[str, Any]) -> Any:  # noqa: ANN401 - it has any type
    """Return an expression's value, or ``UNKNOWN``. Raises InputError where it cannot be read."""
    return _Reader(text, context).whole()


def fill_template(text: Any, context: Mapping[str, Any]) -> Any:  # noqa: ANN401 - YAML holds anything
    """Replace ``${{ … }}``; a text that is one expression becomes its value."""
    if not isinstance(text, str):
        return text
    if (match := _TEMPLATE.fullmatch(text.strip())) and "}}" not in match[1]:
        value = evaluate(match[1], context)
        return None if value is UNKNOWN else value
    return _TEMPLATE.sub(lambda found: _as_text(evaluate(found[1], context)), text)


def _as_text(value: object) -> str:
    if value is None or value is UNKNOWN:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _contains(where: Any, what: Any) -> bool:  # noqa: ANN401 - as above
    if isinstance(where, list):
        return what in where
    return _as_text(what).lower() in _as_text(where).lower()


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "contains": _contains,
    "startsWith": lambda text, part: _as_text(text).lower().startswith(_as_text(part).lower()),
    "endsWith": lambda text, part: _as_text(text).lower().endswith(_as_text(part).lower()),
    "toJSON": json.dumps,
    "fromJSON": json.loads,
    "format": lambda text, *more: re.sub(
        r"\{(\d+)\}", lambda match: _as_text(more[int(match[1])]), _as_text(text)
    ),
}


class _Reader:
    """Reads by recursive descent, and computes on the way: nothing here has an effect."""

    def __init__(self, text: str, context: Mapping[str, Any]) -> None:
        self.text = text.strip()
        self.context = context
        self.tokens = self._split()
        self.at = 0

    def _split(self) -> list[tuple[str, str]]:
        tokens, at = [], 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None or match.lastgroup is None:
                raise self.fault()
            tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        return tokens

    def fault(self) -> InputError:
        return InputError(f"the expression {self.text!r} of a workflow cannot be read.")

    def whole(self) -> Any:  # noqa: ANN401 - as above
        value = self.either()
        if self.at != len(self.tokens):
            raise self.fault()
        return value

    def take(self, *signs: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at] in [("sign", s) for s in signs]:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def either(self) -> Any:  # noqa: ANN401 - as above
        value = self.both()
        while self.take("||"):
            other = self.both()
            value = UNKNOWN if value is UNKNOWN and not other else value or other
        return value

    def both(self) -> Any:  # noqa: ANN401 - as above
        value = self.compared()
        while self.take("&&"):
            other = self.compared()
            value = other if value is UNKNOWN and not other else value and other
        return value

    def compared(self) -> Any:  # noqa: ANN401 - as above
        value = self.single()
        while sign := self.take("==", "!=", "<", ">", "<=", ">="):
            other = self.single()
            if value is UNKNOWN or other is UNKNOWN:
                value = UNKNOWN
                continue
            is_equal = _as_text(value).lower() == _as_text(other).lower()
            value = {"==": is_equal, "!=": not is_equal}.get(sign)
        return value

    def single(self) -> Any:  # noqa: ANN401 - as above
        if self.take("!"):
            value = self.single()
            return UNKNOWN if value is UNKNOWN else not value
        if self.take("("):
            value = self.either()
            if not self.take(")"):
                raise self.fault()
            return value
        if self.at >= len(self.tokens):
            raise self.fault()
        kind, word = self.tokens[self.at]
        self.at += 1
        if kind == "text":
            return word[1:-1].replace("''", "'")
        if kind == "number":
            return float(word) if "." in word else int(word)
        if kind != "name":
            raise self.fault()
        value = self.called(word) if self.take("(") else self.named(word)
        return self.members(value)

    def members(self, value: Any) -> Any:  # noqa: ANN401 - as above
        """Read ``.name`` and ``[…]`` after a value, such as ``fromJSON(x).include``."""
        while True:
            if self.at < len(self.tokens) and self.tokens[self.at][0] == "member":
                key: Any = self.tokens[self.at][1]
                self.at += 1
            elif self.take("["):
                key = self.either()
                if not self.take("]"):
                    raise self.fault()
            else:
                return value
            if value is not UNKNOWN:
                value = value.get(key) if isinstance(value, Mapping) else None

    def named(self, path: str) -> Any:  # noqa: ANN401 - as above
        if path in _WORDS:
            return _WORDS[path]
        value: Any = self.context
        first, *_ = path.split(".")
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return UNKNOWN if value is None and first not in _GIVEN else value

    def called(self, name: str) -> Any:  # noqa: ANN401 - as above
        arguments = []
        while not self.take(")"):
            arguments.append(self.either())
            if self.at >= len(self.tokens):
                raise self.fault()
            self.take(",")
        function = _FUNCTIONS.get(name)
        if function is None or UNKNOWN in arguments:
            return UNKNOWN
        try:
            return function(*arguments)
        except (TypeError, ValueError, IndexError):
            return UNKNOWN
