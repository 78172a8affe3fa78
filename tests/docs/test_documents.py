"""The documents' commands work, and print what the documents say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SET_UP = "python3 -m venv .venv && . .venv/bin/activate && pip install -q -e . && "


def examples(path):
    """Give each command of a console block with the output that is shown below it."""
    for block in re.findall(r"^```console\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


EXAMPLES = [
    pytest.param(command, output, id=f"{path.name}:{command[:60]}")
    for path in DOCUMENTS
    for command, output in examples(path)
    if not command.endswith("nox -s tests")  # that is what runs this
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the working tree, as git would clone it, with this environment's tools."""
    folder = tmp_path_factory.mktemp("clone") / "ci_sessions"
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for words in (["init", "-q"], ["add", "-A", "-f"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def plain_environment():
    """Say nothing of a CI around this test; a copy of the project is not measured for coverage."""
    left_out = ("CI", "GITHUB_ACTIONS", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def pattern(output):
    """Turn shown output into a pattern: ``…`` is anything, alone on a line any lines."""
    lines = [re.escape(line.rstrip()) for line in output.strip("\n").splitlines()]
    text = "\n".join(lines)
    text = re.sub(r"(^|\n)…(?=\n|$)", r"\1(?:.*\n)*?.*", text)
    return text.replace("…", ".*?")


def test_there_are_examples():
    assert len(EXAMPLES) >= 6
    assert any(SET_UP in str(example.values[0]) for example in EXAMPLES)


@pytest.mark.parametrize(("command", "output"), EXAMPLES)
def test_a_command_prints_what_is_shown(clone, command, output):
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


def test_links_lead_somewhere():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_configuration_of_the_page_can_be_added(clone, tmp_path):
    """The page 'Adding a configuration', followed to the letter."""
    folder = tmp_path / "followed"
    shutil.copytree(clone, folder)
    page = (folder / "docs" / "adding-a-configuration.md").read_text()
    function, row, test = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    added_lines = [
        line for block in (function, row, test) for line in block.splitlines() if line.strip()
    ]
    assert len(added_lines) < 15
    suite = folder / "ci_sessions" / "catalogue" / "suites" / "python.py"
    text = suite.read_text().replace(
        "from ci_sessions.plan.builders import (\n",
        "from ci_sessions.plan.builders import (\n    added,\n",
        1,
    )
    suite.write_text(text + "\n\n" + function)
    table = folder / "ci_sessions" / "catalogue" / "table.py"
    first = '    row("pr time"'
    table.write_text(table.read_text().replace(first, row + first, 1))
    tests = folder / "tests" / "unit" / "catalogue" / "test_table.py"
    tests.write_text(tests.read_text() + "\n\n" + test)
    env = {**plain_environment(), "PYTHONPATH": str(folder)}
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/unit/catalogue/test_table.py",
        "-k",
        "sparse",
    ]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    words = [sys.executable, "-m", "ci_sessions", "plan", "sparse"]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
