"""A path is a path: nothing in it is shell text."""

from __future__ import annotations

import subprocess
import sys

import pytest
from integration.conftest import PLAIN, STEP, suggested

NAMES = ["a;touch PWNED;", "a $(touch PWNED) b", "a`touch PWNED`", "a'b\"c", "a*b?[c]", "-rf", "a&b|c>d", "a\nb", "ü 中", "#x", "~", "a\\b", "$HOME", "##[x]"]  # fmt: skip


@pytest.fixture(params=NAMES)
def odd(request, tree):
    """The checkout in a folder with an odd name."""
    path = tree.root.parent / request.param
    tree.root.rename(path)
    tree.root = path
    return tree


def test_the_script_and_the_tests_run(odd):
    assert odd.dispatch(CODE="4").returncode == 4
    assert odd.dispatch(flag="1").returncode == 0
    assert odd.ran == ["script", "python"]
    assert not list(odd.root.parent.rglob("PWNED"))


def test_a_helper_step_runs(odd):
    """Shell functions of the checkout are read from files whose path is an argument."""
    code = "import sys; sys.exit(0)"
    odd.tests(code)
    for args in (("python", "--shard", "1/2"), ("distributed",), ("inductor_distributed",)):
        done = odd.call(
            sys.executable, "-m", "ci_sessions", "run", *args, "--no-hardware-check", flag="1"
        )
        assert done.returncode in (0, 1), done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert not list(odd.root.parent.rglob("PWNED"))


def test_a_pasted_dry_run_runs_there(odd):
    done = odd.call(sys.executable, "-m", "ci_sessions", "plan", "jit_legacy", "--shell")
    pasted = subprocess.run(
        ["bash"], input=done.stdout, cwd="/", capture_output=True, text=True, check=False
    )
    assert pasted.returncode == 0, pasted.stderr
    assert odd.ran == ["python"] * 2
    assert not list(odd.root.parent.rglob("PWNED"))


def test_the_printed_command_repeats_the_step_there(odd):
    done = odd.call(sys.executable, "-m", "ci_sessions", "run", "jit_legacy", CODE="3")
    assert done.returncode == 3
    for (line,) in (suggested(done.stdout)[STEP], suggested(done.stdout)[PLAIN]):
        again = subprocess.run(
            ["bash", "-c", line],
            cwd=odd.root,
            env=odd.environment(CODE="3"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert again.returncode == 3, (line, again.stdout, again.stderr)
    assert not list(odd.root.parent.rglob("PWNED"))


def test_the_tracer_reads_the_script_there(odd):
    done = odd.call(sys.executable, "-m", "ci_sessions", "parity", "jit_legacy", "--no-cache")
    assert "jobs 1" in done.stdout, done.stdout + done.stderr
    assert not list(odd.root.parent.rglob("PWNED"))
