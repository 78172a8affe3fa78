from __future__ import annotations

import builtins
import datetime as dt
import json
import logging
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ci_sessions.errors import CheckoutError, InputError, MissingToolError
from ci_sessions.github.workflows import (
    _Reader,
    read_schedule,
    read_workflows,
    workflow_files,
)
from ci_sessions.job.job_json import merge_jobs

SCRIPT = ".ci/pytorch/test.sh"
TEST = """
on:
  workflow_call:
    inputs:
      build-environment: {required: true, type: string}
      test-matrix: {required: true, type: string}
      tests-to-include: {type: string, default: ""}
      use-arc: {type: boolean, default: false}
jobs:
  filter:
    runs-on: x
    outputs: {test-matrix: "${{ steps.filter.outputs.test-matrix }}"}
    steps: [{run: echo filter}]
  test:
    needs: filter
    if: github.repository_owner == 'pytorch' && needs.filter.outputs.empty == 'False' && !inputs.use-arc
    strategy: {matrix: "${{ fromJSON(needs.filter.outputs.test-matrix) }}"}
    steps:
      - run: echo nothing to do with the script
      - env:
          BUILD_ENVIRONMENT: ${{ inputs.build-environment }}
          TEST_CONFIG: ${{ matrix.config }}
          SHARD_NUMBER: ${{ matrix.shard }}
          NUM_TEST_SHARDS: ${{ matrix.num_shards }}
          TESTS_TO_INCLUDE: ${{ inputs.tests-to-include }}
          PYTORCH_TEST_RERUN_DISABLED_TESTS: ${{ matrix.rerun_disabled_tests && '1' || '0' }}
          SHA1: ${{ github.event.sha }}
        run: |
          docker run -e GITHUB_ACTIONS image
          TEST_COMMAND=.ci/pytorch/test.sh
"""
PULL = """
on: {push: {branches: [main]}}
jobs:
  gcc-build:
    uses: ./.github/workflows/_linux-build.yml
    with:
      build-environment: linux-gcc
      test-matrix: |
        { include: [
          { config: "default", shard: 1, num_shards: 2, runner: "big" },
          { config: "default", shard: 2, num_shards: 2, runner: "big" },  # a comment
        ]}
  gcc-test:
    uses: ./.github/workflows/_linux-test.yml
    needs: gcc-build
    with:
      build-environment: linux-gcc
      test-matrix: ${{ needs.gcc-build.outputs.test-matrix }}
  slow-test:
    uses: ./.github/workflows/_linux-test.yml
    with:
      build-environment: linux-gcc-${{ 'slow' }}
      tests-to-include: test_a test_b
      test-matrix: '{"include": [{"config": "slow", "shard": 1, "num_shards": 1, "rerun_disabled_tests": "yes"}]}'
  arc-test:
    uses: ./.github/workflows/_linux-test.yml
    with: {build-environment: linux-arc, use-arc: true, test-matrix: '{include: [{config: default}]}'}
  never:
    if: false
    uses: ./.github/workflows/_linux-test.yml
    with: {build-environment: linux-never, test-matrix: '{include: [{config: default}]}'}
  elsewhere:
    uses: other/repo/.github/workflows/_linux-test.yml@main
"""
OWN = """
on: [push]
jobs:
  bazel:
    steps:
      - env: {BUILD_ENVIRONMENT: linux-bazel, TEST_CONFIG: "${{ matrix.config }}"}
        run: |
          export SHARD_NUMBER=1
          export NUM_TEST_SHARDS="3"
          .ci/pytorch/test.sh
    strategy:
      matrix:
        config: [default, slow, broken]
        os: [a, b]
        exclude: [{config: broken}, {config: slow, os: b}]
        include: [{config: extra}]
  computed:
    strategy: {matrix: "${{ fromJSON(needs.setup.outputs.matrix) }}"}
    steps: [{run: .ci/pytorch/test.sh}]
"""


@pytest.fixture
def tree(tmp_path):
    def write(**files):
        folder = tmp_path / ".github" / "workflows"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.yml").write_text(text)
        return tmp_path

    return write


def short(jobs):
    return [(j["config"], j["build_environment"], j["shard"], j["num_shards"]) for j in jobs]


def test_jobs_come_through_reusable_workflows_and_a_build_jobs_outputs(tree):
    root = tree(pull=PULL, **{"_linux-test": TEST, "_linux-build": "on: workflow_call\njobs: {}\n"})
    jobs = read_workflows(root, SCRIPT)
    assert short(jobs) == [
        ("default", "linux-gcc", 1, 2),
        ("default", "linux-gcc", 2, 2),
        ("slow", "linux-gcc-slow", 1, 1),
    ]
    assert jobs[0]["workflows"] == ["pull.yml"]
    assert jobs[0]["runner"] == "big"
    assert jobs[0]["env"] == {"GITHUB_ACTIONS": "true"}
    assert jobs[2]["env"] == {
        "TESTS_TO_INCLUDE": "test_a test_b",
        "GITHUB_ACTIONS": "true",
        "PYTORCH_TEST_RERUN_DISABLED_TESTS": "1",
    }


def test_a_job_that_two_workflows_schedule_is_one(tree):
    root = tree(pull=PULL, trunk=PULL, **{"_linux-test": TEST})
    jobs = read_workflows(root, SCRIPT)
    assert len(jobs) == 3
    assert {tuple(job["workflows"]) for job in jobs} == {("pull.yml", "trunk.yml")}


def test_a_matrix_of_axes_and_a_script_called_at_once(tree, caplog):
    with caplog.at_level(logging.WARNING):
        jobs = read_workflows(tree(own=OWN), SCRIPT)
    assert short(jobs) == [
        ("default", "linux-bazel", 1, 3),
        ("slow", "linux-bazel", 1, 3),
        ("extra", "linux-bazel", 1, 3),
    ]
    assert "own.yml: job computed of own.yml is left out: its matrix" in caplog.text


@pytest.mark.parametrize("local", ["./", "$/"])
def test_a_local_reference_is_followed_in_its_old_and_its_new_form(tree, local):
    text = PULL.replace("uses: ./", f"uses: {local}")
    jobs = read_workflows(tree(pull=text, **{"_linux-test": TEST}), SCRIPT)
    assert short(jobs) == short(read_workflows(tree(pull=PULL, **{"_linux-test": TEST}), SCRIPT))
    assert jobs


def test_a_jobs_own_variables_count_and_its_steps_come_first(tree):
    text = """
on: push
jobs:
  test:
    runs-on: big
    env: {TEST_CONFIG: mine, BUILD_ENVIRONMENT: of-the-job}
    steps:
      - env: {BUILD_ENVIRONMENT: of-the-step}
        run: .ci/pytorch/test.sh
"""
    (job,) = read_workflows(tree(own=text), SCRIPT)
    assert (job["config"], job["build_environment"], job["runner"]) == (
        "mine",
        "of-the-step",
        "big",
    )


def test_the_reusable_workflow_of_this_project_is_read_like_any_other(tree, caplog):
    root = Path(__file__).resolve().parents[3]
    examples = {path.stem: path.read_text() for path in (root / "examples/workflows").iterdir()}
    reusable = (root / ".github/workflows/ci-sessions.yml").read_text()
    jobs = read_workflows(tree(**examples, **{"ci-sessions": reusable}), SCRIPT)
    assert {job["config"] for job in jobs} == {"smoke", "docs_test", "jit_legacy", "distributed"}
    assert all(job["build_environment"] and job["runner"] == "ubuntu-latest" for job in jobs)
    assert "matrix.yml: job test of ci-sessions.yml is left out: its matrix" in caplog.text


def test_only_the_checkouts_own_script_counts(tree):
    assert read_workflows(tree(own=OWN), ".jenkins/pytorch/test.sh") == []


def test_workflows_that_call_each_other_forever_are_left_out(tree, caplog):
    loop = "on: [push]\njobs: {a: {uses: ./.github/workflows/loop.yml}}\n"
    assert read_workflows(tree(loop=loop), SCRIPT) == []
    assert "the jobs of loop.yml are left out: more than 6 nested workflows" in caplog.text


def test_bad_files_are_named(tree, tmp_path):
    with pytest.raises(CheckoutError, match="contains no workflows: pass the jobs with --jobs"):
        read_workflows(tmp_path, SCRIPT)
    with pytest.raises(CheckoutError, match=r"bad.yml is not valid YAML"):
        read_workflows(tree(bad="a: [\n"), SCRIPT)


def test_a_matrix_that_is_not_valid_yaml_loses_only_its_own_job(tree, caplog):
    text = PULL.replace("'{include: [{config: default}]}'}\n  never", "'{include: ['}\n  never")
    text = text.replace("use-arc: true, ", "")
    jobs = read_workflows(tree(pull=text, **{"_linux-test": TEST}), SCRIPT)
    assert len(jobs) == 3
    assert "a matrix is not valid YAML" in caplog.text


def test_without_a_yaml_library_the_error_says_what_to_install(tree, monkeypatch):
    real = builtins.__import__

    def without(name, *more):
        if name == "yaml":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingToolError, match=r"pip install 'ci-sessions\[workflows\]'"):
        read_workflows(tree(own=OWN), SCRIPT)


KEYS = st.sampled_from(
    ["on", "jobs", "a", "if", "strategy", "matrix", "include", "exclude", "steps", "run", "env", "uses", "with",
     "workflow_call", "inputs", "default", "config", "BUILD_ENVIRONMENT", "TEST_CONFIG", "SHARD_NUMBER", "runner"]
) | st.integers() | st.booleans() | st.none()  # fmt: skip
SCALARS = st.sampled_from(
    [SCRIPT, "./.github/workflows/a.yml", "${{ inputs.a }}", "${{ fromJSON(inputs.a) }}", "${{ matrix.config }}",
     "${{ needs.a.outputs.config }}", "${{", "{a: [1, 2]}", "[", "workflow_call", "x", "1", "",
     dt.date(2026, 1, 1), b"x"]
) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)  # fmt: skip
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
STEPS = st.fixed_dictionaries({"run": st.just(SCRIPT) | DATA}, optional={"env": DATA})
JOBS = st.fixed_dictionaries(
    {"steps": st.lists(STEPS, max_size=2) | DATA},
    optional={
        "strategy": st.fixed_dictionaries({"matrix": DATA}) | DATA,
        "if": DATA,
        "with": DATA,
        "uses": DATA,
    },
)
FILES = st.dictionaries(st.sampled_from(["a.yml", "b.yml"]), st.fixed_dictionaries(
    {"jobs": st.dictionaries(KEYS, JOBS | DATA, max_size=3) | DATA}, optional={"on": DATA, True: DATA}
), min_size=1)  # fmt: skip


def job_with(**values):
    return {"a.yml": {"jobs": {"a": {"steps": [{"run": SCRIPT, **values}]}}}}


@given(FILES)
@example(job_with(env={"SHARD_NUMBER": [dt.date(2026, 1, 1)]}))
def test_any_structure_has_jobs_or_is_an_input_error(files):
    try:
        jobs = merge_jobs(reader(files).jobs())
    except InputError:
        return
    for job in jobs:
        assert isinstance(job["config"], str)
        assert isinstance(job["build_environment"], str)
        assert all(isinstance(value, str) for value in job.get("env", {}).values())


@pytest.mark.parametrize(
    "text",
    ["!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "!!binary '%'", "{[]: 1}", "2026-99-99", "0x" + "f" * 5000,
     f"{{0x{'f' * 5000}: 1}}"],
)  # fmt: skip
def test_a_value_that_yaml_cannot_construct_is_an_error(tmp_path, text):
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "a.yml").write_text(f"jobs: {text}\n")
    try:
        assert read_workflows(tmp_path, SCRIPT) == []
    except CheckoutError as error:
        assert "is not valid YAML" in str(error)


def reader(files):
    """Return a reader that has read these workflows."""
    return _Reader(dict.fromkeys(files, Path()), SCRIPT, _files=files)


@pytest.mark.parametrize("text", ["[!!int '']", "{a: !!bool x}", "{a: !!timestamp x}"])
def test_a_matrix_that_yaml_cannot_construct_is_left_out(caplog, text):
    job = {"strategy": {"matrix": {"a": text}}, "steps": [{"run": SCRIPT}]}
    assert list(reader({"a.yml": {"jobs": {"a": job}}}).jobs()) == []
    assert "a matrix is not valid YAML" in caplog.text


@given(
    st.text()
    | st.lists(
        st.sampled_from(["jobs", ":", " ", "\n", "!!int", "&a", "*a", "{", "[", "- ", "'"])
    ).map("".join)
)
def test_any_text_is_a_workflow_or_an_error(tmp_path_factory, text):
    root = tmp_path_factory.mktemp("checkout")
    (root / ".github" / "workflows").mkdir(parents=True)
    (root / ".github" / "workflows" / "a.yml").write_bytes(text.encode(errors="surrogatepass"))
    try:
        read_workflows(root, SCRIPT)
    except (CheckoutError, InputError) as error:
        assert "YAML" in str(error) or "must be" in str(error)


def environments(tree, text, **files):
    """Return the environments in which the only job of a workflow runs."""
    (job,) = read_schedule(workflow_files(tree(own=text, **files)), SCRIPT).jobs
    return job["environments"]


STEP = """
name: my tests
on: [push]
env: {A: "1", SECRET: "${{ secrets.token }}", BOTH: workflow}
jobs:
  test:
    runs-on: x
    env: {B: "${{ env.A }}2", BOTH: job}
    steps:
      - run: echo "WRITTEN=$(date)" >> "$GITHUB_ENV"
      - env: {TEST_CONFIG: a, BUILD_ENVIRONMENT: b, BOTH: step, FLAG: true, W: "${{ github.workflow }}", U: "x-${{ steps.y }}"}
        run: |
          export COMPUTED=$(date)
          FOR_IT=1 .ci/pytorch/test.sh
"""


def test_what_a_step_hands_over(tree):
    (found,) = environments(tree, STEP)
    variables, unknown = found["variables"], found["unknown"]
    expected = {"A": "1", "B": "12", "BOTH": "step", "FLAG": "true", "W": "my tests", "CI": "true"}
    assert {name: variables[name] for name in expected} == expected
    assert variables["GITHUB_WORKFLOW"] == "my tests"
    assert variables["GITHUB_EVENT_NAME"] == "push"
    assert (found["workflow"], found["job"]) == ("own.yml", "test")
    assert unknown == [
        "ACTIONS_*", "COMPUTED", "FOR_IT", "GITHUB_*", "INPUT_*", "RUNNER_*", "SECRET", "U", "WRITTEN",
    ]  # fmt: skip


def test_several_triggers_leave_the_event_unknown(tree):
    (found,) = environments(tree, STEP.replace("on: [push]", "on: {push: {}, schedule: []}"))
    assert "GITHUB_EVENT_NAME" not in found["variables"]


def test_a_container_that_the_step_starts_gets_only_what_is_passed(tree):
    run = "docker run -e A -e B=7 -e C=$(nproc) image .ci/pytorch/test.sh"
    text = STEP.replace(".ci/pytorch/test.sh", run)
    (job,) = read_schedule(workflow_files(tree(own=text)), SCRIPT).jobs
    (found,) = job["environments"]
    assert found["variables"] == {"A": "1", "B": "7"}
    assert {"C", "BOTH", "CI", "GITHUB_WORKFLOW"} <= set(found["unknown"])
    assert "env" not in job


@pytest.mark.parametrize(
    "run",
    [
        "docker exec -e A=7 c bash -c 'export A=$(nproc); .ci/pytorch/test.sh'",
        "docker run -e A=7 build; docker run -e A=8 image .ci/pytorch/test.sh",
    ],
)
def test_a_value_that_the_step_may_change_is_not_known(tree, run):
    text = STEP.replace(".ci/pytorch/test.sh", json.dumps(run))
    (job,) = read_schedule(workflow_files(tree(own=text)), SCRIPT).jobs
    (found,) = job["environments"]
    assert "A" not in found["variables"]
    assert "A" in found["unknown"]


def test_a_container_does_not_change_what_the_job_is(tree):
    run = "docker run -e TEST_CONFIG=smoke image .ci/pytorch/test.sh"
    (job,) = read_schedule(
        workflow_files(tree(own=STEP.replace(".ci/pytorch/test.sh", run))), SCRIPT
    ).jobs
    (found,) = job["environments"]
    assert "TEST_CONFIG" not in {*found["variables"], *found["unknown"]}


@pytest.mark.parametrize("place", ["runs-on: x", "container: image"])
def test_github_actions_is_set_wherever_the_runner_starts_the_script(tree, place):
    (job,) = read_workflows(tree(own=STEP.replace("runs-on: x", place)), SCRIPT)
    assert job["env"] == {"GITHUB_ACTIONS": "true"}


def test_a_job_of_two_workflows_has_two_environments(tree):
    root = tree(own=STEP, other=STEP.replace("my tests", "others"))
    (job,) = read_schedule(workflow_files(root), SCRIPT).jobs
    names = [one["variables"]["GITHUB_WORKFLOW"] for one in job["environments"]]
    assert names == ["others", "my tests"]


CALLER = """
on: [push]
jobs:
  one: {uses: ./.github/workflows/_called.yml, with: {label: "linux-${{ needs.build.outputs.label }}"}}
  two: {uses: ./.github/workflows/_called.yml, with: {label: linux-known}}
"""
CALLED = """
on: {workflow_call: {inputs: {label: {type: string}}}}
jobs:
  test:
    steps: [{run: .ci/pytorch/test.sh, env: {BUILD_ENVIRONMENT: "${{ inputs.label }}", TEST_CONFIG: a}}]
"""


def test_a_label_that_is_known_only_at_run_time_is_a_warning(tree, caplog):
    jobs = read_workflows(tree(pull=CALLER, _called=CALLED), SCRIPT)
    assert short(jobs) == [("a", "linux-known", 1, 1)]
    (message,) = caplog.messages
    reason = "its BUILD_ENVIRONMENT is known only at run time."
    assert message.startswith(f"pull.yml: job test is left out: {reason}")
    assert message.endswith("(called by job one of pull.yml)")


def test_warnings_are_about_the_workflow_that_was_asked_for(tree, caplog):
    root = tree(pull=CALLER, trunk=CALLER, _called=CALLED)
    read_workflows(root, SCRIPT, "trunk.yml")
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("trunk.yml: ")


def test_a_reusable_workflow_that_is_missing_is_a_fault_of_its_jobs(tree, caplog):
    root = tree(pull=CALLER, trunk=STEP)
    schedule = read_schedule(workflow_files(root), SCRIPT)
    reason = "it calls the workflow _called.yml, which does not exist."
    assert schedule.faults == [
        {"workflow": "pull.yml", "job": name, "reason": reason} for name in ("one", "two")
    ]
    assert len(schedule.jobs) == 1
    assert read_schedule(workflow_files(root), SCRIPT, "trunk.yml").faults == []
    read_workflows(root, SCRIPT)
    assert f"pull.yml: job one: {reason}" in caplog.text
