from __future__ import annotations

import pytest

from ci_sessions.plan.placeholders import Kind, literal, names_in, parse, render, substitute


def place(piece):
    return piece.name.lower() if piece.kind is Kind.PLACE else None


def test_a_template_is_split_into_its_pieces():
    text = "a $ROOT/b${ask:cores}$$HOME ${pin:vision}${random}${each}${each:name}${before:X}"
    assert [(piece.kind.name, piece.name) for piece in parse(text)] == [
        ("TEXT", "a "), ("PLACE", "ROOT"), ("TEXT", "/b"), ("QUESTION", "cores"), ("TEXT", "$HOME "),
        ("PIN", "vision"), ("RANDOM", ""), ("EACH", ""), ("EACH", "name"), ("BEFORE", "X"),
    ]  # fmt: skip
    assert parse("") == ()
    assert names_in(text, Kind.QUESTION) == ("cores",)
    assert names_in("no dollar", Kind.QUESTION) == ()


@pytest.mark.parametrize(
    "text", ["$ROOTS", "$NOTHING", "$", "a$", "${ask}", "${pin:}", "${random:x}", "${x:y}", "$(ls)"]
)
def test_an_unknown_placeholder_fails_early(text):
    with pytest.raises(ValueError, match="starts no placeholder: write \\$\\$ for a dollar sign"):
        parse(text)


def test_placeholders_are_substituted_once():
    text = "$ROOT/x ${ask:cores} @${pin:vision} $$OTHER"
    once = substitute(text, place)
    assert once == "root/x ${ask:cores} @${pin:vision} $$OTHER"
    assert substitute("$ROOT", lambda _: "/a$b") == "/a$$b", "a filled-in value is plain text"
    assert render("/a$$b${random}", lambda _: "q$") == "/a$bq$"


@pytest.mark.parametrize(
    "text",
    ["$HOME", "${ask:cores}", "RANDOM", "PIN-vision", "$$", "{}", "{LD_PRELOAD}", "a$", "$("],
)
def test_literal_strings_are_unchanged(text):
    assert render(literal(text), lambda piece: f"<{piece.name}>") == text
    assert substitute(literal(text), place) == literal(text)
