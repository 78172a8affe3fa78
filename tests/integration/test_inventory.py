"""``where``, ``audit`` and ``shards`` on copies of the sample checkout: real processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib import resources

import jsonschema
import pytest
from integration.conftest import ci, git
from integration.test_json_formats import errors_in

from ci_sessions.run.sandbox import has_landlock

BUILD = "linux-jammy-py3.10-gcc11"
RUN_TEST = "test/run_test.py"


def line(config, shard=1, total=1, **more):
    return {
        "config": config,
        "build_environment": BUILD,
        "shard": shard,
        "num_shards": total,
        "workflows": ["pull.yml"],
        **more,
    }


JOBS = [
    line("default", 1, 2),
    line("default", 2, 2),
    line("jit_legacy"),
    line("distributed"),
    line("docs_test"),
]


@pytest.fixture
def ask(checkout):
    """Run a command with some jobs; return the completed process."""

    def ask(command, *words, jobs=JOBS, check=0):
        path = checkout.parent / "jobs.json"
        path.write_text(json.dumps(jobs))
        return ci(command, *words, "--jobs", path, cwd=checkout, check=check)

    return ask


def valid(text, name):
    """Return the JSON value that a command printed, checked against its documented schema."""
    schema = resources.files("ci_sessions.resources") / "schemas" / f"{name}.schema.json"
    data = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(json.loads(schema.read_text()))
    jsonschema.validate(data, json.loads(schema.read_text()))
    return data


def edit(checkout, old, new, name=RUN_TEST):
    path = checkout / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_where_names_each_part_in_each_job(ask):
    found = valid(ask("where", "test_ops", "--json").stdout, "where")
    assert sorted((one["config"], one["part"], one["parts"]) for one in found) == [
        ("default", 1, 2),
        ("default", 2, 2),
    ]
    assert {one["minutes"] for one in found} == {9.583}
    assert {one["workflow"] for one in found} == {"pull.yml"}


def test_the_command_runs_just_that_file(ask, checkout):
    text = ask("where", "test_jit_legacy").stdout
    assert text.startswith("test_jit_legacy runs in 1 of 5 scheduled jobs\n")
    command = text.splitlines()[-1].strip()
    done = subprocess.run(
        command, shell=True, cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Running 1 test files, shard 1 of 1: test_jit_legacy 1/1" in done.stdout
    assert "PASSED  jit_legacy" in done.stdout


def test_the_commands_of_the_script_itself(ask, checkout):
    lines = ask("where", "test_jit_legacy", "--script").stdout.splitlines()
    assert lines[0] == "test_jit_legacy runs in 1 of 5 scheduled jobs"
    done = subprocess.run(
        lines[-1].strip(), shell=True, cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Running 1 test files, shard 1 of 1: test_jit_legacy 1/1" in done.stdout
    found = valid(ask("where", "test_ops", "--script", "--json").stdout, "where")
    assert {one["config"] for one in found} == {"default"}
    assert all("run_test.py --include test_ops" in one["command"] for one in found)


def test_a_case_is_in_the_command(ask, checkout):
    (one, _) = valid(
        ask("where", "test_torch.py::TestTorch::test_add", "test_ops", "--json").stdout, "where"
    )[:2]
    words = shlex.split(one["command"])
    assert (
        words[words.index("--case") + 1] == "TestTorch::test_add"
        if one["file"] == "test_torch"
        else "--case" not in words
    )


def test_why_no_job_runs_a_file(ask):
    text = ask("where", "test_jit_legacy", jobs=JOBS[:2]).stdout
    assert text.splitlines()[:2] == [
        "test_jit_legacy runs in none of 2 scheduled jobs",
        "  left out by --exclude-jit-executor in default",
    ]


def test_a_test_that_does_not_exist(ask):
    done = ask("where", "test_jit_legazy", check=2)
    assert "did you mean test_jit_legacy" in done.stderr
    assert "no test is given" in ask("where", check=2).stderr


def test_the_test_files_that_a_change_touches(ask, checkout):
    assert ask("where", "--since", "HEAD").stdout == "no test file has changed since 'HEAD'\n"
    edit(checkout, "import", "import  ", "test/test_ops.py")
    git(checkout, "commit", "-qam", "change")
    assert ask("where", "--since", "HEAD~1").stdout.startswith(
        "test_ops runs in 1 of 5 scheduled jobs"
    )
    assert "no-such-revision" in ask("where", "--since", "no-such-revision", check=2).stderr
    assert "--since is '--output=x'" in ask("where", "--since=--output=x", check=2).stderr


def test_the_shards_are_those_that_run_test_prints(ask, checkout):
    found = valid(ask("shards", "default", "--shards", "3", "--json").stdout, "shards")
    assert found["num_shards"] == len(found["shards"]) == 3
    for shard in found["shards"]:
        options = ["--exclude-jit-executor", "--exclude-distributed-tests", "--shard"]
        printed = subprocess.run(
            [sys.executable, RUN_TEST, "--dry-run", *options, str(shard["number"]), "3"],
            cwd=checkout, capture_output=True, text=True, check=True,
            env={"BUILD_ENVIRONMENT": BUILD, "TEST_CONFIG": "default"},
        ).stderr  # fmt: skip
        assert f"(est. time: {shard['minutes']}min)" in printed
        listed = [one.strip() for one in printed.splitlines() if one.startswith("    ")]
        assert listed == [f"{one['file']} {one['part']}/{one['parts']}" for one in shard["parts"]]
    assert 0 < found["lower_bound"] <= max(shard["minutes"] for shard in found["shards"])


def test_a_target_a_matrix_and_a_plot(ask, checkout):
    text = ask("shards", "default", "--target-minutes", "20", "--svg", "plot.svg").stdout
    assert "20 minutes need 2 shards" in text
    root = ET.fromstring((checkout / "plot.svg").read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in (checkout / "plot.svg").read_text()
    lines = ask("shards", "default", "--target-minutes", "20", "--matrix").stdout.splitlines()
    assert lines[1:] == [f'{{ config: "default", shard: {n}, num_shards: 2 }},' for n in (1, 2)]
    valid(ask("shards", "--all", "--target-minutes", "20", "--json").stdout, "shards")
    overview = ask("shards", "--all", "--target-minutes", "20").stdout
    assert [one.split()[0] for one in overview.splitlines()] == ["config", "default", "distributed"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a configuration"),
        (("default", "--all"), "name a configuration"),
        (("slow",), "'slow' is not scheduled"),
        (("slow_typo", "--build-environment", BUILD, "--shards", "2"), "not a known configuration"),
        (("default", "--shards", "0"), "'0' is not an integer from 1"),
    ],
)
def test_bad_input_of_shards(ask, words, message):
    assert message in ask("shards", *words, check=2).stderr


def test_a_file_that_is_no_timing_file(ask, checkout):
    for text in ("[]", "{", '{"default": {"default": {"test_ops": "long"}}}', '{"x": {}}'):
        (checkout / "times.json").write_text(text)
        assert "--times" in ask("where", "test_ops", "--times", "times.json", check=2).stderr


def test_other_times_divide_the_tests_otherwise(ask, checkout):
    (checkout / "times.json").write_text('{"default": {"default": {"test_ops": 60.0}}}')
    found = valid(ask("where", "test_ops", "--times", "times.json", "--json").stdout, "where")
    assert [(one["parts"], one["minutes"]) for one in found] == [(1, 1.0)]


def new_findings(ask, jobs=JOBS):
    done = ask("audit", "--baseline", "audit.toml", "--json", jobs=jobs, check=1)
    found = valid(done.stdout, "audit")
    assert "new finding" in ask("audit", "--baseline", "audit.toml", jobs=jobs, check=1).stdout
    return {kind: [one for one in items if one.get("new", True)] for kind, items in found.items()}


def test_nothing_is_new_against_a_fresh_baseline(ask):
    ask("audit", "--write-baseline", "audit.toml")
    done = ask("audit", "--baseline", "audit.toml")
    assert done.stdout.splitlines()[-1].endswith("nothing new")
    valid(ask("audit", "--json").stdout, "audit")


def test_a_test_that_is_added_and_excluded_is_new(ask, checkout):
    ask("audit", "--write-baseline", "audit.toml")
    (checkout / "test" / "test_new.py").write_text("")
    edit(checkout, 'TESTS = ["test_torch"', 'TESTS = ["test_new", "test_torch"')
    edit(
        checkout,
        '["test_jit_fuser_legacy", "test_jit_legacy"]',
        '["test_new", "test_jit_fuser_legacy", "test_jit_legacy"]',
    )
    new = new_findings(ask)
    assert new["unrun"] == [
        {"file": "test_new", "reason": "left out by --exclude-jit-executor in default", "new": True}
    ]
    assert sum(map(len, new.values())) == 1


def test_a_shard_that_is_dropped_from_a_matrix_is_new(ask):
    ask("audit", "--write-baseline", "audit.toml")
    new = new_findings(ask, [job for job in JOBS if job["shard"] != 2])
    assert [(one["config"], one["missing"]) for one in new["incomplete"]] == [("default", [2])]
    assert "test_ops" in {one["file"] for one in new["unrun"]}
    assert [one["config"] for one in new["changed"]] == ["default"]


def test_a_configuration_that_loses_its_include_is_new(ask):
    env = {"TESTS_TO_INCLUDE": "test_ops"}
    ask("audit", "--write-baseline", "audit.toml", jobs=[line("slow", env=env)])
    (change,) = new_findings(ask, [line("slow")])["changed"]
    assert change["config"] == "slow"
    assert change["now"] > change["before"] > 0


def test_a_step_that_run_test_refuses_is_named(ask):
    found = valid(
        ask(
            "audit", "--json", jobs=[line("slow", env={"TESTS_TO_INCLUDE": "test_ops --bad"})]
        ).stdout,
        "audit",
    )
    assert [(one["config"], one["reason"]) for one in found["refused"]] == [
        ("slow", "run_test.py refuses: unrecognized arguments: --bad")
    ]


def test_answers_are_kept_by_the_content_of_what_was_read(ask, checkout):
    before = ask("where", "test_ops").stdout
    (kept,) = (checkout / ".ci-sessions" / "inventory").iterdir()
    data = kept.read_bytes()
    assert ask("where", "test_ops").stdout == before
    assert kept.read_bytes() == data
    kept.write_bytes(b"broken")
    assert ask("where", "test_ops").stdout == before
    edit(checkout, "LONGEST = 600", "LONGEST = 300")
    assert "/4" in ask("where", "test_ops").stdout


HOSTILE = """\
import os, socket, subprocess, sys
def attempt(act):
    try:
        act()
    except Exception:
        pass
attempt(lambda: open({outside!r}, "w"))
attempt(lambda: subprocess.run(["touch", {outside!r}]))
attempt(lambda: socket.create_connection(("127.0.0.1", 9), 1))
attempt(lambda: os.kill({pid}, 9))
def main():
    {end}
"""


@pytest.mark.skipif(not has_landlock(), reason="the kernel has no Landlock, which confines it")
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("os._exit(0)", "its process ended without an answer"),
        ("raise ValueError('no')", "ValueError: no"),
        ("print('x' * 3_000_000)", "printed no list of tests"),
        ("os.kill(os.getppid(), 9)", "run_test.py"),  # which of them is first is chance
    ],
)
def test_a_hostile_script_is_confined_and_reported(ask, checkout, tmp_path, end, reason):
    outside = str(tmp_path / "outside")
    (checkout / RUN_TEST).write_text(HOSTILE.format(outside=outside, pid=os.getpid(), end=end))
    found = valid(ask("audit", "--json", jobs=[line("default", 1, 2)]).stdout, "audit")
    assert not (tmp_path / "outside").exists()
    assert any(reason in one["reason"] for one in found["refused"])


def test_a_release_that_asks_more_of_torch_is_not_answered_wrongly(ask, checkout):
    edit(
        checkout,
        "import argparse\n",
        "import argparse\nimport torch\nif torch.backends.mkl.is_available(): pass\n",
    )
    found = valid(ask("audit", "--json", jobs=[line("jit_legacy")]).stdout, "audit")
    assert "run_test.py asks for torch.backends, which only a build can answer" in {
        one["reason"] for one in found["refused"]
    }


def test_a_checkout_without_run_test_says_so(ask, checkout):
    (checkout / RUN_TEST).unlink()
    assert RUN_TEST in ask("where", "test_ops", "--checkout", ".", check=2).stderr


def test_the_minutes_of_a_planned_job(checkout):
    words = ("plan", "jit_legacy", "--build-environment", BUILD, "--minutes")
    found = json.loads(ci(*words, "--json", cwd=checkout, check=0).stdout)
    assert errors_in("plan.schema.json", found) == []
    assert found["minutes"]["total"] == 2.5
    text = ci(*words, cwd=checkout, check=0).stdout
    assert text.endswith(
        "about 2.5 minutes, 1 of 1 step with a known time\n  test_jit_legacy 1  2.5  (run_test.py)\n"
    )
    assert ci("run", *words[1:], "--dry-run", cwd=checkout, check=0).stdout.endswith(
        text[text.rindex("about ") :]
    )


def test_the_minutes_of_an_explained_job(checkout):
    words = ("explain", "jit_legacy", "--build-environment", BUILD, "--minutes")
    found = json.loads(ci(*words, "--json", cwd=checkout, check=0).stdout)
    assert errors_in("explain.schema.json", found) == []
    assert found["minutes"]["total"] == 2.5
    assert "\nabout 2.5 minutes, 1 of 1 step" in ci(*words, cwd=checkout, check=0).stdout


def test_after_a_run_the_estimate_is_compared_with_what_it_took(checkout):
    words = ("run", "jit_legacy", "--build-environment", BUILD, "--minutes")
    text = ci(*words, cwd=checkout, check=0).stdout
    end = r"minutes estimated and taken\n  test_jit_legacy 1  2\.5 \(run_test\.py\), took \d+\.\d\n"
    assert re.search(f"{end}$", text)


def test_a_job_that_cannot_be_planned_is_named(checkout, tmp_path):
    path = tmp_path / "jobs.json"
    path.write_text('{"config": "jit_legacy"}')
    done = ci("where", "test_jit_legacy", "--jobs", str(path), cwd=checkout, check=0)
    assert "1 job cannot be planned, and no test of it is known: " in done.stderr
    assert "BUILD_ENVIRONMENT is empty: set it to a build label" in done.stderr
    done = ci("audit", "--jobs", str(path), cwd=checkout, check=0)
    assert "jit_legacy, the job: " in done.stdout
