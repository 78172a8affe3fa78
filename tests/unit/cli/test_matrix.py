"""The matrix of a checkout: its own workflows, and parts that GitHub accepts."""

from __future__ import annotations

import io
import json

import pytest

from ci_sessions.cli.matrix import main
from ci_sessions.cli.options import Context
from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.job.environment import Environment
from ci_sessions.text import Redactor

WORKFLOW = """
on: {{push: {{}}}}
jobs:
  test:
    strategy: {{matrix: {{include: [{entries}]}}}}
    runs-on: {runs_on}
    env: {{BUILD_ENVIRONMENT: "${{{{ matrix.build }}}}", NO_TD: "{no_td}"}}
    steps:
      - env: {{TEST_CONFIG: "${{{{ matrix.config }}}}", TESTS_TO_INCLUDE: "${{{{ matrix.only }}}}"}}
        run: docker run -e GITHUB_ACTIONS x .ci/pytorch/test.sh
"""


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "run_test.py").touch()
    (tmp_path / ".ci" / "pytorch").mkdir(parents=True)
    (tmp_path / ".ci" / "pytorch" / "test.sh").touch()
    (tmp_path / ".github" / "workflows").mkdir(parents=True)

    def write(*entries, name="own.yml", runs_on="big", no_td=""):
        text = WORKFLOW.format(
            entries=", ".join(map(json.dumps, entries)), runs_on=runs_on, no_td=no_td
        )
        (tmp_path / ".github" / "workflows" / name).write_text(text)

    write.root = tmp_path
    return write


def matrix(*argv):
    out = io.StringIO()
    context = Context(
        program=("ci-sessions", "matrix"),
        summary="",
        out=out,
        environment=Environment({}, "test"),
        redact=Redactor({}),
    )
    assert main(argv, context) == 0
    return json.loads(out.getvalue())["include"]


def own(checkout, *argv):
    return matrix("--checkout", str(checkout.root), *argv)


def test_the_sample_checkout_has_the_recorded_jobs():
    assert matrix("--workflow", "test-h100") == [
        {
            "build_environment": "linux-jammy-cuda13.0-py3.10-gcc11-sm90", "config": "smoke", "shard": 1,
            "num_shards": 1, "runner": "linux.aws.h100",
        }
    ]  # fmt: skip


def test_a_checkouts_own_workflows_come_first_with_build_runner_and_variables(checkout):
    odd = "a 'b' \"c\" ${{ d }} \\ é\nf"
    checkout(
        {"config": "mine", "build": "linux-a", "only": odd.replace("${{ d }}", "$d")},
        {"config": "mine", "build": "linux-b", "runner": "small"},
        no_td="1",
    )
    shard = {"shard": 1, "num_shards": 1}
    env = {"NO_TD": "1"}
    assert own(checkout) == [
        {
            "build_environment": "linux-a", "config": "mine", **shard, "runner": "big",
            "env": {"TESTS_TO_INCLUDE": odd.replace("${{ d }}", "$d"), **env},
        },
        {"build_environment": "linux-b", "config": "mine", **shard, "runner": "small", "env": env},
    ]  # fmt: skip


def test_entries_that_differ_only_in_their_runner_are_kept_and_equal_ones_are_one(checkout):
    entry = {"config": "mine", "build": "linux-a"}
    checkout({**entry, "runner": "g4"}, {**entry, "runner": "g5"}, entry)
    checkout(entry, {**entry, "runner": ["self-hosted", "gpu"]}, name="again.yml")
    runners = [job["runner"] for job in own(checkout)]
    assert sorted(map(str, runners)) == ["['self-hosted', 'gpu']", "big", "g4", "g5"]
    assert [job["runner"] for job in own(checkout, "--workflow", "again")] == [
        "big",
        ["self-hosted", "gpu"],
    ]


def test_more_jobs_than_github_accepts_are_an_error_and_parts_have_each_once(checkout):
    checkout(*({"config": "mine", "build": f"linux-{n:03}"} for n in range(600)))
    problem = r"has 600 jobs, but GitHub accepts at most 256 in one: use --part 1/3 to --part 3/3"
    with pytest.raises(InputError, match=problem):
        own(checkout)
    with pytest.raises(InputError, match="part 1/2 has 300 jobs"):
        own(checkout, "--part", "1/2")
    parts = [own(checkout, "--part", f"{n}/7") for n in range(1, 8)]
    builds = [job["build_environment"] for part in parts for job in part]
    assert builds == [f"linux-{n:03}" for n in range(600)]
    assert {len(part) for part in parts} == {85, 86}


def test_256_jobs_fit(checkout):
    checkout(*({"config": "mine", "build": f"linux-{n}"} for n in range(256)))
    assert len(own(checkout)) == 256


@pytest.mark.parametrize("part", ["0/1", "2/1", "1", "1/", "/", "a/b", "1/0", "-1/2", "1/2/3", "²/3"])  # fmt: skip
def test_a_part_that_does_not_exist(checkout, part):
    checkout({"config": "mine", "build": "linux-a"})
    with pytest.raises(InputError, match=r"--part is .*: use N/M, such as 1/3"):
        own(checkout, f"--part={part}")


def test_an_empty_part_is_an_error_because_github_has_no_empty_matrix(checkout):
    checkout({"config": "mine", "build": "linux-a"})
    with pytest.raises(
        InputError, match="--part is '1/2', which is empty: there is no more than 1 job,"
    ):
        own(checkout, "--part", "1/2")


def test_a_workflow_or_configuration_that_is_not_there():
    with pytest.raises(InputError, match=r"'pul', but no workflow .*: did you mean pull.yml"):
        matrix("--workflow", "pul")
    with pytest.raises(InputError, match=r"choose from .*trunk.yml"):
        matrix("--workflow", "z" * 90)
    with pytest.raises(InputError, match=r"'smoke' is not scheduled by pull.yml"):
        matrix("smoke", "--workflow", "pull.yml")


def test_a_checkout_without_workflows_or_without_tests_in_them(checkout):
    with pytest.raises(CheckoutError, match="contains no workflows: there are no jobs"):
        own(checkout)
    (checkout.root / ".github" / "workflows" / "a.yml").write_text("on: push\njobs: {}\n")
    with pytest.raises(InputError, match=r"no workflow in .* runs .ci/pytorch/test.sh"):
        own(checkout)
