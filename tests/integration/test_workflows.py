"""The shell lines of the workflows, run as GitHub Actions does, on the sample checkout."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from integration.conftest import write_script
from packaging.requirements import Requirement

from ci_sessions.job import variables as v

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
REUSABLE = ROOT / ".github" / "workflows" / "ci-sessions.yml"
SCRIPT = ROOT / "ci_sessions" / "resources" / "dispatch.sh"
EXAMPLES = sorted((ROOT / "examples" / "workflows").glob("*.yml"))


def load(path):
    data = yaml.safe_load(path.read_text())
    data["on"] = (
        data.pop(True, None) if True in data else data.get("on")
    )  # YAML 1.1 reads `on` as true
    return data


def steps(path, job):
    return load(path)["jobs"][job]["steps"]


@pytest.fixture
def actions(checkout, tmp_path, monkeypatch):
    """A shell like that of GitHub Actions: GITHUB_* files, nox on PATH."""
    write_script(tmp_path / "bin" / "nox", f'#!/bin/bash\nexec {sys.executable} -m nox "$@"\n')
    release = tmp_path / "runner temp" / "ci-sessions" / "bin"
    release.mkdir(parents=True)
    shutil.copy2(SCRIPT, release / "ci-sessions-dispatch")
    (checkout / "noxfile.py").write_text("import ci_sessions.sessions\n")
    summary, output = tmp_path / "summary.md", tmp_path / "output"

    def run(line, **env):
        variables = {
            **os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "GITHUB_ACTIONS": "true", "CI": "true",
            "RUNNER_TEMP": str(tmp_path / "runner temp"), "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output), "GITHUB_SHA": "abc", **env,
        }  # fmt: skip
        args = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", line]
        return subprocess.run(
            args, cwd=checkout, env=variables, capture_output=True, text=True, check=False
        )

    run.checkout, run.summary, run.output, run.release = checkout, summary, output, release
    return run


def step_named(name):
    (line,) = [step["run"] for step in steps(REUSABLE, "test") if step.get("name") == name]
    return line


def job_line():
    return step_named("Run the job")


def commit(checkout):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    subprocess.run(["git", "add", "-A", "-f"], cwd=checkout, check=True)
    subprocess.run(["git", *who, "commit", "-qm", "x"], cwd=checkout, check=True)


def test_the_workflow_calls_what_the_package_installs():
    assert "$venv/bin/ci-sessions-dispatch" in job_line()
    assert (ROOT / "ci_sessions/resources/dispatch.sh").is_file()
    assert "ci_sessions/resources/dispatch.sh" in job_line()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]
    assert scripts["wheel"]["shared-scripts"] == {
        "ci_sessions/resources/dispatch.sh": "ci-sessions-dispatch"
    }


def test_a_passed_job_in_python(actions):
    commit(actions.checkout)
    env = {
        "TEST_CONFIG": "docs_test",
        "BUILD_ENVIRONMENT": "linux-jammy-py3.10-gcc11",
        "SHARD_NUMBER": "1",
        "NUM_TEST_SHARDS": "1",
    }
    done = actions(job_line(), USE_PYTHON_TEST_RUNNER="1", **env)
    assert done.returncode == 0, done.stderr
    text = actions.summary.read_text()
    assert text.startswith(
        "### ✅ docs_test on linux-jammy-py3.10-gcc11, shard 1 of 1\n\nRun by **python**: `flag-on`"
    )
    assert "| test_docs | ✅ passed |" in text


def test_a_failed_job_has_a_summary_and_annotations(actions):
    (actions.checkout / "test" / "test_jit_legacy.py").write_text(
        "import unittest\nclass T(unittest.TestCase):\n    def test_red(self):\n"
        "        print('\\n::error::forged')\n        self.assertEqual(1, 2, 'sums')\n"
    )
    commit(actions.checkout)
    done = actions(
        job_line(),
        USE_PYTHON_TEST_RUNNER="1",
        TEST_CONFIG="jit_legacy",
        BUILD_ENVIRONMENT="linux-py3",
    )
    assert done.returncode == 1
    text = actions.summary.read_text()
    shown = html.unescape(re.sub(r"\\(.)", r"\1", text))
    assert "- <code>test_jit_legacy.T.test_red</code> AssertionError: 1 != 2 : sums" in shown
    assert "nox -s \"ci(config='jit_legacy')\" -- --build-environment linux-py3" in text
    lines = done.stdout.splitlines()
    assert (
        "::error title=test_jit_legacy%3A test_jit_legacy.T.test_red::AssertionError: 1 != 2 : sums"
        in lines
    )
    forged = lines.index("::error::forged")
    stop = max(n for n, line in enumerate(lines[:forged]) if line.startswith("::stop-commands::"))
    resume = lines.index(f"::{lines[stop].removeprefix('::stop-commands::')}::")
    assert stop < forged < resume


@pytest.mark.parametrize("flag", ["0", "shadow"])
def test_the_shell_decides(actions, flag):
    commit(actions.checkout)
    done = actions(
        job_line(),
        USE_PYTHON_TEST_RUNNER=flag,
        TEST_CONFIG="docs_test",
        BUILD_ENVIRONMENT="linux-py3",
    )
    assert done.returncode == 0, done.stderr
    assert "Run by **shell**" in actions.summary.read_text()


def test_a_summary_that_cannot_be_written_is_a_warning(actions):
    commit(actions.checkout)
    done = actions(
        job_line(),
        TEST_CONFIG="docs_test",
        BUILD_ENVIRONMENT="linux-py3",
        GITHUB_STEP_SUMMARY="/nope/x",
    )
    assert done.returncode == 0
    assert "cannot write the step summary" in done.stderr


def test_a_dynamic_matrix_can_be_read_by_from_json(actions):
    *_, step = steps(ROOT / "examples" / "workflows" / "matrix.yml", "matrix")
    line = step["run"].replace('"$RUNNER_TEMP/ci-sessions/bin/python"', sys.executable)
    assert actions(line).returncode == 0
    name, _, value = actions.output.read_text().partition("=")
    assert name == "jobs"
    include = json.loads(value)["include"]
    assert {job["config"] for job in include} == {"jit_legacy"}
    assert all({"shard", "num_shards", "runner"} <= set(job) for job in include)


def test_every_input_of_the_reusable_workflow_is_used_and_callers_use_only_those():
    inputs = load(REUSABLE)["on"]["workflow_call"]["inputs"]
    text = REUSABLE.read_text()
    assert [name for name in inputs if f"inputs.{name}" not in text] == []
    for path in EXAMPLES:
        for job in load(path)["jobs"].values():
            assert set(job.get("with", {})) <= set(inputs), path.name


def test_no_shell_line_takes_an_expression_and_actions_are_pinned():
    for path in [*sorted((ROOT / ".github" / "workflows").glob("*.yml")), *EXAMPLES]:
        data = load(path)
        assert data["permissions"] == {"contents": "read"}
        for job in data["jobs"].values():
            for step in job.get("steps", []):
                assert "${{" not in step.get("run", ""), path.name
                if "uses" in step:
                    assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]), step["uses"]


def test_the_validation_workflow_dry_runs_the_first_release(actions):
    lines = [
        step["run"]
        for step in steps(ROOT / ".github" / "workflows" / "validate.yml", "checks")
        if "dry" in step.get("name", "").lower()
    ]
    done = actions(lines[0])
    assert done.returncode == 0, done.stderr
    files = [path.stem for path in actions.checkout.glob("*.json")]
    assert len(files) == 9
    for path in actions.checkout.glob("*.json"):
        assert json.loads(path.read_text())["tests"]
    assert shutil.which("bash")


HANDED_OVER = [
    one.name
    for one in v.VARIABLES
    if one.origin in (v.Origin.JOB, v.Origin.WORKFLOW, v.Origin.COMMIT)
    and not one.name.startswith("GITHUB_")  # which GitHub itself sets
]


def test_variables_are_passed_on_and_tokens_only_to_one_step():
    job = load(REUSABLE)["jobs"]["test"]
    names = [*HANDED_OVER, "JOB_NAME", "HF_CACHE", "USE_PYTHON_TEST_RUNNER", "NO_SHELL_FALLBACK"]
    assert [name for name in names if name not in job["env"]] == []
    of_an_entry = [one.name for one in v.VARIABLES if one.is_part_of_job]
    assert [
        name
        for name in of_an_entry
        if name != "GITHUB_ACTIONS" and f"matrix.env.{name}" not in job["env"][name]
    ] == []
    assert [name for name in job["env"] if "TOKEN" in name] == []
    with_tokens = [
        step["name"]
        for step in job["steps"]
        if any("TOKEN" in name for name in step.get("env", {}))
    ]
    assert with_tokens == ["Run the job"]


def test_empty_variables_are_treated_as_unset(actions):
    """Actions passes an empty string if an input or a matrix entry is missing."""
    commit(actions.checkout)
    empty = dict.fromkeys(HANDED_OVER[4:], "")
    names = {
        "TEST_CONFIG": "docs_test",
        "BUILD_ENVIRONMENT": "linux-py3",
        "SHARD_NUMBER": "1",
        "NUM_TEST_SHARDS": "1",
    }
    done = actions(job_line(), USE_PYTHON_TEST_RUNNER="1", NO_SHELL_FALLBACK="1", **empty, **names)
    assert done.returncode == 0, done.stderr


def install(actions, flag, **env):
    names = {
        "TEST_CONFIG": "docs_test",
        "BUILD_ENVIRONMENT": "linux-py3",
        "GITHUB_RUN_ATTEMPT": "1",
    }
    given = {"SHARD_NUMBER": "1", "NUM_TEST_SHARDS": "1", "REQUIREMENTS": "", "ROLLOUT_FILE": ""}
    return actions(
        step_named("Install ci_sessions"), USE_PYTHON_TEST_RUNNER=flag, **{**names, **given, **env}
    )


FAULTS = {
    "no copy and no release": ({}, "no folder ci_sessions, and the input requirements names no"),
    "no such file": ({"REQUIREMENTS": "none.txt"}, "that the input requirements gives"),
    "no such roll-out file": (
        {"REQUIREMENTS": "noxfile.py", "ROLLOUT_FILE": "a b.toml"},
        "that the input rollout-file gives",
    ),
    "not pinned": (
        {"REQUIREMENTS": "unpinned.txt", "ROLLOUT_FILE": "noxfile.py"},
        "pip could not install",
    ),
}


@pytest.mark.parametrize("flag", ["1", "rollout", " TRUE "])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_installed_fails_loudly(actions, fault, flag):
    env, message = FAULTS[fault]
    (actions.checkout / "unpinned.txt").write_text("nox\n")
    done = install(actions, flag, **env)
    assert done.returncode == 1
    (error,) = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert message in error


@pytest.mark.parametrize("flag", ["0", "", "False", "shadow"])
@pytest.mark.parametrize("fault", ["no copy and no release", "not pinned"])
def test_where_the_script_decides_it_runs_without_what_cannot_be_installed(actions, fault, flag):
    (actions.checkout / "unpinned.txt").write_text("nox\n")
    done = install(actions, flag, **FAULTS[fault][0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::warning title=ci_sessions cannot be used::" in done.stdout
    commit(actions.checkout)
    shutil.rmtree(actions.release)
    for config, build, script in (
        ("docs_test", "linux-py3", ".ci/pytorch/test.sh"),
        ("multigpu", "linux-py3", ".ci/pytorch/multigpu-test.sh"),
        ("default", "linux-onnx", ".ci/onnx/test.sh"),
        ("multigpu", "linux-onnx", ".ci/pytorch/multigpu-test.sh"),
    ):
        write_script(actions.checkout / script, '#!/bin/bash\necho "ran ${0#"$PWD/"}"; exit 3\n')
        done = actions(job_line(), TEST_CONFIG=config, BUILD_ENVIRONMENT=build, ROLLOUT_FILE="")
        assert (done.returncode, done.stdout) == (3, f"ran {script}\n"), done.stderr


def test_rollout_with_a_release_needs_a_file_that_can_change(actions):
    (actions.checkout / "pins.txt").touch()
    done = install(actions, "rollout", REQUIREMENTS="pins.txt")
    assert done.returncode == 1
    assert "the flag is rollout, but the input rollout-file names no file" in done.stdout


@pytest.mark.parametrize("missing", ["TEST_CONFIG", "BUILD_ENVIRONMENT"])
def test_a_job_without_a_name_is_refused_whatever_the_flag(actions, missing):
    done = install(actions, "0", **{missing: ""})
    assert done.returncode == 2
    assert "::error title=ci_sessions::a job needs a configuration" in done.stdout


def test_artifacts_have_names_that_github_accepts_and_no_two_are_equal(actions):
    odd = 'a/b\\c:d"e<f>g|h*i?j\rk\nlé ' + "x" * 500
    for _ in range(2):
        install(actions, "0", TEST_CONFIG=odd)
    lines = actions.output.read_text().splitlines()
    names = [line.removeprefix("artifact=") for line in lines]
    assert len(set(names)) == len(names) == 2
    for name in names:
        assert re.fullmatch(r"ci-sessions-a_b_c_d_e_f_g_h_i_j_k_l__[\w.+-]{1,200}", name, re.ASCII)


def test_the_rollout_file_of_the_workflow_decides(actions):
    commit(actions.checkout)
    text = (ROOT / "ci_sessions" / "resources" / "rollout.toml").read_text()
    changed = re.sub(r"(?m)^(2A = .*)open = false", r"\1open = true", text)
    changed = re.sub(r"(?m)^(docs_test = .*)share = 0", r"\1share = 100", changed)
    (actions.checkout / "roll out.toml").write_text(changed)
    names = {"TEST_CONFIG": "docs_test", "BUILD_ENVIRONMENT": "linux-py3"}
    flag = {"USE_PYTHON_TEST_RUNNER": "rollout"}
    for file, route in (("", "shell**: `phase-closed`"), ("roll out.toml", "python**: `split-in`")):
        done = actions(job_line(), ROLLOUT_FILE=file, **names, **flag)
        assert done.returncode == 0, done.stderr
        assert f"Run by **{route}" in actions.summary.read_text()


def test_every_dependency_is_pinned_with_hashes():
    text = (ROOT / "ci_sessions" / "resources" / "requirements.txt").read_text()
    lines = text.replace("\\\n", " ").splitlines()
    pins = {}
    for line in lines:
        if not line.startswith("#"):
            assert re.fullmatch(r"[\w-]+==[\w.]+ .*(--hash=sha256:[0-9a-f]{64}\s*)+", line), line
            name, _, rest = line.partition("==")
            pins.setdefault(name, []).append(rest.split()[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["workflows"]]
    for requirement in map(Requirement, wanted):
        assert all(requirement.specifier.contains(pin) for pin in pins[requirement.name])
