from __future__ import annotations

import json

import pytest

from ci_sessions.errors import InputError
from ci_sessions.job.environment import Environment
from ci_sessions.job.job import read_job
from ci_sessions.job.job_json import (
    describe_job_json,
    job_from_json,
    job_to_json,
    job_variables,
    merge_jobs,
    parse_jobs,
)
from ci_sessions.job.variables import VARIABLES, Origin

NAMED = {
    "TEST_CONFIG": "slow", "BUILD_ENVIRONMENT": "linux-x", "SHARD_NUMBER": "1", "NUM_TEST_SHARDS": "2",
}  # fmt: skip


def test_the_json_of_a_job_has_only_the_inputs_that_its_workflow_sets():
    more = {one.name: "1" for one in VARIABLES if one.origin is not Origin.JOB}
    job = read_job(Environment({**more, **NAMED, "TESTS_TO_INCLUDE": "a b"}))
    data = json.loads(json.dumps(job_to_json(job)))
    env = data.pop("env")
    assert data == {
        "id": "linux-x.slow.1of2", "build_environment": "linux-x", "config": "slow", "shard": 1,
        "num_shards": 2,
    }  # fmt: skip
    assert set(env) == {one.name for one in VARIABLES if one.origin is Origin.WORKFLOW}
    assert env["TESTS_TO_INCLUDE"] == "a b"


def test_a_job_survives_a_round_trip_through_json():
    job = read_job(Environment({**NAMED, "TESTS_TO_INCLUDE": "a b"}))
    data = job_to_json(job)
    assert job_from_json(data) == job
    assert job_variables(data)["TESTS_TO_INCLUDE"] == "a b"
    assert describe_job_json(data) == "slow, linux-x, shard 1 of 2, TESTS_TO_INCLUDE=a b"


@pytest.mark.parametrize(
    "text",
    [
        '[{"config": "a"}, {"config": "b"}]',
        '{"config": "a"}\n\n{"config": "b"}\n',
        '{"include": [{"config": "a"}, {"config": "b"}]}',
        '{"job": {"config": "a"}, "commands": []}\n{"job": {"config": "b"}}',
    ],
)
def test_jobs_are_read_as_a_list_as_lines_as_a_matrix_or_as_traces(text):
    assert parse_jobs(text, "x") == [{"config": "a"}, {"config": "b"}]


def test_jobs_that_are_not_json_are_an_error():
    first, bad = parse_jobs('{"config": "a"}\n{', "--jobs x")
    assert first == {"config": "a"}
    assert str(bad).startswith("--jobs x, line 2 is not JSON")
    with pytest.raises(InputError, match="--jobs x contains no jobs"):
        parse_jobs(" \n", "--jobs x")
    with pytest.raises(InputError, match="a job is 3: use an object"):
        job_variables(3)


def test_the_same_job_of_two_runners_is_one():
    jobs = [
        {"config": "a", "runner": "x", "workflows": ["p.yml"]},
        {"config": "a", "runner": "y", "workflows": ["t.yml", "p.yml"]},
        {"config": "a", "env": {"X": "1"}},
    ]
    assert [job["workflows"] for job in merge_jobs(jobs)] == [["p.yml", "t.yml"], []]


@pytest.mark.parametrize("env", [{"A=B": "1"}, {"1": "x"}])
def test_an_invalid_variable_is_named(env):
    with pytest.raises(InputError, match="use a valid variable name"):
        job_variables({"config": "x", "env": env})


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"env": {"A": "x\0y"}}, "a job's A is 'x\\\\x00y': use a string without null bytes"),
        ({"env": {"A": ["a"]}}, r"a job's A is \['a'\]: use a string"),
        ({"env": 5}, "a job's env is 5: use an object"),
        ({"config": None}, "a job's config is None: use a string"),
        ({"shard": True}, "a job's shard is True: use a string without null bytes, or a number"),
        ({"workflows": 5}, "a job's workflows are 5: use a list of names"),
    ],
)
def test_values_of_other_types_are_errors(job, message):
    with pytest.raises(InputError, match=message):
        job_variables({"config": "x", **job})


def test_a_value_that_is_nested_too_deeply_is_not_json():
    (bad,) = parse_jobs("[" * 100_000, "--jobs x")
    assert isinstance(bad, InputError)
