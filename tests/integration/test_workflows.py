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
    shutil.copy2(SCRIPT, tmp_path / "bin" / "ci-sessions-dispatch")
    (checkout / "noxfile.py").write_text("import ci_sessions.sessions\n")
    summary, output = tmp_path / "summary.md", tmp_path / "output"

    def run(line, **env):
        variables = {
            **os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "GITHUB_ACTIONS": "true", "CI": "true",
            "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output), "GITHUB_SHA": "abc", **env,
        }  # fmt: skip
        args = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", line]
        return subprocess.run(
            args, cwd=checkout, env=variables, capture_output=True, text=True, check=False
        )

    run.checkout, run.summary, run.output = checkout, summary, output
    return run


def job_line():
    (line,) = [step["run"] for step in steps(REUSABLE, "test") if step.get("name") == "Run the job"]
    return line


def commit(checkout):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    subprocess.run(["git", "add", "-A", "-f"], cwd=checkout, check=True)
    subprocess.run(["git", *who, "commit", "-qm", "x"], cwd=checkout, check=True)


def test_the_workflow_has_the_tested_line():
    assert job_line().strip() == "ci-sessions-dispatch"
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
    line = steps(ROOT / "examples" / "workflows" / "matrix.yml", "matrix")[1]["run"].replace(
        "python3", sys.executable
    )
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


HANDED_OVER = (
    "BUILD_ENVIRONMENT TEST_CONFIG SHARD_NUMBER NUM_TEST_SHARDS EXTRA_FLAGS OP_BENCHMARK_TESTS TESTS_TO_INCLUDE "
    "TESTS_TO_EXCLUDE DASHBOARD_TAG ENABLE_TORCH_TRACE REENABLED_ISSUES CONTINUE_THROUGH_ERROR NO_TEST_TIMEOUT NO_TD "
    "PYTORCH_TEST_RERUN_DISABLED_TESTS PYTORCH_TEST_CUDA_MEM_LEAK_CHECK PR_NUMBER SHA1 BASE_SHA BRANCH JOB_NAME HF_CACHE"
)


def test_variables_are_passed_on_and_tokens_only_to_one_step():
    job = load(REUSABLE)["jobs"]["test"]
    assert [name for name in HANDED_OVER.split() if name not in job["env"]] == []
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
    empty = dict.fromkeys(HANDED_OVER.split()[4:], "")
    names = {
        "TEST_CONFIG": "docs_test",
        "BUILD_ENVIRONMENT": "linux-py3",
        "SHARD_NUMBER": "1",
        "NUM_TEST_SHARDS": "1",
    }
    done = actions(job_line(), USE_PYTHON_TEST_RUNNER="1", NO_SHELL_FALLBACK="1", **empty, **names)
    assert done.returncode == 0, done.stderr
