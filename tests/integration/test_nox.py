"""The sessions, as nox itself lists and runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from unit.catalogue.test_table import FIRST_RELEASE, PHASES


def nox(*words, cwd, env=None):
    return subprocess.run(
        [sys.executable, "-m", "nox", *words], cwd=cwd, env={**os.environ, **(env or {})},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def tree(checkout):
    """A checkout whose noxfile is the one line that the documentation gives."""
    (checkout / "noxfile.py").write_text("import ci_sessions.sessions\n")
    return checkout


def test_the_list_shows_exactly_the_first_release(tree):
    listed = nox("-l", cwd=tree).stdout
    rows = re.findall(
        r"^[-*] ci\(config='(\w+)'\) \[phase-(\w+),\S+\] -> (.+)$", listed, re.MULTILINE
    )
    assert {name: tests.split(", ") for name, _, tests in rows} == FIRST_RELEASE
    assert [name for name, *_ in rows] == list(FIRST_RELEASE)
    assert {name: phase for name, phase, _ in rows} == PHASES


def test_the_projects_own_noxfile_has_them_too(root):
    listed = nox("-l", cwd=root).stdout
    assert "- ci(config='jit_legacy') [phase-2B,cpu,jit] -> test_jit, test_jit_legacy" in listed
    assert "* tests -> " in listed


@pytest.mark.parametrize("config", FIRST_RELEASE)
def test_a_dry_run_shows_the_named_tests(tree, config):
    done = nox("-s", f"ci(config='{config}')", "--", "--dry-run", "--json", cwd=tree)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert [test["name"] for test in data["tests"]] == FIRST_RELEASE[config]


def test_a_session_runs_and_passes(tree):
    done = nox("-s", 'ci(config="docs_test")', cwd=tree)
    assert done.returncode == 0, done.stderr
    assert "PASSED  docs_test" in done.stdout
    assert "was successful" in done.stderr


def test_a_red_session_is_red_and_its_command_repeats_it(tree):
    (tree / "docs" / "untitled.md").write_text("no title\n")
    done = nox("-s", "ci(config='docs_test')", cwd=tree)
    assert done.returncode == 1
    again = done.stdout.split("Repeat just this step:\n")[1].splitlines()[0].strip()
    assert again.startswith("nox -s \"ci(config='docs_test')\" -- --build-environment linux-")
    assert again.endswith(" --test test_docs --step 1")
    repeated = subprocess.run(
        again.replace("nox", f"{sys.executable} -m nox", 1), shell=True, cwd=tree, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert repeated.returncode == 1
    assert "untitled.md has no title" in repeated.stdout


def test_the_job_of_the_environment(tree):
    env = {"TEST_CONFIG": "jit_legacy", "BUILD_ENVIRONMENT": "linux-jammy-cuda13.0-py3.10-gcc11"}
    done = nox("-s", "plan", cwd=tree, env=env)
    assert done.stdout.startswith("jit_legacy · shard 1 of 1 · linux-jammy-cuda13.0-py3.10-gcc11")
    done = nox("-s", "ci", "--", "docs_test", cwd=tree)
    assert "PASSED  docs_test" in done.stdout


def test_a_configuration_beyond_the_list_has_its_session(tree):
    done = nox("-s", "ci(config='inductor_core')", "--", "--dry-run", cwd=tree)
    assert done.returncode == 0, done.stderr
    assert "test_inductor_core" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("-s", "ci(config='jit_legcy')"),
        ("-s", "ci", "--", "jit_legcy"),
        ("-s", "plan", "--", "--bad"),
    ],
)
def test_what_cannot_be_is_an_error_without_a_traceback(tree, words):
    done = nox(*words, cwd=tree)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_every_scheduled_configuration_has_its_session(tree):
    from ci_sessions.catalogue.scheduled import scheduled  # noqa: PLC0415 - the list is this test's alone

    configs = sorted({matrix.config for matrix in scheduled()})
    names = [f"ci(config='{config}')" for config in configs]
    done = nox("-l", "-s", *names, cwd=tree)
    assert done.returncode == 0, done.stderr
    assert [name for name in names if f"* {name} " not in done.stdout] == []
    assert len(configs) > 90
    assert len(nox("-l", cwd=tree).stdout.splitlines()) < 25, "the plain list stays readable"


def test_explaining_and_the_matrix(tree):
    done = nox("-s", "explain", "--", "torchbench", cwd=tree)
    assert "decides: torchbench (config has torchbench)" in done.stdout
    data = json.loads(nox("-s", "matrix", "--", "--workflow", "trunk.yml", cwd=tree).stdout)
    assert {"config", "build_environment", "shard", "num_shards", "runner"} <= set(
        data["include"][0]
    )
    assert nox("-s", "matrix", "--", "--workflow", "none", cwd=tree).returncode == 1
