"""Secrets stay out of all that is printed and written; and redaction destroys no structure."""

from __future__ import annotations

import gzip
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "it's a $wombat"
PLAIN = "hunter22hunter22"
SHOWN = ("wombat", "hunter22")


def files(*folders):
    """Yield the content of every file, unpacked."""
    for folder in folders:
        for path in Path(folder).rglob("*"):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                yield path, gzip.decompress(data) if path.suffix == ".gz" else data


def check(done, *folders):
    for text in (done.stdout, done.stderr):
        assert not [word for word in SHOWN if word in text], text
    for path, data in files(*folders):
        assert not [word for word in SHOWN if word.encode() in data], path


TESTS = f"""
import json, shlex
secret = os.environ.get('MY_TOKEN', {SECRET!r})
print(secret, repr(secret), json.dumps(secret), shlex.quote(secret), [secret])
os.makedirs('test/test-reports', exist_ok=True)
from xml.sax.saxutils import quoteattr
open('test/test-reports/a.xml', 'w').write(f'<t><testcase name={{quoteattr(secret)}}><failure message={{quoteattr(secret)}}/></testcase></t>')
sys.exit(1)
"""


@pytest.mark.parametrize("flag", ["0", "1"])
@pytest.mark.parametrize("github", ["", "true"])
def test_a_secret_that_a_test_prints(tree, tmp_path, flag, github):
    tree.tests(TESTS).script(
        'echo "$MY_TOKEN"; set -x; echo "$MY_TOKEN"; printf "%q\\n" "$MY_TOKEN"; exit 1'
    )
    env = {"GITHUB_ACTIONS": github or None, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    done = tree.dispatch(flag=flag, MY_TOKEN=SECRET, **env)
    assert done.returncode == 1
    assert "***" in done.stdout
    check(done, tree.root / ".ci-sessions")
    if github:
        assert "wombat" not in (tmp_path / "summary.md").read_text()


def test_a_secret_in_the_inputs_of_a_job(tree):
    env = {
        "MY_TOKEN": PLAIN,
        "TESTS_TO_INCLUDE": PLAIN,
        "EXTRA_FLAGS": f"--x={PLAIN}",
        "TEST_CONFIG": "python",
    }
    for args in ((), ("--dry-run",), ("--json",), ("--shell",)):
        check(tree.dispatch(*args, flag="1", CODE="3", **env), tree.root / ".ci-sessions")


@pytest.mark.parametrize(
    "argv",
    [
        ["plan", "jit_legacy", "--checkout", f"https://user:{PLAIN}@host/x"],
        ["parity", "jit_legacy", "--checkout", f"https://user:{PLAIN}@host/x"],
        ["plan", "jit_legacy", "--shard", PLAIN], ["plan", PLAIN], ["plan", "jit_legacy", f"--{PLAIN}"],
        ["plan", "--jobs", f"/nope/{PLAIN}"], ["rollout", "--rollout", f"/nope/{PLAIN}"],
        ["matrix", "--workflow", PLAIN], ["explain", "jit_legacy", "--build-environment", PLAIN + "!"],
        ["run", "jit_legacy", "--timeout", PLAIN], ["run", "jit_legacy", "--records", f"/dev/null/{PLAIN}", "--test", PLAIN],
    ],
)  # fmt: skip
def test_a_secret_in_a_message_about_bad_input(tree, argv):
    done = tree.call(sys.executable, "-m", "ci_sessions", *argv, MY_TOKEN=PLAIN)
    assert done.returncode == 2
    check(done)


def test_a_secret_in_a_warning_before_anything_else(tree):
    env = {"MY_TOKEN": PLAIN, "CONTINUE_THROUGH_ERROR": PLAIN, "SHARD_NUMBER": PLAIN}
    done = tree.dispatch(flag="1", **env)
    assert done.returncode == 0
    assert "***" in done.stderr
    check(done, tree.root / ".ci-sessions")


def test_a_secret_in_a_traceback_of_ours(tree):
    code = (
        "import runpy, sys; from ci_sessions.cli import plan\n"
        'def fail(*_, **__): raise RuntimeError(f\'a bug with {__import__("os").environ["MY_TOKEN"]}\')\n'
        "plan.prepare_job = fail; sys.argv = ['ci-sessions', 'plan', 'jit_legacy']\n"
        "runpy.run_module('ci_sessions', run_name='__main__', alter_sys=True)\n"
    )
    done = tree.call(sys.executable, "-c", code, MY_TOKEN=SECRET)
    assert done.returncode == 70
    assert "RuntimeError: a bug with ***" in done.stderr
    check(done)


def test_a_secret_in_a_parity_report_and_in_its_cache(tree, tmp_path):
    script = tree.root / ".ci" / "pytorch" / "test.sh"
    script.write_text(
        '#!/bin/bash\npython test/run_test.py "$TESTS_TO_INCLUDE" --token "$MY_TOKEN"\n'
    )
    env = {"MY_TOKEN": PLAIN, "TESTS_TO_INCLUDE": PLAIN, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for form in ((), ("--json",), ("--markdown",), ("--trace",)):
        done = tree.call(sys.executable, "-m", "ci_sessions", "parity", "jit_legacy", *form, **env)
        assert done.returncode in (0, 1), done.stderr
        check(done, tmp_path / "cache")
    for path, _ in files(tmp_path / "cache"):
        if path.suffix == ".gz":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_a_step_exports(tree):
    """Shell functions export variables for later steps; their secrets are redacted too."""
    from integration.test_executor import execute, replacing, sh  # noqa: PLC0415

    from ci_sessions.plan.step import Kind, ShellFunction, Step  # noqa: PLC0415

    (tree.root / "f.sh").write_text(f"f() {{ export NEW_TOKEN={PLAIN}; }}\n")
    step = Step(kind=Kind.HELPER, command=ShellFunction(("f",), ("./f.sh",)))
    run, screen = execute(tree.root, replacing("a", step, sh('echo "$NEW_TOKEN"; exit 1')))
    assert run.exit_code == 1
    assert "hunter22" not in screen
    check(subprocess.CompletedProcess([], 0, "", ""), tree.root / "records")


@pytest.mark.parametrize("flag", ["0", "1"])
def test_a_secret_that_is_a_word_of_ours_destroys_nothing(tree, flag):
    env = {
        "AWS_PROFILE": "passed", "DB_PASSWORD": "shell", "X_TOKEN": "python", "Y_TOKEN": "run started", "Z_TOKEN": "jit_legacy",
        "K1_KEY": "failed", "K2_KEY": "flag-on", "K3_KEY": "1", "K4_KEY": "replaces", "GITHUB_PAT": "test_sh",
    }  # fmt: skip
    assert tree.dispatch(flag=flag, **env).returncode == 0
    assert tree.dispatch(flag=flag, CODE="3", **env).returncode == 3
    green, red = tree.records()
    assert (green["outcome"], red["outcome"]) == ("passed", "failed")
    assert green["runner"] == green["route"]["runner"] == ("python" if flag == "1" else "shell")
    assert green["job"]["config"] == "jit_legacy"
    done = tree.call(sys.executable, "-m", "ci_sessions", "rollout", "--json", **env)
    row = json.loads(done.stdout)["jit_legacy"]
    assert row["python" if flag == "1" else "shell"] == 2
