"""Placeholders in a plan's strings: one grammar and one parser.

A plan is made without running anything, so it cannot contain the path of site-packages or the
number of cores. Its strings (arguments, folders, values of variables, files) are templates::

    $ROOT      the checkout                  $SITE     site-packages: torch is in $SITE/torch
    $HOME      the home folder               $TMP      a temporary folder for the run
    $SHIMS     the folder of python          $PATH     the caller's search path
    $SCRIPTS   the folder of test.sh, relative to the checkout
    ${ask:cores}     the answer to a question    ${pin:vision}   a commit that the checkout pins
    ${random}        eight random letters, the same throughout a run
    ${each}          the current executable of a ForEach; ${each:name} is its file name
    ${before:NAME}   the previous value of the variable NAME
    ${any}           any characters of a file name: the wildcard *
    $$         a dollar sign

``${ROOT}`` is the same as ``$ROOT``, for text that continues with a letter, a digit or ``_``.

``literal`` escapes any string as a template. User input is escaped when it enters a plan, so
``$HOME`` and ``*`` in it are never expanded.
"""

from __future__ import annotations

import enum
import functools
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ANY", "Kind", "Piece", "literal", "names_in", "parse", "render", "substitute"]


class Kind(enum.Enum):
    """The kinds of pieces that a template consists of."""

    TEXT = "text"
    PLACE = "place"
    QUESTION = "ask"
    PIN = "pin"
    RANDOM = "random"
    EACH = "each"
    BEFORE = "before"
    WILDCARD = "any"


class Piece(NamedTuple):
    """A part of a template: literal text, or a placeholder's name."""

    kind: Kind
    name: str


ANY = "${any}"

_PLACES = "ROOT|SITE|HOME|TMP|SHIMS|SCRIPTS|PATH"
_PLACEHOLDER = re.compile(
    r"\$(?:(?P<dollar>\$)"
    rf"|(?P<place>{_PLACES})\b"
    rf"|\{{(?P<braced>{_PLACES})\}}"
    r"|\{(?P<kind>ask|pin|random|each|before|any)(?::(?P<name>\w+))?\}"
    r"|(?P<unknown>))"
)


@functools.lru_cache(maxsize=65536)
def parse(template: str) -> tuple[Piece, ...]:
    """Split a template into pieces, none of them empty text.

    Raises ValueError for a ``$`` that starts no known placeholder, so a typo fails here, not in CI.
    """
    pieces: list[Piece] = []
    text, end = "", 0
    for match in _PLACEHOLDER.finditer(template):
        text += template[end : match.start()] + (match["dollar"] or "")
        end = match.end()
        if match["dollar"]:
            continue
        piece = _piece(match, template)
        pieces += [Piece(Kind.TEXT, text), piece] if text else [piece]
        text = ""
    text += template[end:]
    return (*pieces, Piece(Kind.TEXT, text)) if text else tuple(pieces)


def _piece(match: re.Match[str], template: str) -> Piece:
    place = match["place"] or match["braced"]
    if place:
        return Piece(Kind.PLACE, place)
    kind = Kind(match["kind"]) if match["kind"] else None
    allows_name = kind not in (Kind.RANDOM, Kind.WILDCARD)
    requires_name = kind not in (Kind.RANDOM, Kind.WILDCARD, Kind.EACH)
    if kind is None or (match["name"] and not allows_name) or (requires_name and not match["name"]):
        raise ValueError(
            f"{template!r} has a $ that starts no placeholder: write $$ for a dollar sign."
        )
    return Piece(kind, match["name"] or "")


def literal(text: str) -> str:
    """Escape a string so that a template renders it unchanged."""
    return text.replace("$", "$$")


def names_in(template: str, kind: Kind) -> tuple[str, ...]:
    """Return the names of a template's placeholders of one kind, in order."""
    if "$" not in template:
        return ()
    return tuple(piece.name for piece in parse(template) if piece.kind is kind)


def substitute(template: str, value: Callable[[Piece], str | None]) -> str:
    """Return the template with some of its placeholders replaced.

    ``value`` returns the plain text for a placeholder, or None to keep it.
    """
    if "$" not in template:
        return template
    pieces: list[Piece] = []
    for piece in parse(template):
        found = None if piece.kind is Kind.TEXT else value(piece)
        pieces.append(piece if found is None else Piece(Kind.TEXT, found))
    return as_template(pieces)


def render(template: str, value: Callable[[Piece], str]) -> str:
    """Return the plain text of a template. ``value`` returns the text for each placeholder."""
    if "$" not in template:
        return template
    # A list, since a generator is slower.
    return "".join(
        [piece.name if piece.kind is Kind.TEXT else value(piece) for piece in parse(template)]
    )


def as_template(pieces: Iterable[Piece]) -> str:
    """Return the template that consists of these pieces."""
    template = ""
    for piece in reversed([piece for piece in pieces if piece.name or piece.kind is not Kind.TEXT]):
        template = _as_template(piece, is_before_word=re.match(r"\w", template)) + template
    return template


def _as_template(piece: Piece, *, is_before_word: object) -> str:
    if piece.kind is Kind.TEXT:
        return literal(piece.name)
    if piece.kind is Kind.PLACE:
        return f"${{{piece.name}}}" if is_before_word else f"${piece.name}"
    return f"${{{piece.kind.value}:{piece.name}}}" if piece.name else f"${{{piece.kind.value}}}"
