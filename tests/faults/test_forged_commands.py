"""Nothing that a test prints, writes or is called acts as a command to GitHub."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from faults.github import Reader, commands_in

FORGED = [
    "::add-mask::x", "  ::error::forged", "##[error]forged", "a ##[add-mask]x", "::stop-commands::evil",
    "\\u2003::warning::forged", "\\r::error::forged", "x\\r\\n::debug::forged", "::set-output name=a::b", "::endgroup::",
]  # fmt: skip
OURS = {"group", "endgroup", "stop-commands", "error"}
XML = """<testsuites><testsuite><testcase classname="a" name="::add-mask::n">
<failure message="::stop-commands::z&#10;##[error]m"/></testcase></testsuite></testsuites>"""


@pytest.fixture
def summary(tmp_path):
    return tmp_path / "summary.md"


def run(tree, summary, *args, flag="1", **more):
    env = {"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    return tree.dispatch(*args, flag=flag, **env, **more)


def check(done):
    """Fail if GitHub finds a command in the log that is not ours, or is left without commands."""
    for log in (done.stdout, done.stderr):
        reader = Reader().feed(log).close()
        assert reader.token is None, "commands are left stopped"
        for command in reader.commands:
            assert command.name in OURS, command
            assert "forged" not in command.properties
            if command.name == "stop-commands":
                assert re.fullmatch(r"[0-9a-f]{32}", command.data), command
    return commands_in(done.stdout)


@pytest.mark.parametrize("text", FORGED)
@pytest.mark.parametrize("flag", ["0", "1"])
def test_what_a_red_test_prints_is_no_command(tree, summary, text, flag):
    code = f"print({text!r}.encode().decode('unicode_escape'), flush=True); sys.exit(1)"
    tree.tests(code).script(f'{sys.executable} -c "import sys; {code}"')
    done = run(tree, summary, flag=flag)
    assert done.returncode == 1
    commands = check(done)
    assert [command.name for command in commands].count("error") == 1


def test_names_and_messages_of_cases_are_no_commands(tree, summary):
    tree.tests(
        "os.makedirs('test/test-reports', exist_ok=True)\n"
        f"open('test/test-reports/a.xml', 'w').write({XML!r})\nsys.exit(1)"
    )
    done = run(tree, summary)
    (error,) = [command for command in check(done) if command.name == "error"]
    assert error.properties.startswith("title=test_jit_legacy%3A a.%3A%3Aadd-mask%3A%3An")


def test_names_of_files_that_a_test_leaves_are_no_commands(tree, summary):
    tree.tests(
        "open('::add-mask::x ##[error]y', 'w').close(); os.makedirs('b'); open('b/\\n::error::forged', 'w').close()"
    )
    done = run(tree, summary)
    assert done.returncode == 1
    check(done)


@pytest.mark.parametrize(
    "config", ["x\n::error::forged", "::add-mask::x", "##[error]forged", "a\r::error::forged"]
)
@pytest.mark.parametrize("flag", ["0", "1", "rollout"])
def test_the_names_of_a_job_are_no_commands(tree, summary, config, flag):
    check(run(tree, summary, flag=flag, TEST_CONFIG=config))
    check(run(tree, summary, "--dry-run", flag=flag, TEST_CONFIG=config))
    check(run(tree, summary, flag=flag, BUILD_ENVIRONMENT=config, TESTS_TO_INCLUDE=config))


def test_a_dry_run_as_json_or_script_has_no_commands_and_the_same_content(tree, summary):
    env = {"TESTS_TO_INCLUDE": "test_a ##[error]forged", "TEST_CONFIG": "python"}
    done = run(tree, summary, "--json", **env)
    assert not commands_in(done.stdout)
    assert '"#\\u0023[error]forged"' in done.stdout
    done = run(tree, summary, "--shell", **env)
    assert not commands_in(done.stdout)
    line = next(
        line for line in done.stdout.splitlines() if "forged" in line and "run_test" in line
    )
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True
    )
    assert "##[error]forged" in words.stdout.split("\n")


def test_a_crash_of_the_runner_leaves_no_commands_stopped(tree, summary):
    """The step is open when the runner fails."""
    code = (
        "import runpy, sys; from ci_sessions.run import process\n"
        "def fail(*_, **__): raise RuntimeError('##[error]forged\\n::error::forged')\n"
        "process.stream = fail; sys.argv = ['ci-sessions', 'run', 'jit_legacy']\n"
        "runpy.run_module('ci_sessions', run_name='__main__', alter_sys=True)\n"
    )
    env = {"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    done = tree.call(sys.executable, "-c", code, **env)
    assert done.returncode == 70
    check(done)


def test_the_summary_cannot_be_broken_out_of(tree, summary):
    tree.tests(
        "print('```\\n# forged\\n<img src=x onerror=alert(1)>\\n[a](javascript:b)\\n`````\\n|a|b|'); sys.exit(1)"
    )
    run(tree, summary)
    text = summary.read_text()
    _, block, rest = text.split("\n``````\n")
    assert "# forged" in block
    assert "forged" not in rest
    assert "<img" not in rest


def test_a_terminal_under_ci_gets_no_live_line(tree, summary):
    """``docker exec -t`` gives the jobs of a CI system a terminal."""
    tree.tests("print('out', flush=True); time.sleep(1.5); sys.exit(1)")
    master, slave = pty.openpty()
    env = tree.environment("1", GITHUB_ACTIONS="true", CI="true", GITHUB_STEP_SUMMARY=str(summary))
    child = subprocess.Popen(
        [sys.executable, "-m", "ci_sessions", "dispatch"], cwd=tree.root, env=env,
        stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    pieces, until = [], time.monotonic() + 60
    while time.monotonic() < until:
        if select.select([master], [], [], 0.2)[0]:
            try:
                pieces.append(os.read(master, 65536))
            except OSError:
                break
        elif child.poll() is not None:
            break
    os.close(master)
    log = b"".join(pieces).decode().replace("\r\n", "\n")
    assert child.wait() == 1
    assert "\r" not in log
    reader = Reader().feed(log).close()
    assert reader.token is None
    assert [command.name for command in reader.commands].count("error") == 1
