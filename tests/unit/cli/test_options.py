from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_sessions.cli.dispatch import DispatchOptions
from ci_sessions.cli.matrix import MatrixOptions
from ci_sessions.cli.options import Context, JobGroup, integer, parse_duration, parse_options
from ci_sessions.cli.parity import ParityOptions
from ci_sessions.cli.plan import PlanOptions
from ci_sessions.cli.rollout import RolloutOptions
from ci_sessions.cli.run import RunOptions
from ci_sessions.cli.stdout import Stdout
from ci_sessions.errors import InputError
from ci_sessions.job.environment import Environment
from ci_sessions.text import Redactor

KINDS = [
    DispatchOptions, JobGroup, MatrixOptions, ParityOptions, PlanOptions, RolloutOptions, RunOptions,
]  # fmt: skip
FLAGS = [
    "--config", "--build-environment", "--shard", "--checkout", "--test", "--step", "--keep-going", "--added",
    "--no-added", "--no-install", "--timeout", "--step-timeout", "--no-hardware-check", "--records", "--keep-days",
    "--dry-run", "--json", "--shell", "--jobs", "--apply", "--rollout", "--script", "--help", "-h", "--", "-", "",
]  # fmt: skip
WORDS = st.sampled_from(
    ["smoke", "1/2", "0", "-1", "15m", "9" * 5000, "a b", "%(prog)s", "%", "@file", "=", "\u0663", "\udc80"]
)  # fmt: skip
ARGUMENTS = st.one_of(
    st.sampled_from(FLAGS),
    WORDS,
    st.tuples(st.sampled_from(FLAGS), WORDS | st.text(max_size=5)).map("=".join),
    st.text(max_size=8),
)


def context(program=("ci-sessions", "run"), config=None):
    return Context(
        program=program,
        summary="Run a job.",
        out=Stdout(io.StringIO()),
        environment=Environment(),
        redact=Redactor({}),
        config=config,
    )


@given(
    st.sampled_from(KINDS),
    st.lists(ARGUMENTS, max_size=7),
    st.sampled_from([None, "smoke"]),
    st.sampled_from(["ci-sessions", "%s", "a b"]),
)
def test_any_arguments_give_options_or_an_input_error(kind, argv, config, program):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            options = parse_options(kind, argv, context((program,), config))
    except InputError as error:
        assert error.exit_code == 2
    except SystemExit as error:
        assert error.code == 0
        assert {"-h", "--help"} & set(argv) or any(one.startswith("-h") for one in argv)
    else:
        assert type(options) is kind


@pytest.mark.parametrize("kind", KINDS)
def test_without_arguments_every_option_has_its_default(kind):
    assert parse_options(kind, [], context()) == kind()


@given(st.text(max_size=8) | st.from_regex(r"[0-9.]{0,12} *(s|m|min|h)?", fullmatch=True))
def test_a_duration_is_positive_and_limited(text):
    try:
        found = parse_duration(text, "--timeout")
    except InputError as error:
        assert "use a number of seconds" in str(error)
    else:
        assert 0 < found <= 10_000_000


@given(st.integers(0, 999_999_999), st.integers(0, 100), st.integers(0, 10_000_000))
def test_an_integer_option_accepts_its_range_only(number, least, most):
    try:
        assert integer(least, most)(str(number)) == number
    except Exception as error:  # noqa: BLE001 - argparse's own class
        assert "is not an integer" in str(error)
        assert not least <= number <= most
