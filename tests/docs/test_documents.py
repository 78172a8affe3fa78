"""The commands in the docs work, and print the output shown there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from console_examples import clone_of_the_tree, examples, pattern, plain_environment

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
SET_UP = "python3 -m venv .venv && . .venv/bin/activate && pip install -q -e . && "


EXAMPLES = [
    pytest.param(command, output, id=f"{path.name}:{command[:60]}")
    for path in DOCUMENTS
    if path.name != "tutorial.md"  # test_tutorial.py follows it as a whole
    for command, output in examples(path)
    if not command.endswith("nox -s tests")  # it would run these tests
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the working tree like a git clone, used with this environment's tools."""
    return clone_of_the_tree(tmp_path_factory.mktemp("clone"))


def test_there_are_examples():
    assert len(EXAMPLES) >= 6
    assert any(SET_UP in str(example.values[0]) for example in EXAMPLES)


@pytest.mark.parametrize(("command", "output"), EXAMPLES)
def test_a_command_prints_the_output_shown(clone, command, output):
    env = plain_environment()
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command.removeprefix(SET_UP)],
        cwd=clone,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines())
    assert re.search(pattern(output), printed), printed


def test_links_have_targets():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def blocks(page):
    """Return the code blocks of a page."""
    return re.findall(r"^```(?:python|text)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def insert(path, new, before=""):
    """Insert text into a file, before a line or at the end."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, new + before, 1) if before else text + new)


def run_in(folder, *args):
    env = {**plain_environment(), "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", *args],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def unit_tests(folder):
    return run_in(folder, "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "tests/unit")


def test_the_configuration_on_the_page_can_be_added(clone, tmp_path):
    """Follow the page 'Adding a configuration' literally in a copy of the tree."""
    folder = tmp_path / "followed"
    shutil.copytree(clone, folder)
    code = folder / "ci_sessions"
    function, row, name, test = blocks((folder / "docs" / "adding-a-configuration.md").read_text())
    added = [line for block in (function, row, name, test) for line in block.splitlines() if line]
    assert len(added) <= 20
    suite = code / "catalogue" / "suites" / "dynamo.py"
    imports, _, body = function.partition("\n\n\n")
    insert(suite, imports + "\n", before="\nif TYPE_CHECKING:")
    insert(suite, "\n\n" + body)
    insert(code / "catalogue" / "table.py", row, before='    row("pr time"')
    insert(code / "resources" / "dispatch.sh", name, before="'\n\n# nox needs")
    insert(folder / "tests" / "unit" / "catalogue" / "test_table.py", "\n\n" + test)

    done = unit_tests(folder)
    assert done.returncode == 0, done.stdout[-3000:]
    done = run_in(
        folder, "pytest", "-q", "tests/unit/catalogue/test_table.py", "-k", "dynamo_export"
    )
    assert re.search(r"\d+ passed", done.stdout), done.stdout
    listed = run_in(folder, "nox", "-l").stdout
    tags = "cpu,dynamo,test_dynamo_export"
    assert f"- ci(config='dynamo_export') [{tags}] -> Run one configuration" in listed
    label = "linux-jammy-cuda13.0-py3.10-gcc11"
    args = (
        "--config",
        "dynamo_export",
        "--build-environment",
        label,
        "--shard",
        "1/2",
        "--dry-run",
    )
    done = run_in(folder, "ci_sessions", "dispatch", *args)
    assert done.stdout.startswith("route: python: native\ndynamo_export · shard 1 of 2"), (
        done.stderr
    )
    assert (
        "FOO=1 python test/run_test.py --include test_export --verbose --shard 1 2" in done.stdout
    )


def test_the_device_on_the_page_needs_only_its_row(clone, tmp_path):
    """Follow the page 'Adding a device' in a copy of the tree without that row."""
    folder = tmp_path / "followed"
    shutil.copytree(clone, folder)
    row, exports, test = blocks((folder / "docs" / "adding-a-device.md").read_text())
    table = folder / "ci_sessions" / "catalogue" / "devices.py"
    tests = folder / "tests" / "unit" / "catalogue" / "test_table.py"
    for path, block in ((table, row), (table, exports), (tests, test)):
        text = path.read_text()
        assert text.count(block) == 1, "the page and the code must show the same block"
        path.write_text(text.replace(block, ""))
    plan = ("ci_sessions", "plan", "einops", "--build-environment", "linux-jammy-py3.12-pallas-tpu")
    assert run_in(folder, *plan).stdout.endswith("needs no device · nothing was run\n")
    insert(table, row, before=')\n"""Every accelerator')
    insert(table, exports + "\n\n", before="DEVICES = (")
    insert(tests, "\n\n" + test)
    assert "needs 1 TPU device (this machine: " in run_in(folder, *plan).stdout
    done = unit_tests(folder)
    assert done.returncode == 0, done.stdout[-3000:]
