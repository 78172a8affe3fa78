"""The sessions, as nox lists and runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from integration.conftest import STEP, suggested
from unit.catalogue.test_table import FIRST_RELEASE, TAGS


def nox(*args, cwd, env=None):
    return subprocess.run(
        [sys.executable, "-m", "nox", *args], cwd=cwd, env={**os.environ, **(env or {})},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def tree(checkout):
    """A checkout whose noxfile has only the line from the documentation."""
    (checkout / "noxfile.py").write_text("import ci_sessions.sessions\n")
    return checkout


def test_the_list_begins_with_the_first_release_and_all_of_its_tests(tree):
    listed = nox("-l", cwd=tree).stdout
    rows = re.findall(r"^- ci\(config='(\w+)'\) \[(\S+)\] -> Run one", listed, re.MULTILINE)
    assert [name for name, _ in rows][: len(FIRST_RELEASE)] == list(FIRST_RELEASE)
    assert {name: tags.split(",") for name, tags in rows if name in FIRST_RELEASE} == {
        name: list(dict.fromkeys([*TAGS[name], *tests])) for name, tests in FIRST_RELEASE.items()
    }


def test_the_projects_own_noxfile_has_them_too(root):
    listed = nox("-l", cwd=root).stdout
    assert "- ci(config='jit_legacy') [phase-2B,cpu,jit,test_jit,test_jit_legacy] -> Run" in listed
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
    (again,) = suggested(done.stdout)[STEP]
    assert "nox -s \"ci(config='docs_test')\" -- --build-environment linux-" in again
    assert again.endswith(" --test test_docs --step 1")
    repeated = subprocess.run(
        again, shell=True, cwd=tree, capture_output=True, text=True, check=False
    )
    assert repeated.returncode == 1
    assert "untitled.md has no title" in repeated.stdout


def test_the_job_of_the_environment(tree):
    env = {"TEST_CONFIG": "jit_legacy", "BUILD_ENVIRONMENT": "linux-jammy-cuda13.0-py3.10-gcc11"}
    done = nox("-s", "plan", cwd=tree, env=env)
    assert done.stdout.startswith("jit_legacy · shard 1 of 1 · linux-jammy-cuda13.0-py3.10-gcc11")
    done = nox("-s", "run", cwd=tree, env={"TEST_CONFIG": "docs_test"})
    assert "PASSED  docs_test" in done.stdout


def test_ci_without_a_configuration_is_an_error_with_a_job_in_the_environment(tree):
    """``nox -s ci`` runs all listed configurations, which is a mistake if a job is given."""
    done = nox("-s", "ci", cwd=tree, env={"TEST_CONFIG": "docs_test"})
    assert done.returncode == 2
    assert done.stderr.count("TEST_CONFIG is 'docs_test'") == 1
    assert "use `nox -s run` for the job given by the environment" in done.stderr
    assert "PASSED" not in done.stdout


def test_a_tag_selects_the_configurations_that_have_it(tree):
    listed = nox("-l", "-t", "test_c10d_gloo", cwd=tree).stdout
    assert re.findall(r"^\* (\S+)", listed, re.MULTILINE) == ["ci(config='distributed')"]
    done = nox("-t", "test_docs", "--", "--dry-run", cwd=tree)
    assert done.returncode == 0, done.stderr
    assert "docs_test · shard 1 of 1" in done.stdout


def test_noxsession_names_a_configuration_beyond_the_list(tree):
    env = {"NOXSESSION": "ci(config='inductor_core')"}
    done = nox("--", "--dry-run", cwd=tree, env=env)
    assert done.returncode == 0, done.stderr
    assert "test_inductor_core" in done.stdout


def test_listing_loads_neither_runner_nor_parity_nor_report(tree):
    code = (
        "import sys; sys.argv = ['nox', '-l']; import ci_sessions.sessions; "
        "print([n for n in sys.modules if n.startswith(('ci_sessions.run', 'ci_sessions.parity', "
        "'ci_sessions.report', 'ci_sessions.github'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_an_error_at_load_time_is_reported(tree):
    from integration.test_dispatch import IMPORT_ERROR, broken_package  # noqa: PLC0415

    env = broken_package(tree, *IMPORT_ERROR)
    for name in ("ci(config='jit_legacy')", "ci", "plan", "ci(config='inductor_core')"):
        done = nox("-s", name, cwd=tree, env=env)
        assert done.returncode == 1
        assert "ci_sessions cannot be imported: ModuleNotFoundError" in done.stderr
        assert "no_such_module" in done.stderr
        assert "Sessions not found" not in done.stderr


def test_a_configuration_beyond_the_list_has_its_session(tree):
    done = nox("-s", "ci(config='inductor_core')", "--", "--dry-run", cwd=tree)
    assert done.returncode == 0, done.stderr
    assert "test_inductor_core" in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ("-s", "ci(config='jit_legcy')"),
        ("-s", "run", "--", "jit_legcy"),
        ("-s", "plan", "--", "--bad"),
    ],
)
def test_bad_input_is_an_error_without_a_traceback(tree, args):
    done = nox(*args, cwd=tree)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_every_scheduled_configuration_has_its_session(tree):
    from ci_sessions.catalogue.scheduled import scheduled_matrices  # noqa: PLC0415 - only this test needs it

    configs = sorted({matrix.config for matrix in scheduled_matrices()})
    names = [f"ci(config='{config}')" for config in configs]
    done = nox("-l", "-s", *names, cwd=tree)
    assert done.returncode == 0, done.stderr
    assert [name for name in names if f"* {name} " not in done.stdout] == []
    assert len(configs) > 90
    assert len(nox("-l", cwd=tree).stdout.splitlines()) < 28, "the list stays short"


def test_explaining_and_the_matrix(tree):
    done = nox("-s", "explain", "--", "torchbench", cwd=tree)
    assert "config has torchbench (torchbench)\n" in done.stdout
    data = json.loads(nox("-s", "matrix", "--", "--workflow", "trunk.yml", cwd=tree).stdout)
    assert {"config", "build_environment", "shard", "num_shards", "runner"} <= set(
        data["include"][0]
    )
    assert nox("-s", "matrix", "--", "--workflow", "none", cwd=tree).returncode == 1
