"""Parses YAML within limits, so that no text can take much time or memory, or crash the parser.

A short text can describe a value of any size: an alias repeats a value, and a merge key (``<<``)
copies one. libyaml itself crashes on deep nesting, so that is checked before values are made.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ci_sessions.errors import InputError, MissingToolError

__all__ = ["parse_yaml"]

_MAX_NESTING = 100  # levels; GitHub's own workflows have about 10
_MAX_VALUES = 500_000  # with each use of an alias counted
_MAX_CHARACTERS = 20_000_000  # likewise
# Besides its own errors, what PyYAML raises for "!!int ''", "!!bool x" and "!!timestamp x".
_ERRORS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
_MAX_NUMBER = 1 << 64
_TOO_LARGE = (
    f"has more than {_MAX_VALUES:,} values, or {_MAX_CHARACTERS:,} characters, with each use of "
    "an alias counted: is it a workflow?"
)


def parse_yaml(text: str, what: str) -> Any:  # noqa: ANN401 - any YAML value
    """Return the value of a YAML document, which messages call ``what``.

    Raises InputError, with the place of the error, if it is invalid or exceeds a limit, and
    MissingToolError without a YAML library.
    """
    try:
        import yaml  # noqa: PLC0415 - an optional dependency, only for reading workflows
    except ImportError as error:
        raise MissingToolError(
            "reading workflows needs PyYAML: pip install 'ci-sessions[workflows]', or pass the "
            "jobs with --jobs FILE."
        ) from error
    loader = _loader()
    try:
        _check_events(yaml.parse(text, loader))
        data = yaml.load(text, loader)  # noqa: S506 - a safe loader
        _check_size(data)
    except _TooLargeError as error:
        raise InputError(f"{what} {error}") from error
    except (yaml.YAMLError, *_ERRORS) as error:
        raise InputError(f"{what} is not valid YAML: {error}") from error
    return data


class _TooLargeError(Exception):
    """A text exceeds a limit; the message is a clause about it."""


@lru_cache(maxsize=1)
def _loader() -> Any:  # noqa: ANN401 - a class that exists only if PyYAML does
    """Return a safe loader without merge keys, which GitHub does not support either."""
    import yaml  # noqa: PLC0415 - as above

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge":
                    raise yaml.MarkedYAMLError(
                        problem="a merge key (<<) is not supported", problem_mark=key.start_mark
                    )

    return Loader


def _check_events(events: Any) -> None:  # noqa: ANN401 - an iterator of yaml.Event
    """Raise an error if a text has too many values, or nests them too deeply."""
    import yaml  # noqa: PLC0415 - as above

    depth = 0
    for number, event in enumerate(events):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_NESTING:
            line = event.start_mark.line + 1
            raise _TooLargeError(f"has more than {_MAX_NESTING} nested values, in line {line}.")
        if number > _MAX_VALUES:
            raise _TooLargeError(_TOO_LARGE)


def _check_size(data: object) -> None:
    """Raise an error if a value consists of too many values or characters, or a huge number."""
    values, characters, stack = 0, 0, [data]
    while stack:
        value = stack.pop()
        values += 1
        if isinstance(value, dict):
            stack.extend(value.values())
            stack.extend(value)
        elif isinstance(value, (list, tuple, set)):
            stack.extend(value)
        elif isinstance(value, str):
            characters += len(value)
        elif isinstance(value, int) and abs(value) > _MAX_NUMBER:
            raise _TooLargeError("is not valid YAML: a number has more than 19 digits.")
        if values > _MAX_VALUES or len(stack) > _MAX_VALUES or characters > _MAX_CHARACTERS:
            raise _TooLargeError(_TOO_LARGE)
