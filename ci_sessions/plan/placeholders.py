"""What a plan leaves open in its texts: one grammar and one parser.

A plan is a value, so it cannot say where site-packages is or how many cores there are. Its texts
(words of commands, folders, values of variables, files) are templates::

    $ROOT      the checkout                  $SITE     site-packages, so torch is $SITE/torch
    $HOME      the home folder               $TMP      a scratch folder of the run
    $SHIMS     the folder of python          $PATH     the search path of the caller
    $SCRIPTS   the folder of test.sh, relative to the checkout
    ${ask:cores}     the answer to a question    ${pin:vision}   a commit that the checkout pins
    ${random}        eight letters, the same all run
    ${each}          the executable that a step runs for; ${each:name} is its file name
    ${before:NAME}   what the variable NAME held until then
    $$         a dollar

``literal`` turns any text into a template of itself. What a user typed enters a plan that way, so
``$HOME`` in it stays as typed.
"""

from __future__ import annotations

import enum
import functools
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Kind", "Piece", "literal", "names_in", "parse", "render", "substitute"]


class Kind(enum.Enum):
    """What a piece of a template stands for."""

    TEXT = "text"
    PLACE = "place"
    QUESTION = "ask"
    PIN = "pin"
    RANDOM = "random"
    EACH = "each"
    BEFORE = "before"


class Piece(NamedTuple):
    """A part of a template: a text as it is, or the name of what is left open."""

    kind: Kind
    name: str


_PLACEHOLDER = re.compile(
    r"\$(?:(?P<dollar>\$)"
    r"|(?P<place>ROOT|SITE|HOME|TMP|SHIMS|SCRIPTS|PATH)\b"
    r"|\{(?P<kind>ask|pin|random|each|before)(?::(?P<name>\w+))?\}"
    r"|(?P<unknown>))"
)


@functools.lru_cache(maxsize=65536)
def parse(template: str) -> tuple[Piece, ...]:
    """Split a template into pieces, none of them an empty text.

    Raises ValueError for a ``$`` that begins nothing known: a misspelt name fails here, not in CI.
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
    if match["place"]:
        return Piece(Kind.PLACE, match["place"])
    kind = Kind(match["kind"]) if match["kind"] else None
    may_be_named, must_be_named = kind is not Kind.RANDOM, kind not in (Kind.RANDOM, Kind.EACH)
    if (
        kind is None
        or (match["name"] and not may_be_named)
        or (must_be_named and not match["name"])
    ):
        raise ValueError(f"{template!r} has a $ that begins no placeholder: write $$ for a dollar.")
    return Piece(kind, match["name"] or "")


def literal(text: str) -> str:
    """Return the template of a text that is to stay as it is."""
    return text.replace("$", "$$")


def names_in(template: str, kind: Kind) -> tuple[str, ...]:
    """Return the names of one kind that a template leaves open, in order."""
    if "$" not in template:
        return ()
    return tuple(piece.name for piece in parse(template) if piece.kind is kind)


def substitute(template: str, value: Callable[[Piece], str | None]) -> str:
    """Return a template in which the pieces that ``value`` knows are filled in.

    ``value`` gives a plain text, or None to leave a piece open.
    """
    if "$" not in template:
        return template
    done: list[str] = []
    for piece in parse(template):
        if piece.kind is Kind.TEXT:
            done.append(literal(piece.name))
            continue
        found = value(piece)
        done.append(as_template(piece) if found is None else literal(found))
    return "".join(done)


def render(template: str, value: Callable[[Piece], str]) -> str:
    """Return the plain text of a template; ``value`` gives that of every piece but texts."""
    if "$" not in template:
        return template
    return "".join(
        piece.name if piece.kind is Kind.TEXT else value(piece) for piece in parse(template)
    )


def as_template(piece: Piece) -> str:
    """Write a piece as templates do."""
    if piece.kind is Kind.TEXT:
        return literal(piece.name)
    if piece.kind is Kind.PLACE:
        return f"${piece.name}"
    return f"${{{piece.kind.value}:{piece.name}}}" if piece.name else f"${{{piece.kind.value}}}"
