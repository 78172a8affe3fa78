"""``python -m ci_sessions``, called as a user or a CI job does."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess

import pytest
from integration.conftest import PLAIN, STEP, ci, suggested, write_script

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.scheduled import scheduled_matrices
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import read_checkout
from ci_sessions.job.job_json import job_from_json
from ci_sessions.records.store import read_runs
from ci_sessions.report.plan import plan_script

CPU = "linux-jammy-py3.10-gcc11"


def test_the_sample_is_used_and_logged_without_a_checkout(tmp_path):
    done = ci("run", "jit_legacy", "--records", "records", cwd=tmp_path, check=0)
    assert "using the sample checkout" in done.stderr
    assert re.search(
        r"^PASSED  jit_legacy on linux-.*py3\.\d+, shard 1 of 1 · 2 tests",
        done.stdout,
        re.MULTILINE,
    )
    assert " ✓ test_jit_legacy" in done.stdout
    (run,) = read_runs(tmp_path / "records")
    assert run.exit_code == 0
    assert [step.cases.total for step in run.steps if step.cases] == [3, 3]


@pytest.mark.parametrize(
    "config",
    [
        "smoke",
        "docs_test",
        "python",
        "distributed",
        "inductor_distributed",
        "inductor_cpp_wrapper",
        "huggingface",
        "torchbench",
        "timm",
        "multigpu",
    ],
)
def test_every_configuration_runs_on_the_sample(checkout, config):
    done = ci("run", config, "--build-environment", CPU, cwd=checkout, env={"CI": "1"}, check=0)
    assert f"PASSED  {config} on {CPU}" in done.stdout


def test_the_environment_names_the_job(checkout):
    env = {
        "TEST_CONFIG": "distributed",
        "BUILD_ENVIRONMENT": CPU,
        "SHARD_NUMBER": "2",
        "NUM_TEST_SHARDS": "2",
    }
    done = ci("plan", cwd=checkout, env=env, check=0)
    assert done.stdout.startswith(
        "distributed · shard 2 of 2 · linux-jammy-py3.10-gcc11 (cpu, python 3.10, gcc 11)"
    )
    done = ci("plan", "--shard", "1/3", "jit_legacy", cwd=checkout, env=env, check=0)
    assert done.stdout.startswith("jit_legacy · shard 1 of 3")


def test_a_checkout_is_found_from_a_folder_below_it(checkout):
    done = ci("plan", "jit_legacy", cwd=checkout / "test" / "inductor", check=0)
    assert f"checkout {checkout} (the sample checkout 2.13.0)" in done.stdout


def test_a_dry_run_starts_nothing_and_writes_nothing(checkout, tmp_path):
    """The programs that steps would start are replaced by ones that create a file."""
    for name in ("git", "pip", "pip3", "sudo", "pytest", "python3"):
        write_script(
            tmp_path / "bin" / name, f"#!/bin/sh\ntouch {shlex.quote(str(tmp_path / 'started'))}\n"
        )
    before = sorted(path for path in checkout.rglob("*") if ".git" not in path.parts)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    ci("plan", "torchbench", cwd=checkout, env={"PATH": path}, check=0)
    ci("run", "torchbench", "--dry-run", cwd=checkout, env={"PATH": path}, check=0)
    assert not (tmp_path / "started").exists()
    assert sorted(path for path in checkout.rglob("*") if ".git" not in path.parts) == before


def test_json_is_all_there_is_on_standard_output(checkout):
    done = ci("plan", "python", "--json", cwd=checkout, check=0)
    data = json.loads(done.stdout)
    assert [test["name"] for test in data["tests"]] == ["test_python", "test_aten", "test_vec256"]
    assert data["checkout"] == str(checkout)
    assert done.stderr == ""


def test_a_dry_run_is_the_truth(checkout):
    """The plan as a bash script runs the same test cases as the run itself."""
    script = ci("plan", "jit_legacy", "--shell", cwd=checkout, check=0).stdout
    pasted = subprocess.run(
        ["bash"], input=script, capture_output=True, text=True, cwd="/", check=False
    )
    assert pasted.returncode == 0, pasted.stderr
    done = ci("run", "jit_legacy", cwd=checkout, check=0)
    case = re.compile(r"^test_\w+ \(\S+\) \.\.\. \w+$", re.MULTILINE)
    ran = case.findall(done.stdout)
    assert ran == case.findall(pasted.stdout)
    assert len(ran) == 6


def test_the_recorded_commands_are_the_planned_ones(checkout):
    planned = json.loads(ci("plan", "python", "--json", cwd=checkout, check=0).stdout)
    ci("run", "python", cwd=checkout, check=0)
    (run,) = read_runs(checkout / ".ci-sessions")
    ran = {step.id: step.command for step in run.steps if step.kind == "test"}
    shown = {
        step["id"]: " ".join(step["argv"])
        for test in planned["tests"]
        for step in test["steps"]
        if step["kind"] == "test"
    }
    assert ran["python.test_python.1"] == shown["python.test_python.1"]
    assert {key.removesuffix(".vec256_test_sample") for key in ran} == set(shown)


RED = "import unittest\nclass T(unittest.TestCase):\n    def test_red(self):\n        self.assertEqual(1, 2, 'sums')\n"


def test_a_red_run_names_case_code_and_a_command_that_repeats_it(checkout):
    (checkout / "test" / "test_jit_legacy.py").write_text(RED)
    done = ci("run", "jit_legacy", "--build-environment", CPU, cwd=checkout, check=1)
    end = done.stdout[done.stdout.index("\nFAILED  jit_legacy") :]
    assert len(end.splitlines()) < 24, "the summary fits on a screen"
    assert " ✗ test_jit_legacy              exit 1" in end
    assert "     test_jit_legacy.T.test_red" in end
    assert "AssertionError: 1 != 2 : sums" in end
    again, plain = suggested(end)[STEP][0], suggested(end)[PLAIN][0]
    assert again.endswith(
        f" -m ci_sessions run jit_legacy --build-environment {CPU} --test test_jit_legacy --step 1"
    )
    repeated = subprocess.run(
        again, shell=True, cwd=checkout, capture_output=True, text=True, check=False
    )
    assert repeated.returncode == 1
    assert "test_jit_legacy.T.test_red" in repeated.stdout
    assert "test_jit.1" not in repeated.stdout
    repeated = subprocess.run(
        plain, shell=True, cwd="/", capture_output=True, text=True, check=False
    )
    assert repeated.returncode == 1
    assert "1 != 2 : sums" in repeated.stdout + repeated.stderr


def test_a_repeat_command_sets_the_variables_without_options(checkout):
    (checkout / "test" / "test_torch.py").write_text(RED)
    env = {"TESTS_TO_INCLUDE": "test_torch test_ops"}
    done = ci(
        "run",
        "python",
        "--build-environment",
        CPU,
        "--shard",
        "1/2",
        cwd=checkout,
        env=env,
        check=1,
    )
    assert (
        "TESTS_TO_INCLUDE='test_torch test_ops' python -m ci_sessions run python "
        f"--build-environment {CPU} --shard 1/2 --test test_python --step 1"
    ) in done.stdout


def test_the_childs_own_exit_code_is_ours(checkout):
    write_script(checkout / ".ci" / "pytorch" / "docs-test.sh", "#!/bin/sh\nexit 42\n")
    ci("run", "docs_test", cwd=checkout, check=42)


def test_one_test_of_a_configuration(checkout):
    done = ci(
        "run", "python", "--test", "test_aten", "--test", "test_vec256", cwd=checkout, check=0
    )
    assert "2 tests" in done.stdout
    assert "test_python" not in done.stdout


def test_keep_going_lists_all_that_failed(checkout):
    (checkout / "test" / "test_torch.py").write_text(RED)
    write_script(checkout / "build" / "bin" / "basic", "#!/bin/sh\nexit 3\n")
    done = ci("run", "python", cwd=checkout, check=1)
    assert "1 failed" in done.stdout
    assert " ✗ test_aten" not in done.stdout
    done = ci("run", "python", cwd=checkout, env={"CONTINUE_THROUGH_ERROR": "1"}, check=1)
    assert "3 tests, 2 failed" in done.stdout
    assert " ✗ test_aten                    exit 3" in done.stdout
    assert " ✓ test_vec256" in done.stdout


def test_installs_can_be_left_out(checkout):
    (checkout / ".ci-sessions-sample").unlink()
    done = ci("plan", "timm", "--no-install", "--json", cwd=checkout, check=0)
    steps = [step for test in json.loads(done.stdout)["tests"] for step in test["steps"]]
    assert {step.get("skipped") for step in steps if step["kind"] == "install"} == {"--no-install"}


def test_a_secret_appears_nowhere(checkout):
    (checkout / "test" / "test_jit.py").write_text(
        "import os\nprint('the token is', os.environ['MY_TOKEN'])\n" + RED
    )
    env = {"MY_TOKEN": "swordfish", "TESTS_TO_INCLUDE": "swordfish"}
    done = ci("run", "jit_legacy", cwd=checkout, env=env, check=1)
    assert "the token is ***" in done.stdout
    records = "".join(path.read_text() for path in (checkout / ".ci-sessions").rglob("*.jsonl"))
    plan = ci("plan", "python", cwd=checkout, env=env, check=0).stdout
    assert "swordfish" not in done.stdout + done.stderr + records + plan


def test_github_actions_gets_groups(checkout):
    done = ci("run", "docs_test", cwd=checkout, env={"GITHUB_ACTIONS": "true"}, check=0)
    assert done.stdout.count("::group::") == done.stdout.count("::endgroup::") == 2


BAD = [
    ({}, ["run"], "TEST_CONFIG is not set: choose a configuration"),
    ({"TEST_CONFIG": " "}, ["run"], "TEST_CONFIG is not set"),
    ({}, ["run", "jit_legcy"], "did you mean jit_legacy?"),
    ({"TEST_CONFIG": "torchbnch"}, ["plan"], "did you mean torchbench"),
    (
        {},
        ["run", "jit_legacy", "--checkout", "/nope"],
        "--checkout is '/nope', but there is no such folder",
    ),
    (
        {},
        ["run", "jit_legacy", "--checkout", "/"],
        "--checkout is '/', which has no test/run_test.py",
    ),
    ({"SHARD_NUMBER": "0"}, ["plan", "python"], "SHARD_NUMBER is 0, but NUM_TEST_SHARDS is 1"),
    (
        {"SHARD_NUMBER": "6", "NUM_TEST_SHARDS": "5"},
        ["plan", "python"],
        "shards are numbered 1 to 5",
    ),
    (
        {"SHARD_NUMBER": "x"},
        ["plan", "python"],
        "SHARD_NUMBER is 'x' (from the environment): use a whole number",
    ),
    (
        {"SHARD_NUMBER": ""},
        ["plan", "python"],
        "SHARD_NUMBER is empty (from the environment): use a whole number",
    ),
    (
        {"NUM_TEST_SHARDS": "0"},
        ["plan", "python"],
        "NUM_TEST_SHARDS is 0: use 1 or more",
    ),
    ({"NUM_TEST_SHARDS": "-3"}, ["plan", "python"], "NUM_TEST_SHARDS is -3"),
    ({"NUM_TEST_SHARDS": "2.0"}, ["plan", "python"], "NUM_TEST_SHARDS is '2.0'"),
    (
        {},
        ["plan", "python", "--shard", "2of5"],
        "--shard is '2of5': use N/M, such as 1/5 for shard 1 of 5",
    ),
    ({}, ["plan", "python", "--shard", "9/5"], "SHARD_NUMBER is 9, but NUM_TEST_SHARDS is 5"),
    ({}, ["plan", "python", "--shard", "a/b"], "(from --shard)"),
    ({"BUILD_ENVIRONMENT": ""}, ["plan", "python"], "BUILD_ENVIRONMENT is empty"),
    (
        {"BUILD_ENVIRONMENT": "linux jammy"},
        ["plan", "python"],
        "BUILD_ENVIRONMENT is 'linux jammy', which contains ' '",
    ),
    (
        {},
        ["plan", "python", "--build-environment", "linux-cuda1x.y.z"],
        "'cuda1x.y.z' has no valid version after 'cuda'",
    ),
    ({}, ["plan", "python", "--build-environment", "a;b"], "which contains ';'"),
    (
        {"CONTINUE_THROUGH_ERROR": "maybe"},
        ["plan", "python"],
        "CONTINUE_THROUGH_ERROR is 'maybe': use 1 to turn it on",
    ),
    (
        {"PYTORCH_TEST_RERUN_DISABLED_TESTS": "2"},
        ["plan", "python"],
        "PYTORCH_TEST_RERUN_DISABLED_TESTS is '2'",
    ),
    ({"NO_TEST_TIMEOUT": "perhaps"}, ["plan", "python"], "NO_TEST_TIMEOUT is 'perhaps'"),
    ({"VERBOSE_TEST_LOGS": "loud"}, ["plan", "python"], "VERBOSE_TEST_LOGS is 'loud'"),
    (
        {"PYTORCH_TEST_CUDA_MEM_LEAK_CHECK": "?"},
        ["plan", "python"],
        "PYTORCH_TEST_CUDA_MEM_LEAK_CHECK is '?'",
    ),
    (
        {},
        ["run", "python", "--test", "test_atne"],
        "--test is 'test_atne', but python has no such test: choose from test_python, test_aten",
    ),
    (
        {},
        ["run", "python", "--step", "1"],
        "--step selects a step of one test: add one --test NAME",
    ),
    (
        {},
        ["run", "python", "--test", "test_aten", "--step", "99"],
        "--step is 99, but test_aten has ",
    ),
    ({}, ["run", "python", "--step", "x", "--test", "test_aten"], "'x' is not an integer from 1"),
    (
        {},
        ["run", "python", "--timeout", "soon"],
        "--timeout is 'soon': use a number of seconds, or a time such as 15m",
    ),
    ({}, ["run", "python", "--step-timeout", "0"], "--step-timeout is '0'"),
    ({}, ["run", "python", "--nonsense"], "unrecognized arguments: --nonsense"),
    ({}, ["run", "smoke", "--shard", "1/2"], "smoke cannot be sharded"),
    (
        {},
        ["run", "python", "--build-environment", "linux-jammy-cuda13.0-py3.10"],
        "needs 1 cuda device, but this machine has 0",
    ),
    (
        {},
        ["run", "default", "--build-environment", "linux-libtorch"],
        "has no tests to run (libtorch-no-op",
    ),
    (
        {},
        ["run", "distributed", "--test", "test_c10d_nccl"],
        "has no tests to run (NCCL needs CUDA",
    ),
    ({}, ["plan", "--jobs", "/nope.jsonl"], "--jobs /nope.jsonl cannot be read"),
    (
        {},
        ["fly"],
        "unknown command 'fly': choose from plan, run, dispatch, explain, matrix, where, audit, shards, parity, history, ",
    ),
]


@pytest.mark.parametrize(("env", "args", "message"), BAD)
def test_bad_input_is_exit_2_and_says_what_to_do(tmp_path, env, args, message):
    done = ci(*args, cwd=tmp_path, env=env, check=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / ".ci-sessions").exists(), "nothing ran, so nothing is recorded"


def test_a_missing_program_is_reported_before_anything_runs(checkout, tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("bash", "git"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    done = ci("run", "jit_legacy", cwd=checkout, env={"PATH": str(tmp_path / "bin")}, check=2)
    assert "python is not on PATH" in done.stderr


def test_a_checkout_without_run_test_is_reported(checkout):
    (checkout / "test" / "run_test.py").rename(checkout / "test" / "gone.py")
    done = ci("run", "jit_legacy", "--checkout", checkout, cwd="/", check=2)
    assert "has no test/run_test.py" in done.stderr


def test_usage_and_version(tmp_path):
    assert "usage: python -m ci_sessions COMMAND" in ci(cwd=tmp_path, check=0).stdout
    assert ci("--version", cwd=tmp_path, check=0).stdout == "0.1.0\n"
    assert "--keep-going" in ci("run", "--help", cwd=tmp_path, check=0).stdout


JOBS = [
    {"config": "jit_legacy", "build_environment": CPU},
    {"config": "jit_legcy", "build_environment": CPU},
    {"config": "jit_legacy"},
    {"config": "python", "build_environment": CPU, "shard": 3, "num_shards": 2},
    {"config": "python", "build_environment": CPU, "env": ["x"]},
    ["not", "a", "job"],
    {
        "config": "docs_test",
        "build_environment": CPU,
        "shard": 1,
        "num_shards": 1,
        "runner": "x",
        "env": {"A": "1"},
    },
]


def test_many_jobs_are_planned_in_one_process(tmp_path):
    text = "".join(json.dumps(job) + "\n" for job in JOBS) + "\n{torn\n"
    (tmp_path / "jobs.jsonl").write_text(text)
    done = ci("plan", "--jobs", "jobs.jsonl", cwd=tmp_path, env={"TEST_CONFIG": "smoke"}, check=2)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [("error" in line) for line in lines] == [
        False,
        True,
        True,
        True,
        True,
        True,
        False,
        True,
    ]
    assert [line["job"] for line in lines[:-1]] == JOBS
    assert "did you mean jit_legacy" in lines[1]["error"]
    assert "BUILD_ENVIRONMENT is empty" in lines[2]["error"]
    assert "not JSON" in lines[-1]["error"]
    good = subprocess.run(
        ["python", "-m", "ci_sessions", "plan", "--jobs", "-"], input=json.dumps(JOBS[0]), capture_output=True,
        text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(good.stdout) == lines[0]


def test_a_reader_that_stops_early_is_not_an_error(tmp_path):
    (tmp_path / "jobs.jsonl").write_text((json.dumps(JOBS[0]) + "\n") * 2000)
    line = "python -m ci_sessions plan --jobs jobs.jsonl | head -n 1 >/dev/null"
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


def test_a_matrix_of_one_configuration(tmp_path):
    data = json.loads(ci("matrix", "jit_legacy", cwd=tmp_path, check=0).stdout)
    assert {job["config"] for job in data["include"]} == {"jit_legacy"}
    assert (
        "not scheduled by pull.yml"
        in ci("matrix", "smoke", "--workflow", "pull.yml", cwd=tmp_path, check=2).stderr
    )
    assert "did you mean jit_legacy" in ci("matrix", "jit_legcy", cwd=tmp_path, check=2).stderr


def test_an_explanation(tmp_path):
    done = ci("explain", "inductor_distributed", cwd=tmp_path, check=0)
    assert "later rows that also match:\n  config has inductor\n" in done.stdout


def test_a_reset_of_the_checkout_fails_if_it_has_changes(checkout):
    """The backwards compatibility job would discard uncommitted changes."""
    (checkout / "version.txt").write_text("mine\n")
    done = ci("run", "backwards_compat", cwd=checkout, check=1)
    assert "expected no output, but got:" in done.stdout
    assert (checkout / "version.txt").read_text() == "mine\n"


def test_a_failing_executable_of_several_has_a_command_of_its_own(checkout):
    write_script(checkout / "build" / "bin" / "vec256_test_sample", "#!/bin/sh\nexit 9\n")
    done = ci("run", "python", "--test", "test_vec256", cwd=checkout, check=9)
    assert (
        "   $ ./vec256_test_sample --gtest_output=xml:test/test-reports/vec256/./vec256_test_sample.xml"
        in done.stdout
    )
    (plain,) = suggested(done.stdout)[PLAIN]
    assert subprocess.run(plain, shell=True, cwd="/", check=False).returncode == 9


def test_settings_that_look_like_secrets_do_not_break_a_dry_run(checkout):
    env = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "python"}
    data = json.loads(ci("plan", "python", "--json", cwd=checkout, env=env, check=0).stdout)
    assert data["setup"]
    script = ci(
        "plan",
        "smoke_xpu",
        "--build-environment",
        "linux-noble-xpu",
        "--shell",
        cwd=checkout,
        check=0,
    ).stdout
    assert "\n. /opt/intel/oneapi/compiler/latest/env/vars.sh\n" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_every_scheduled_plan_is_a_script_that_bash_can_read(checkout):
    tree = read_checkout(checkout, machine="x86_64")
    jobs = {(m.config, m.build_environment): m.jobs()[0] for m in scheduled_matrices()}
    for job in jobs.values():
        script = plan_script(plan_job(job_from_json(job, config_facts), tree), tree, str)
        done = subprocess.run(
            ["bash", "-n"], input=script, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), job


def test_a_run_takes_one_job(tmp_path):
    done = ci("run", "--jobs", "x", cwd=tmp_path, check=2)
    assert "unrecognized arguments: --jobs" in done.stderr
