from __future__ import annotations

import io
import logging

import pytest

from ci_sessions.log import hide, logger, set_up
from ci_sessions.text import Redactor, duration, is_secret_name


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
    redact = Redactor({"A_TOKEN": "abcd", "B_TOKEN": "abcdef", "C_TOKEN": "1", "D": "plain"})
    assert redact("x abcdef y abcd z 1 plain") == "x *** y *** z 1 plain"
    assert redact.values({"a": ["--t=abcd", 1], "b": None}) == {"a": ["--t=***", 1], "b": None}


def test_settings_that_are_no_secrets_stay_readable():
    redact = Redactor(
        {"AWS_EC2_METADATA_DISABLED": "true", "AWS_OUTPUT": "json", "AWS_ID": "AKIA1234"}
    )
    assert redact("|| true; json AKIA1234") == "|| true; json ***"


def test_the_log_hides_secrets_too():
    stream = io.StringIO()
    try:
        set_up(stream=stream)
        hide(Redactor({"A_TOKEN": "hunter22"}))
        logger.warning("it is %s", "hunter22")
        assert "it is ***" in stream.getvalue()
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


def test_nothing_secret_leaves_text_alone():
    assert Redactor({"PATH": "/usr/bin"})("/usr/bin") == "/usr/bin"


def test_the_log_goes_where_it_is_sent():
    stream = io.StringIO()
    try:
        set_up(stream=stream, verbose=True)
        logger.debug("hello %s", "there")
        assert "hello there" in stream.getvalue()
        set_up(stream=stream)
        assert logger.level == logging.INFO
    finally:
        logger.handlers.clear()
        logger.propagate = True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (312, "5 min 12 s"), (7500, "2 h 05 min")],
)
def test_times_are_written_as_people_say_them(seconds, text):
    assert duration(seconds) == text
