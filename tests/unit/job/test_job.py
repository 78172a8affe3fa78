from __future__ import annotations

import re

import pytest
from conftest import make_job
from hypothesis import given
from hypothesis import strategies as st

from ci_sessions.errors import InputError
from ci_sessions.job import variables as v
from ci_sessions.job.environment import Environment
from ci_sessions.job.job import ConfigFacts, JobOptions, Shard, parse_shard, read_job


def test_all_inputs_become_values():
    job = make_job(
        "distributed",
        "linux-jammy-cuda13.0-py3.10-gcc11",
        "2/3",
        TESTS_TO_INCLUDE="test_a  test_b",
        TESTS_TO_EXCLUDE="test_c",
        PYTHON_TEST_EXTRA_OPTION="--dry --run",
        CONTINUE_THROUGH_ERROR="1",
        PYTORCH_TEST_RERUN_DISABLED_TESTS="true",
        IN_WHEEL_TEST="yes",
        USE_ARC="1",
        LD_PRELOAD="/lib/x.so",
        DASHBOARD_TAG="training-true",
        SUDO="sudo -n",
    )
    assert job.shard == Shard(2, 3)
    assert job[v.TESTS_TO_INCLUDE] == ("test_a", "test_b")
    assert job[v.PYTHON_TEST_EXTRA_OPTION] == ("--dry", "--run")
    assert job[v.SUDO] == ("sudo", "-n")
    flags = (
        v.CONTINUE_THROUGH_ERROR,
        v.PYTORCH_TEST_RERUN_DISABLED_TESTS,
        v.IN_WHEEL_TEST,
        v.USE_ARC,
    )
    assert [job[flag] for flag in flags] == [True] * 4
    assert job[v.LD_PRELOAD] == "/lib/x.so"
    assert job[v.LD_LIBRARY_PATH] == ""
    assert job.inputs.raw["TESTS_TO_INCLUDE"] == "test_a  test_b", "strings are kept as given"
    assert not job.is_first_shard


def test_the_id_is_safe_in_a_shell_and_a_file_name():
    job = make_job("inductor-halide", "linux-jammy-py3.12-gcc11-halide", "1/1")
    assert job.id == "linux-jammy-py3-12-gcc11-halide.inductor-halide.1of1"


def test_one_error_lists_every_problem():
    with pytest.raises(InputError) as caught:
        read_job(
            Environment(
                {
                    "TEST_CONFIG": "",
                    "BUILD_ENVIRONMENT": "a b",
                    "SHARD_NUMBER": "x",
                    "NUM_TEST_SHARDS": "0",
                    "CONTINUE_THROUGH_ERROR": "maybe",
                }
            )
        )
    text = str(caught.value)
    assert text.startswith("5 errors in the input")
    for name in ("TEST_CONFIG", "BUILD_ENVIRONMENT", "SHARD_NUMBER", "NUM_TEST_SHARDS", "CONTINUE"):
        assert name in text


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("0/1", "SHARD_NUMBER is 0, but NUM_TEST_SHARDS is 1: there is only 1 shard."),
        ("6/5", "SHARD_NUMBER is 6, but NUM_TEST_SHARDS is 5: shards are numbered 1 to 5."),
        ("-1/5", "SHARD_NUMBER is -1, but NUM_TEST_SHARDS is 5: shards are numbered 1 to 5."),
        ("x/5", "SHARD_NUMBER is 'x' (from the environment): use a whole number, such as 1."),
        ("/5", "SHARD_NUMBER is empty (from the environment): use a whole number, such as 1."),
        ("1/0", "NUM_TEST_SHARDS is 0: use 1 or more."),
        (
            "1/1.5",
            "NUM_TEST_SHARDS is '1.5' (from the environment): use a whole number, such as 1.",
        ),
    ],
)
def test_shards_out_of_range(shard, message):
    with pytest.raises(InputError) as caught:
        make_job("distributed", shard=shard)
    assert caught.value.problems == (message,)


def test_vllm_numbers_its_shards_from_zero():
    assert make_job("vllm_lora_test", shard="0/4").shard == Shard(0, 4)


def test_a_shard_option_is_two_numbers():
    assert parse_shard(" 2/5 ") == ("2", "5")
    with pytest.raises(InputError, match="use N/M, such as 1/5 for shard 1 of 5"):
        parse_shard("2 of 5")


def test_options_override_the_environment_and_messages_name_the_source():
    environment = Environment({"TEST_CONFIG": "a", "SHARD_NUMBER": "1", "NUM_TEST_SHARDS": "2"})

    def read(**options):
        return read_job(environment, JobOptions(build_environment="linux", **options))

    assert (read().config, read().shard) == ("a", Shard(1, 2))
    job = read(config="b", shard="3/4", keep_going=True)
    assert (job.config, job.shard, job[v.CONTINUE_THROUGH_ERROR]) == ("b", Shard(3, 4), True)
    with pytest.raises(InputError, match=r"SHARD_NUMBER is 'x' \(from --shard\)"):
        read(shard="x/4")
    with pytest.raises(InputError, match="--shard is '3': use N/M"):
        read(shard="3")


@pytest.mark.parametrize("config", ["a b", "$HOME", "x" * 201, "ümlaut"])
def test_a_configuration_is_a_name(config):
    with pytest.raises(InputError, match="use at most 200 letters, digits, dots"):
        read_job(Environment({"TEST_CONFIG": config, "BUILD_ENVIRONMENT": "linux"}))


def test_secrets_and_the_runners_own_settings_are_not_part_of_a_job():
    every = {one.name: "1" for one in v.VARIABLES}
    job = read_job(Environment({**every, "TEST_CONFIG": "a", "BUILD_ENVIRONMENT": "linux"}))
    assert not [name for name in job.inputs.raw if v.BY_NAME[name].is_secret]
    assert "USE_PYTHON_TEST_RUNNER" not in job.inputs.raw


NUMBERS = st.integers(-2, 12).map(str) | st.sampled_from(
    ["", " 1 ", "x", "1.5", "\u0663", "9" * 5000]
)


@given(NUMBERS, NUMBERS, st.sampled_from([0, 1]), st.booleans())
def test_a_shard_is_one_of_the_jobs_shards_or_an_input_error(number, total, first, is_option):
    variables = {"TEST_CONFIG": "smoke", "BUILD_ENVIRONMENT": "linux"}
    options = JobOptions(shard=f"{number}/{total}") if is_option else None
    if not is_option:
        variables |= {"SHARD_NUMBER": number, "NUM_TEST_SHARDS": total}
    try:
        shard = read_job(
            Environment(variables), options, lambda _: ConfigFacts(first_shard=first)
        ).shard
    except InputError as error:
        assert "SHARD" in str(error) or "--shard is" in str(error)
    else:
        assert first <= shard.number <= shard.total
        assert (shard.number, shard.total) == (int(number), int(total))


@given(st.text())
def test_any_shard_option_has_two_parts_or_is_an_input_error(text):
    try:
        number, total = parse_shard(text)
    except InputError as error:
        assert "use N/M" in str(error)
    else:
        assert re.sub(r"\s", "", text) == f"{number}/{total}"


@given(st.dictionaries(st.sampled_from(sorted(v.BY_NAME)), st.text()))
def test_any_environment_gives_a_job_or_an_input_error(variables):
    try:
        job = read_job(Environment(variables))
    except InputError as error:
        assert error.problems
    else:
        assert read_job(Environment({**job.inputs.raw, **job.variables()})) == job
