"""``parity`` from the command line and from nox: real bash, real git, real exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from integration.conftest import ci, write_script

from ci_sessions.errors import InternalError
from ci_sessions.parity import pool
from ci_sessions.parity.profile import read_profile
from ci_sessions.parity.staging import read_stage
from ci_sessions.run.process import LineProcess

SCRIPT = ".ci/pytorch/test.sh"
SAMPLE_CONFIGS = {
    "smoke", "docs_test", "python", "distributed", "jit_legacy", "inductor_distributed",
    "inductor_cpp_wrapper", "huggingface", "torchbench", "timm",
}  # fmt: skip


def edit(tree, old, new):
    path = tree / SCRIPT
    text = path.read_text()
    assert old in text
    write_script(path, text.replace(old, new, 1))


def test_every_configuration_of_the_sample_is_equal(checkout):
    done = ci("parity", cwd=checkout, check=0)
    assert done.stdout.startswith("jobs 10   equal 10   equal except for accepted differences 0")
    found = json.loads(ci("parity", "--json", cwd=checkout, check=0).stdout)
    assert set(found["configs"]) == SAMPLE_CONFIGS
    assert found["cached"] == 10


def test_processes_share_the_cache_without_a_lock(checkout, tmp_path):
    """Recordings are replaced as a whole, so nobody waits, and nobody reads a part of one."""
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "ci_sessions", "parity", "--json"]
    started = [
        subprocess.Popen(command, cwd=checkout, env=env, stdout=subprocess.PIPE) for _ in range(3)
    ]
    found = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert [one["totals"]["equal"] for one in found] == [10] * 3
    again = json.loads(ci("parity", "--json", cwd=checkout, env=env, check=0).stdout)
    assert (again["totals"]["equal"], again["cached"]) == (10, 10)
    assert len(list(tmp_path.rglob("*.json.gz"))) == 10
    assert not list(tmp_path.rglob("*.partial"))


def test_a_line_added_to_the_script_is_found_at_its_line(checkout):
    edit(checkout, "test_jit_fuser_legacy --verbose", "test_jit_fuser_legacy --verbose --new")
    done = ci("parity", "jit_legacy", cwd=checkout, check=1)
    line = (
        (checkout / SCRIPT)
        .read_text()
        .splitlines()
        .index("    run_test --include test_jit_legacy test_jit_fuser_legacy --verbose --new")
    )
    assert f"(called from test.sh:{line + 1})" in done.stdout
    assert "^ --new is missing from the plan" in done.stdout
    named = checkout / "accepted.toml"
    named.write_text(
        'format = 1\n[[difference]]\nwhat = "*--new"\njobs = "jit_legacy, *"\nwhy = "soon"\nuntil = 2999-01-01\n'
    )
    done = ci("parity", "jit_legacy", "--accepted", str(named), cwd=checkout, check=0)
    assert "equal except for accepted differences 1" in done.stdout
    edit(checkout, " --new", "")
    done = ci("parity", "jit_legacy", "--accepted", str(named), cwd=checkout, check=1)
    assert "accepted differences: unused: '*--new' for 'jit_legacy, *'" in done.stdout


def test_a_change_in_a_loop_over_files_of_a_build_is_seen(checkout):
    """The checkout of a pull request has no build, so one file stands for what it makes."""
    edit(checkout, '"$binary" --gtest', '"$binary" --new --gtest')
    done = ci("parity", cwd=checkout, check=1)
    assert "equal 9" in done.stdout
    assert "`--new` is missing from the plan in python: 1 job" in done.stdout
    assert "assumed: vec256_test_stand_in stands for files that a build makes" in done.stdout
    edit(checkout, '"$binary" --new --gtest', "echo")
    done = ci("parity", "python", cwd=checkout, check=1)
    assert "is not in the script in python: 1 job" in done.stdout


def test_markdown_and_recordings(checkout):
    assert ci("parity", "docs_test", "--markdown", cwd=checkout, check=0).stdout.startswith(
        "### ✅ Plans compared with the script"
    )
    done = ci("parity", "jit_legacy", "--trace", cwd=checkout, check=0)
    trace = json.loads(done.stdout)
    assert trace["job"]["config"] == "jit_legacy"
    assert trace["env"]["LANG"] == "C.UTF-8"
    assert [c["argv"][:2] for c in trace["commands"] if c["kind"] == "test"] == [
        ["python", "test/run_test.py"]
    ]


def test_jobs_affected_by_a_change_of_the_script(checkout):
    edit(checkout, "run_test --include test_linalg", "run_test --include test_linalg test_more")
    done = ci("parity", "--since", "HEAD", cwd=checkout, check=0)
    assert done.stdout.startswith("jobs 10   unchanged 9   changed 1")
    assert "  before  python test/run_test.py --include test_linalg -k polar" in done.stdout
    assert "^ test_more was added" in done.stdout
    markdown = ci("parity", "--since", "HEAD", "--markdown", cwd=checkout, check=0).stdout
    assert markdown.startswith("### ✅ Jobs affected by this change")
    done = ci("parity", "--since", "no-such-revision", cwd=checkout, check=2)
    assert "--since is 'no-such-revision', which git cannot read" in done.stderr


def test_jobs_from_a_file_and_from_standard_input(checkout, tmp_path):
    job = {"config": "jit_legacy", "build_environment": "linux-py3.10", "shard": 1, "num_shards": 1}
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps([job, job, {**job, "config": "multigpu"}, {**job, "config": "no"}]))
    done = ci("parity", "--jobs", str(path), cwd=checkout, check=1)
    assert "jobs 3   equal 1" in done.stdout
    assert "no plan 1   run by another script 1" in done.stdout
    assert "TEST_CONFIG is 'no', which is not a known configuration" in done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "ci_sessions", "parity", "--jobs", "-"],
        cwd=checkout, input=json.dumps(job), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "jobs 1   equal 1" in done.stdout


WORKFLOW = """
on: [push]
jobs:
  test:
    strategy: {matrix: {include: [{config: jit_legacy}, {config: docs_test}]}}
    steps:
      - env: {TEST_CONFIG: "${{ matrix.config }}", BUILD_ENVIRONMENT: linux-py3.10}
        run: .ci/pytorch/test.sh
"""


def test_the_checkouts_own_workflows(checkout):
    (checkout / ".ci-sessions-sample").unlink()
    folder = checkout / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "pull.yml").write_text(WORKFLOW)
    # It is no longer a sample, so its plan checks torch, which the sample's script does not.
    found = json.loads(ci("parity", "--json", cwd=checkout, check=1).stdout)
    assert set(found["configs"]) == {"jit_legacy", "docs_test"}
    assert ci("parity", "--workflow", "pull", cwd=checkout, check=1).stdout.startswith("jobs 2")
    done = ci("parity", "--workflow", "trunk", cwd=checkout, check=2)
    assert "no such workflow runs .ci/pytorch/test.sh: choose from pull.yml" in done.stderr
    named = checkout / "accepted.toml"
    named.write_text(
        'format = 1\n[[difference]]\nwhat = "*"\njobs = "gone, *"\nwhy = "x"\nuntil = 2999-01-01\n'
    )
    whole = ci("parity", "--accepted", str(named), cwd=checkout, check=1)
    assert "unused: '*' for 'gone, *'" in whole.stdout


def test_a_job_that_cannot_be_traced(checkout):
    write_script(checkout / SCRIPT, "#!/bin/bash\nset -e\n[[ -f /no/such/file ]]\n")
    done = ci("parity", "jit_legacy", cwd=checkout, check=1)
    assert "could not be traced 1" in done.stdout
    reason = "it ended with exit code 1 at `[[ -f /no/such/file ]]`"
    assert f"could not be traced: {reason} in jit_legacy: 1 job   test.sh:3\n" in done.stdout
    done = ci("parity", "jit_legacy", "--trace", cwd=checkout, check=1)
    assert "could not be traced" in done.stderr


def test_nox_prints_the_same_report(checkout):
    (checkout / "noxfile.py").write_text("import ci_sessions.sessions\n")
    args = [sys.executable, "-m", "nox", "-s", "parity", "--", "jit_legacy"]
    done = subprocess.run(args, cwd=checkout, capture_output=True, text=True, check=True)
    assert "jobs 1   equal 1" in done.stdout
    edit(checkout, "test_jit_fuser_legacy --verbose", "test_jit_fuser_legacy")
    done = subprocess.run(args, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--verbose is not in the script" in done.stdout


def test_options_of_parity_are_not_options_of_run(checkout):
    done = ci("run", "jit_legacy", "--since", "HEAD", cwd=checkout, check=2)
    assert "unrecognized arguments: --since" in done.stderr
    assert "cannot be read" in ci("parity", "--jobs", "none", cwd=checkout, check=2).stderr


@pytest.fixture
def stage(checkout):
    return read_stage(checkout, SCRIPT, read_profile())


def test_a_worker_that_dies_is_replaced(stage, monkeypatch):
    """One job's recording has a fault; the others are complete."""
    asked = []
    real = LineProcess.ask

    def ask(self, line, timeout):
        asked.append(line)
        if len(asked) == 2:  # the first is the hello
            self.terminate()
        return real(self, line, timeout)

    monkeypatch.setattr(LineProcess, "ask", ask)
    jobs = [{"TEST_CONFIG": "jit_legacy", "N": str(n)} for n in range(3)]
    found = list(pool.trace_jobs(jobs, stage, read_profile(), workers=1))
    assert [bool(one.fault) for one in found] == [True, False, False]
    assert found[0].fault.text.startswith("the tracing process died")


def test_a_worker_that_does_not_start_has_a_reason(stage, monkeypatch):
    monkeypatch.setattr(pool.sys, "executable", "/bin/false")
    with pytest.raises(InternalError, match="the tracing process did not start: no error output"):
        list(pool.trace_jobs([{}], stage, read_profile(), workers=1))


def test_identical_jobs_are_traced_once(stage, monkeypatch):
    count = []
    real = LineProcess.ask
    monkeypatch.setattr(
        LineProcess,
        "ask",
        lambda self, line, timeout: (count.append(1), real(self, line, timeout))[1],
    )
    job = {"TEST_CONFIG": "docs_test"}
    found = list(pool.trace_jobs([job, job, job], stage, read_profile(), workers=2))
    assert found[0] == found[1] == found[2]
    assert len(count) == 2  # the handshake and one job


def test_a_comparison_needs_jobs(checkout, tmp_path):
    path = tmp_path / "jobs.json"
    path.write_text("[]")
    done = ci("parity", "--jobs", str(path), cwd=checkout, check=2)
    assert "contains no jobs" in done.stderr
    assert (
        "give a commit, a tag or a branch"
        in ci("parity", "--since=--help", cwd=checkout, check=2).stderr
    )


def test_a_sourced_file_of_the_checkout_is_compared(checkout):
    (checkout / "tools").mkdir()
    (checkout / "tools" / "x.sh").write_text("python hidden.py\n")
    edit(
        checkout,
        "    run_test --include test_jit_legacy",
        "    source tools/x.sh\n    run_test --include test_jit_legacy",
    )
    done = ci("parity", "jit_legacy", cwd=checkout, check=1)
    assert "script  source tools/x.sh\n  source 1 is missing from the plan" in done.stdout


def test_a_signal_leaves_nothing_behind(checkout, tmp_path):
    write_script(checkout / SCRIPT, "#!/bin/bash\nread -t 60 x <> <(:)\n")
    spare = tmp_path / "spare"
    spare.mkdir()
    for folder in (spare, *spare.parents):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o711)
    child = subprocess.Popen(
        [sys.executable, "-m", "ci_sessions", "parity", "jit_legacy", "--no-cache"],
        cwd=checkout, env={**os.environ, "TMPDIR": str(spare)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not list(spare.glob("ci-sessions-*/worker0/job0/log")) and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=20) == 143
    assert list(spare.iterdir()) == []


SCHEDULED = """
name: pull
on: [pull_request]
env: {OF_THE_WORKFLOW: "1"}
jobs:
  test:
    container: image
    env: {OF_THE_JOB: "2"}
    strategy: {matrix: {include: [{config: jit_legacy}, {config: docs_test, tests: test_a}]}}
    steps:
      - env:
          TEST_CONFIG: ${{ matrix.config }}
          BUILD_ENVIRONMENT: linux-py3.10
          TESTS_TO_EXCLUDE: ${{ matrix.tests }}
          OF_THE_STEP: ${{ env.OF_THE_JOB }}3
          RUN: ${{ github.run_id }}
        run: .ci/pytorch/test.sh
"""


def commit(checkout):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    subprocess.run(["git", "add", "-A", "-f"], cwd=checkout, check=True)
    subprocess.run(["git", *who, "commit", "-qm", "x"], cwd=checkout, check=True)


@pytest.fixture
def scheduled(checkout):
    """A checkout with a workflow of its own, all of it committed."""
    (checkout / ".ci-sessions-sample").unlink()
    path = checkout / ".github" / "workflows" / "pull.yml"
    path.parent.mkdir(parents=True)
    path.write_text(SCHEDULED)
    commit(checkout)
    return checkout


def since(checkout, code=0):
    words = ["parity", "--since", "HEAD", "--workflow", "pull", "--json"]
    return json.loads(ci(*words, cwd=checkout, check=code).stdout)


def verdicts(found):
    return {job["job"]["config"]: job["verdict"] for job in found["jobs"]}


@pytest.mark.parametrize(
    ("condition", "changed"),
    [
        ('"$GITHUB_WORKFLOW" != pull', True),
        ('"$GITHUB_WORKFLOW" != trunk', False),
        ("-z $GITHUB_ACTIONS", True),
        ("$CI != true", True),
        ("$GITHUB_EVENT_NAME != pull_request", True),
        ("$GITHUB_REPOSITORY != pytorch/pytorch", True),
        ("$GITHUB_JOB != test", True),
        ("$RUNNER_OS != Linux", True),
        ("$OF_THE_WORKFLOW != 1", True),
        ("$OF_THE_JOB != 2", True),
        ("$OF_THE_STEP != 23", True),
    ],
)
def test_what_a_workflow_hands_over_reaches_the_script(scheduled, condition, changed):
    line = "    run_test --include test_jit_legacy"
    edit(scheduled, line, f"    [[ {condition} ]] || python test/run_test.py --new\n{line}")
    found = verdicts(since(scheduled))
    assert found == {"jit_legacy": "different" if changed else "equal", "docs_test": "equal"}


@pytest.mark.parametrize("name", ["RUN", "GITHUB_REF", "GITHUB_SHA", "RUNNER_NAME"])
def test_a_value_known_only_at_run_time_is_never_unchanged(scheduled, name):
    line = "    run_test --include test_jit_legacy"
    edit(scheduled, line, f"    [[ ${name} != 7 ]] || python test/run_test.py --new\n{line}")
    found = since(scheduled, code=1)
    assert verdicts(found) == {"jit_legacy": "unknown", "docs_test": "equal"}
    (job,) = [job for job in found["jobs"] if job["verdict"] == "unknown"]
    (read,) = job["unknown"]
    number = (scheduled / SCRIPT).read_text().splitlines().index(
        f"    [[ ${name} != 7 ]] || python test/run_test.py --new"
    )  # fmt: skip
    assert (read["name"], read["lines"][0]) == (name, f"{SCRIPT}:{number + 1}")
    done = ci("parity", "--since", "HEAD", "--workflow", "pull", cwd=scheduled, check=1)
    cause = f"reads {name}, whose value is known only at run time in jit_legacy: 1 job"
    assert f"{cause}   test.sh:{number + 1}" in done.stdout


def test_nothing_changed_is_unchanged_whatever_the_script_reads(scheduled):
    line = "    run_test --include test_jit_legacy"
    edit(scheduled, line, f"    [[ $GITHUB_REF != 7 ]] || python test/run_test.py --new\n{line}")
    commit(scheduled)
    assert verdicts(since(scheduled)) == {"jit_legacy": "equal", "docs_test": "equal"}
    path = scheduled / ".github" / "workflows" / "pull.yml"
    path.write_text(SCHEDULED.replace("name: pull", "name: other"))
    assert verdicts(since(scheduled)) == {"jit_legacy": "different", "docs_test": "different"}


def test_jobs_from_elsewhere_have_no_workflow(scheduled):
    """Nothing is known about how such a job is started, so nothing is unknown either."""
    line = "    run_test --include test_jit_legacy"
    edit(scheduled, line, f'    [[ "${{GITHUB_REF-}}" ]] || python x.py\n{line}')
    found = json.loads(ci("parity", "jit_legacy", "--json", cwd=scheduled, check=1).stdout)
    assert found["totals"]["unknown"] == 0


def test_changes_of_the_workflows_are_named(scheduled):
    path = scheduled / ".github" / "workflows" / "pull.yml"
    path.write_text(
        SCHEDULED.replace("tests: test_a}", "tests: test_b}, {config: smoke}").replace(
            "{config: jit_legacy}, ", ""
        )
    )
    found = since(scheduled)
    assert verdicts(found) == {"docs_test": "different", "smoke": "new", "jit_legacy": "gone"}
    (changed,) = [job for job in found["jobs"] if job["verdict"] == "different"]
    assert changed["inputs"] == [{"name": "TESTS_TO_EXCLUDE", "before": "test_a", "now": "test_b"}]
    text = ci("parity", "--since", "HEAD", cwd=scheduled, check=0).stdout
    assert "unchanged 0   changed 1" in text
    assert "new job 1   gone job 1" in text
    assert "input TESTS_TO_EXCLUDE is test_b, and was test_a in docs_test: 1 job" in text
    assert "new job in smoke: 1 job" in text
    assert "gone job in jit_legacy: 1 job" in text


def test_a_variable_that_is_no_part_of_the_job_is_an_input_too(scheduled):
    path = scheduled / ".github" / "workflows" / "pull.yml"
    path.write_text(SCHEDULED.replace('OF_THE_WORKFLOW: "1"', 'OF_THE_WORKFLOW: "9"'))
    edit(scheduled, "    run_test --include test_jit_legacy",
         "    [[ $OF_THE_WORKFLOW == 1 ]] || python x.py\n    run_test --include test_jit_legacy")  # fmt: skip
    found = since(scheduled)
    assert verdicts(found) == {"jit_legacy": "different", "docs_test": "different"}
    for job in found["jobs"]:
        assert job["inputs"] == [{"name": "OF_THE_WORKFLOW", "before": "1", "now": "9"}]
        assert bool(job["differences"]) is (job["job"]["config"] == "jit_legacy")


def test_a_reusable_workflow_that_is_missing_is_an_error(scheduled):
    """Other jobs are compared, and other workflows are not affected."""
    path = scheduled / ".github" / "workflows" / "trunk.yml"
    path.write_text("on: [push]\njobs: {gone: {uses: ./.github/workflows/_none.yml}}\n")
    done = ci("parity", "--since", "HEAD", cwd=scheduled, check=1)
    assert "error: it calls the workflow _none.yml, which does not exist.: 1 job" in done.stdout
    assert "job: job gone of trunk.yml" in done.stdout
    assert "unchanged 2" in done.stdout
    done = ci("parity", "--since", "HEAD", "--workflow", "pull", cwd=scheduled, check=0)
    assert "_none" not in done.stdout + done.stderr
    done = ci("parity", "--workflow", "trunk", "--json", cwd=scheduled, check=1)
    assert json.loads(done.stdout)["totals"]["error"] == 1


def test_a_job_of_two_workflows_is_changed_if_it_is_in_one(scheduled):
    """One of them has another name: only there does the new condition hold."""
    (scheduled / ".github" / "workflows" / "trunk.yml").write_text(
        SCHEDULED.replace("name: pull", "name: trunk")
    )
    commit(scheduled)
    line = "    run_test --include test_jit_legacy"
    edit(scheduled, line, f"    [[ $GITHUB_WORKFLOW != trunk ]] || python x.py\n{line}")
    found = json.loads(ci("parity", "--since", "HEAD", "--json", cwd=scheduled, check=0).stdout)
    assert verdicts(found) == {"jit_legacy": "different", "docs_test": "equal"}
    assert verdicts(since(scheduled)) == {"jit_legacy": "equal", "docs_test": "equal"}


def test_plan_says_what_the_checkout_lacks(checkout):
    done = ci("plan", "huggingface", cwd=checkout, check=0)
    assert "note: this checkout has no" not in done.stdout
    (checkout / "benchmarks" / "dynamo" / "huggingface.py").unlink()
    done = ci("plan", "huggingface", cwd=checkout, check=0)
    missing = "benchmarks/dynamo/huggingface.py"
    assert f"note: this checkout has no {missing}, which step " in done.stdout
