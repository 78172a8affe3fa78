"""The jobs of two revisions of the workflows are paired, and what changed is named."""

from __future__ import annotations

from ci_sessions.parity.schedule import (
    Change,
    InputChange,
    JobInEnvironments,
    StepEnvironment,
    environment_pairs,
    pair_jobs,
)


def job(config="a", *environments, workflows=("pull.yml",), shard=1, **env):
    data = {
        "config": config,
        "build_environment": "linux",
        "shard": shard,
        "num_shards": 2,
        "workflows": list(workflows),
        "env": env,
    }
    return JobInEnvironments(data, environments or (StepEnvironment("pull.yml"),))


def test_equal_jobs_are_paired_whatever_their_order():
    one, two = job("a"), job("b")
    assert pair_jobs([one, two], [two, one]) == [Change(two, two), Change(one, one)]


def test_new_and_gone_jobs():
    assert pair_jobs([job("a")], [job("b")]) == [
        Change(None, job("b")),
        Change(job("a"), None),
    ]
    assert pair_jobs([job(shard=1)], [job(shard=1), job(shard=2)])[1].before is None


def test_jobs_that_differ_only_in_an_input_are_paired_by_what_did_not_change():
    before = [job(TESTS="x"), job(TESTS="y")]
    now = [job(TESTS="y"), job(TESTS="z")]
    same, changed = pair_jobs(before, now)
    assert same.inputs == ()
    assert changed.inputs == (InputChange("TESTS", "x", "z"),)


def test_variables_that_only_the_environment_has():
    before = job("a", StepEnvironment("pull.yml", {"A": "1", "B": "1", "C": "1"}, ()))
    now = job("a", StepEnvironment("pull.yml", {"A": "2", "C": "1"}, ("B",)))
    (change,) = pair_jobs([before], [now])
    assert change.inputs == (
        InputChange("A", "1", "2"),
        InputChange("B", "1", "(known only at run time)"),
    )


def test_another_workflow_that_schedules_the_job():
    more = job("a", workflows=("pull.yml", "trunk.yml"))
    (change,) = pair_jobs([job("a")], [more])
    assert change.inputs == (InputChange("workflows", "pull.yml", "pull.yml, trunk.yml"),)


def test_environments_are_compared_within_a_workflow():
    pull, trunk = StepEnvironment("pull.yml", {"A": "1"}), StepEnvironment("trunk.yml", {"A": "2"})
    assert environment_pairs(job("a", pull, trunk), job("a", trunk, pull)) == [
        (trunk, trunk),
        (pull, pull),
    ]
    assert environment_pairs(job("a", pull), job("a", trunk)) == [(pull, trunk)]
