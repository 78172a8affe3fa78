from __future__ import annotations

import html
import io
import json
import logging
import re
import shlex
import urllib.parse

import pytest
from faults.github import commands_in
from hypothesis import given
from hypothesis import strategies as st

from ci_sessions.log import configure_logging, log_details, logger
from ci_sessions.plan.shell import quote
from ci_sessions.text import (
    Redactor,
    disarm,
    duration,
    for_annotation,
    for_annotation_title,
    for_html,
    for_json,
    for_log,
    for_markdown,
    for_markdown_block,
    is_secret_name,
    without_credentials,
)


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("HUGGING_FACE_HUB_TOKEN", True), ("SCRIBE_GRAPHQL_ACCESS_TOKEN", True), ("AWS_REGION", True),
        ("DB_PASSWORD", True), ("MY_SECRET", True), ("API_KEY", True), ("SSH_PRIVATE_KEY", True), ("KEY", True),
        ("GITHUB_PAT", True), ("GPG_PASSPHRASE", True), ("PATH", False), ("KEYBOARD", False), ("MONKEY", False), ("TEST_CONFIG", False), ("LAWS_X", False),
    ],
)  # fmt: skip
def test_secrets_are_known_by_their_names(name, is_secret):
    assert is_secret_name(name) is is_secret


def test_values_are_masked_the_longest_first_and_short_ones_not():
    redact = Redactor({"A_TOKEN": "abcdef", "B_TOKEN": "abcdefgh", "C_TOKEN": "1", "D": "plain"})
    assert redact("x abcdefgh y abcdef z 1 plain") == "x *** y *** z 1 plain"


def test_a_short_secret_is_hidden_where_it_is_all_of_its_variables_value():
    redact = Redactor({"C_TOKEN": "12345"})
    assert redact.value("C_TOKEN", "12345") == "***"
    assert redact.value("SHARD", "12345") == "12345"
    assert redact.value("C_TOKEN", "") == ""


def test_structure_is_never_redacted_and_values_are():
    redact = Redactor({"AWS_PROFILE": "passed", "DB_PASSWORD": "shell", "A_TOKEN": "hunter22"})
    event = {"outcome": "passed", "note": "passed hunter22", "list": ["--t=hunter22", 1], "n": None}
    assert redact.fields(event, {"outcome"}) == {
        "outcome": "passed", "note": "*** ***", "list": ["--t=***", 1], "n": None,
    }  # fmt: skip
    assert redact.fields({"inputs": {"MY_TOKEN": "x"}}) == {"inputs": {"MY_TOKEN": "***"}}


@pytest.mark.parametrize("secret", ["it's $HOME", 'say "hi"', "a\\b c;d", "naïve/ü=1", "x<y>&z"])
@pytest.mark.parametrize(
    "write",
    [
        str, quote, shlex.quote, json.dumps, repr, html.escape, for_annotation, urllib.parse.quote,
        lambda text: urllib.parse.quote(text, safe=""),
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps(f"x {quote(text)}"),
    ],
)  # fmt: skip
def test_a_secret_is_hidden_however_it_is_quoted(secret, write):
    redact = Redactor({"A_TOKEN": secret})
    assert redact(f"a {write(secret)} b").count("***") == 1
    assert not set(re.findall(r"[a-z]{4,}", redact(f"a {write(secret)} b")))


def test_the_credentials_of_a_url_are_hidden():
    assert without_credentials("see https://u:s@host/x and http://h/@y") == (
        "see https://***@host/x and http://h/@y"
    )
    assert Redactor({})("git clone https://x:tok@h") == "git clone https://***@h"


def test_harmless_values_are_not_redacted():
    redact = Redactor(
        {"AWS_EC2_METADATA_DISABLED": "true", "AWS_OUTPUT": "json", "AWS_ID": "AKIA1234"}
    )
    assert redact("|| true; json AKIA1234") == "|| true; json ***"


def test_more_secrets_can_be_learned():
    redact = Redactor({})
    redact.learn({"A_TOKEN": "hunter22"})
    assert redact("hunter22") == "***"


def test_the_log_hides_secrets_too():
    stream = io.StringIO()
    try:
        configure_logging(Redactor({"A_TOKEN": "hunter22"}), stream=stream)
        logger.warning("it is %s\n::error::x", "hunter22")
        assert "it is ***\n: :error::x" in stream.getvalue()
    finally:
        logger.handlers.clear()
        logger.propagate = True


def test_each_line_of_a_secret_is_one():
    redact = Redactor({"SSH_KEY": "first line\nsecond line"})
    assert redact("has second line in it") == "has *** in it"


def test_half_a_secret_at_the_end_of_a_piece_is_held_back():
    redact = Redactor({"A_TOKEN": "hunter22"})
    assert redact.split_safely("say hunt") == ("say ", "hunt")
    assert redact.split_safely("say hello") == ("say hello", "")
    assert Redactor({}).split_safely("hunt") == ("hunt", "")
    both = Redactor({"A_TOKEN": "terror", "B_TOKEN": "hunter22", "C_TOKEN": "errors"})
    assert both.split_safely("say terhunt") == ("say ter", "hunt")
    assert both.split_safely("say hunter") == ("say ", "hunter"), "the longest end"


def test_nothing_secret_leaves_text_alone():
    assert Redactor({"PATH": "/usr/bin"})("/usr/bin") == "/usr/bin"


def test_the_log_goes_to_the_given_stream():
    stream = io.StringIO()
    try:
        configure_logging(stream=stream)
        logger.debug("a detail")
        log_details()
        logger.debug("hello %s", "there")
        assert stream.getvalue().count("\n") == 1
        assert "hello there" in stream.getvalue()
        configure_logging(stream=stream)
        assert logger.level == logging.INFO
    finally:
        logger.handlers.clear()
        logger.propagate = True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (312, "5 min 12 s"), (7500, "2 h 05 min")],
)
def test_durations_are_formatted_for_people(seconds, text):
    assert duration(seconds) == text


COMMANDS = [
    "::add-mask::x", "  ::error::x", "\u3000::warning::x", "a\r::stop-commands::t", "x ##[error]y",
    "##[group]a", "\n\n::set-env name=PATH::/tmp", "::error::a\n::debug::b", "a##[add-mask]##[debug]",
]  # fmt: skip


@pytest.mark.parametrize("text", COMMANDS)
def test_no_command_is_left_in_a_disarmed_text(text):
    assert commands_in(text)
    assert not commands_in(disarm(text))
    assert not commands_in(for_log(text))


BLANKS = st.sampled_from([" ", "\t", "\r", "\n", "\x85", "\u2028", "\x0b", ""])
PIECES = st.one_of(
    BLANKS,
    st.sampled_from(["::", ":", "##", "#", "[", "]", "##[", "error", "stop-commands"]),
    st.text(max_size=3),
)
FOREIGN = st.lists(PIECES, max_size=12).map("".join)


@given(FOREIGN)
def test_no_text_at_all_is_a_command_once_disarmed(text):
    for shown in (
        disarm(text),
        for_log(text),
        "\n".join(for_markdown_block([text])),
        for_html(text),
    ):
        assert not commands_in(shown)
    assert not commands_in(f"::error title={for_annotation_title(text)}::{for_annotation(text)}")[
        1:
    ]


@given(FOREIGN)
def test_disarming_only_adds_blanks(text):
    assert disarm(text).replace(" ", "") == text.replace(" ", "")


@given(
    st.recursive(
        FOREIGN | st.integers() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FOREIGN, inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_keeps_its_values_and_has_no_command(data):
    text = for_json(data)
    assert json.loads(text) == data
    assert not commands_in(text)


def test_a_log_shows_control_characters_and_obeys_none():
    assert for_log("\x1b[31mred\x1b[0m \x1b]8;;x\x07 a\rb\x00\u202ec\td\ne") == (
        r"red \x1b]8;;x\x07 a\x0db\x00\u202ec" + "\td\ne"
    )


def test_markdown_is_one_plain_line():
    assert for_markdown("a|b `c` <img src=x>\n[l](u) *d* _e_") == (
        r"a\|b \`c\` &lt;img src=x&gt; \[l\]\(u\) \*d\* \_e\_"
    )


def test_a_block_of_code_cannot_be_closed_from_inside():
    lines = for_markdown_block(["```", "a ````` b"])
    assert lines == ["``````", "```", "a ````` b", "``````"]


def test_half_a_secret_is_split_off_at_any_length():
    redact = Redactor({"A_TOKEN": "hunter22"})
    for end in range(1, 8):
        assert redact.split_safely("x " + "hunter22"[:end]) == ("x ", "hunter22"[:end])


@given(st.text(min_size=6, max_size=20), st.text(max_size=10), st.text(max_size=10))
def test_no_secret_survives(secret, before, after):
    redact = Redactor({"A_TOKEN": secret})
    if secret.lower() not in ("default", "***"):
        assert secret not in redact(before + secret + after)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("https://me:pw@host/a@b", "https://***@host/a@b"),
        ("a@b https://host/x", "a@b https://host/x"),
        ("git+ssh://git@host, http://me@host", "git+ssh://***@host, http://***@host"),
        ("://://me@host ://@host", "://://***@host ://@host"),
        (f"https://{'x' * 301}@host", f"https://{'x' * 301}@host"),
    ],
)
def test_only_the_credentials_of_an_address_are_replaced(text, safe):
    assert without_credentials(text) == safe
