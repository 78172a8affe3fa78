"""Completion, as a shell asks for it; skipped without argcomplete."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from integration.conftest import ci

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    *(
        "plan",
        "run",
        "dispatch",
        "explain",
        "matrix",
        "where",
        "audit",
        "shards",
        "parity",
        "history",
    ),
    "rollout",
    "report",
]
argcomplete = pytest.importorskip("argcomplete")


def complete(line, tmp_path):
    """Return the words with which a shell would complete a line."""
    found = tmp_path / "words"
    env = {
        "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(found),
    }  # fmt: skip
    done = ci(cwd=tmp_path, env=env, check=0)
    assert (done.stdout, done.stderr) == ("", "")
    return [word.strip() for word in found.read_text().splitlines()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ci-sessions ", COMMANDS),
        ("ci-sessions pl", ["plan"]),
        ("ci-sessions plan jit", ["jit_legacy"]),
        ("ci-sessions history --config jit", ["jit_legacy"]),
        ("ci-sessions parity jit", ["jit_legacy"]),
        ("ci-sessions run --case x --shell", ["--shell", "--shell-in"]),
        ("ci-sessions dispatch --shell", ["--shell"]),
        ("ci-sessions run jit_legacy --sh", ["--shell", "--shard", "--shell-in"]),
        ("ci-sessions rollout --ap", ["--apply"]),
        ("ci-sessions nope --", []),
    ],
)
def test_words_are_completed(tmp_path, line, words):
    assert sorted(complete(line, tmp_path)) == sorted(words)


def test_all_listed_configurations_are_completed(tmp_path):
    words = complete("ci-sessions plan ", tmp_path)
    assert {"smoke", "docs_test", "distributed", "inductor_cpp_wrapper"} <= set(words)
    assert len(words) == len(set(words))


def test_without_argcomplete_the_command_runs(tmp_path):
    (tmp_path / "argcomplete.py").write_text("raise ImportError\n")
    env = {"_ARGCOMPLETE": "1", "PYTHONPATH": str(tmp_path)}
    assert "usage:" in ci("--help", cwd=tmp_path, env=env, check=0).stdout
    env |= {"COMP_LINE": "ci-sessions run jit_legacy ", "COMP_POINT": "27"}
    assert "usage:" in ci("--help", cwd=tmp_path, env=env, check=0).stdout, "no job is started"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_documented_line_completes_in_bash(tmp_path):
    page = (ROOT / "docs" / "using-it.md").read_text()
    (line,) = re.findall(r"^(eval .*?) +# bash", page, re.MULTILINE)
    folder = Path(sys.executable).parent
    script = (
        f'PATH="{folder}:$PATH"\n{line}\n'
        "COMP_LINE='ci-sessions plan jit' COMP_POINT=20 COMP_TYPE=9 COMP_WORDS=(ci-sessions plan jit)"
        " COMP_CWORD=2\n"
        "_python_argcomplete ci-sessions jit plan\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    if not (folder / "register-python-argcomplete").exists():
        pytest.skip("register-python-argcomplete is not in this environment")
    if not (folder / "ci-sessions").exists():
        pytest.skip("ci-sessions is not installed in this environment")
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert done.stdout.split() == ["jit_legacy"], done.stderr
