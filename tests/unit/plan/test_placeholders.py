from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_sessions.plan.placeholders import (
    Kind,
    Piece,
    as_template,
    literal,
    names_in,
    parse,
    render,
    substitute,
)


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


PLACES = ("ROOT", "SITE", "HOME", "TMP", "SHIMS", "SCRIPTS", "PATH")
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,6}", fullmatch=True)
USER_TEXT = st.lists(
    st.sampled_from(["$", "$$", "${", "{", "}", ":", "*", "ROOT", "$HOME", "${any}", "ask:x", "é"])
    | st.text(max_size=3),
    max_size=6,
).map("".join)
PLACEHOLDERS = st.one_of(
    st.builds(Piece, st.just(Kind.PLACE), st.sampled_from(PLACES)),
    st.builds(Piece, st.sampled_from([Kind.QUESTION, Kind.PIN, Kind.BEFORE, Kind.EACH]), NAMES),
    st.builds(Piece, st.sampled_from([Kind.RANDOM, Kind.WILDCARD, Kind.EACH]), st.just("")),
)
TEXTS = st.builds(Piece, st.just(Kind.TEXT), USER_TEXT.filter(bool))


def merged(pieces):
    """Join adjacent pieces of text, as ``parse`` does."""
    found = []
    for piece in pieces:
        if found and piece.kind is found[-1].kind is Kind.TEXT:
            found[-1] = Piece(Kind.TEXT, found[-1].name + piece.name)
        else:
            found.append(piece)
    return tuple(found)


@given(USER_TEXT)
def test_user_text_is_never_expanded(text):
    def expand(piece):
        raise AssertionError(f"expanded {piece}")

    assert render(literal(text), expand) == text
    assert substitute(literal(text), expand) == literal(text)
    assert all(piece.kind is Kind.TEXT for piece in parse(literal(text)))


@given(st.lists(PLACEHOLDERS | TEXTS, max_size=6))
def test_a_template_is_read_as_the_pieces_that_it_was_written_from(pieces):
    template = as_template(pieces)
    assert parse(template) == merged(pieces)
    assert substitute(template, lambda _: None) == template


def test_a_place_before_a_word_has_braces():
    assert substitute("$ROOT${ask:x}/$ROOT", lambda piece: {"x": "_y"}.get(piece.name)) == (
        "${ROOT}_y/$ROOT"
    )
    assert parse("${ROOT}_y") == (Piece(Kind.PLACE, "ROOT"), Piece(Kind.TEXT, "_y"))


@given(st.lists(PLACEHOLDERS | TEXTS, max_size=6), USER_TEXT)
def test_a_substituted_value_is_text_wherever_it_stands(pieces, value):
    def only_questions(piece):
        return value if piece.kind is Kind.QUESTION else None

    expected = [
        Piece(Kind.TEXT, value) if piece.kind is Kind.QUESTION else piece for piece in pieces
    ]
    found = substitute(as_template(pieces), only_questions)
    assert parse(found) == merged([piece for piece in expected if piece != (Kind.TEXT, "")])


@given(USER_TEXT)
def test_any_text_is_a_template_or_a_value_error(text):
    try:
        pieces = parse(text)
    except ValueError as error:
        assert "starts no placeholder" in str(error)
    else:
        assert parse(as_template(pieces)) == pieces
