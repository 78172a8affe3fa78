from __future__ import annotations

import pytest
from conftest import make_job

from ci_sessions.errors import InputError
from ci_sessions.job.environment import Environment
from ci_sessions.job.job import Job, Shard, parse_shard


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
    assert job.include == ("test_a", "test_b")
    assert job.include_words == ("--include", "test_a", "test_b")
    assert job.exclude_words == ("--exclude", "test_c")
    assert job.run_test_options == ("--dry", "--run")
    assert job.sudo == ("sudo", "-n")
    assert (job.keep_going, job.rerun_disabled, job.in_wheel_test, job.use_arc) == (True,) * 4
    assert job.inherit("LD_PRELOAD") == "/lib/x.so"
    assert job.inherit("LD_LIBRARY_PATH") == ""
    assert not job.is_first_shard


def test_the_id_is_safe_in_a_shell_and_a_file_name():
    job = make_job("inductor-halide", "linux-jammy-py3.12-gcc11-halide", "1/1")
    assert job.id == "linux-jammy-py3-12-gcc11-halide.inductor-halide.1of1"


def test_one_error_names_every_fault():
    with pytest.raises(InputError) as caught:
        Job.from_environment(
            Environment.of(
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
    assert text.startswith("5 things are wrong")
    for name in ("TEST_CONFIG", "BUILD_ENVIRONMENT", "SHARD_NUMBER", "NUM_TEST_SHARDS", "CONTINUE"):
        assert name in text


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("0/1", "SHARD_NUMBER is 0, but NUM_TEST_SHARDS is 1: there is only 1 shard."),
        ("6/5", "SHARD_NUMBER is 6, but NUM_TEST_SHARDS is 5: shards are numbered 1 to 5."),
        ("-1/5", "SHARD_NUMBER is -1, but NUM_TEST_SHARDS is 5: shards are numbered 1 to 5."),
        ("x/5", "SHARD_NUMBER is 'x' (from the environment): give a whole number, such as 1."),
        ("/5", "SHARD_NUMBER is empty (from the environment): give a whole number, such as 1."),
        ("1/0", "NUM_TEST_SHARDS is 0: there is at least 1 shard."),
        (
            "1/1.5",
            "NUM_TEST_SHARDS is '1.5' (from the environment): give a whole number, such as 1.",
        ),
    ],
)
def test_shards_out_of_range(shard, message):
    with pytest.raises(InputError) as caught:
        make_job("distributed", shard=shard)
    assert caught.value.faults == (message,)


def test_vllm_numbers_its_shards_from_zero():
    assert make_job("vllm_lora_test", shard="0/4").shard == Shard(0, 4)


def test_a_shard_option_is_two_numbers():
    assert parse_shard(" 2/5 ") == ("2", "5")
    with pytest.raises(InputError, match="give the shard and their number, such as 1/5"):
        parse_shard("2 of 5")


def test_a_value_knows_its_source():
    environment = Environment.of({"SHARD_NUMBER": "1"}).with_values("--shard", SHARD_NUMBER="2")
    assert environment.get("SHARD_NUMBER") == "2"
    assert environment.source("SHARD_NUMBER") == "--shard"
    assert environment.source("NOTHING") == "default"
    assert list(environment) == ["SHARD_NUMBER"]
    assert environment.with_values("x", SHARD_NUMBER=None).source("SHARD_NUMBER") == "--shard"
