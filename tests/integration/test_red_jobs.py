"""From a red job to its cause: every command that a run suggests works where it is printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from integration.conftest import PLAIN, STEP, ci, git, suggested, write_script

from ci_sessions.records.store import read_runs

CPU = "linux-jammy-py3.10-gcc11"
CASE = "one case of each message"
SETUP = "this step of the job's set-up"
RED = """
import os
import unittest


class T(unittest.TestCase):
    def test_red(self):
        print("RAN red")
        self.assertEqual(1, 2, "sums")

    def test_other(self):
        print("RAN other")
        raise KeyError(os.environ.get("MARK"))

    def test_green(self):
        print("RAN green")
"""


@pytest.fixture
def red(checkout):
    """A checkout in which one test of ``jit_legacy`` has two failed cases."""
    (checkout / "test" / "test_jit_legacy.py").write_text(RED)
    (checkout / "noxfile.py").write_text("import ci_sessions.sessions\n")
    git(checkout, "add", "-A", "-f")
    git(checkout, "commit", "-qm", "red")
    return checkout


def paste(line, folder, **env):
    """Run a command as a person pastes it, in a folder."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check_commands(done, folder, **env):
    """Run all commands that a red run of ``test_jit_legacy`` suggests; each repeats what it says."""
    commands = suggested(done.stdout)
    assert list(commands) == [CASE, STEP, PLAIN], done.stdout + done.stderr
    assert len(commands[CASE]) == 2
    for line, name in zip(commands[CASE], ("other", "red"), strict=True):
        again = paste(line, folder, **env)
        assert again.returncode == 1, (line, again.stdout, again.stderr)
        assert again.stdout.count("RAN ") == 1, again.stdout
        assert f"RAN {name}" in again.stdout
        assert list(suggested(again.stdout)) == [CASE, PLAIN]  # the step is this case
    for what in (STEP, PLAIN):
        (line,) = commands[what]
        again = paste(line, folder if what == STEP else "/", **env)
        assert again.returncode == 1, (line, again.stdout, again.stderr)
        assert again.stdout.count("RAN ") == 3


def test_python_and_a_configuration(red):
    done = ci("run", "jit_legacy", "--build-environment", CPU, cwd=red, check=1)
    check_commands(done, red)


def test_the_job_is_named_by_the_environment(red):
    job = {"TEST_CONFIG": "jit_legacy", "BUILD_ENVIRONMENT": CPU}
    done = ci("run", cwd=red, env=job, check=1)
    check_commands(done, red)


def nox(*args, cwd, **env):
    return subprocess.run(
        [sys.executable, "-m", "nox", *args],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_nox_and_a_configuration(red):
    check_commands(nox("-s", "ci(config='jit_legacy')", cwd=red), red)


def test_nox_and_the_job_of_the_environment(red):
    done = nox("-s", "run", cwd=red, TEST_CONFIG="jit_legacy", BUILD_ENVIRONMENT=CPU)
    check_commands(done, red)


def test_nox_with_a_noxfile_elsewhere(red, tmp_path):
    away = tmp_path / "away"
    away.mkdir()
    file = os.path.relpath(red / "noxfile.py", away)
    check_commands(nox("-f", file, "-s", "ci(config='jit_legacy')", cwd=away), away)


@pytest.mark.parametrize("command", [("python", "-m", "ci_sessions"), ("nox", "-s")])
def test_under_dispatch(red, command):
    env = {"USE_PYTHON_TEST_RUNNER": "1", "TEST_CONFIG": "jit_legacy", "BUILD_ENVIRONMENT": CPU}
    if command[0] == "nox":
        done = nox("-s", "dispatch", cwd=red, **env)
    else:
        done = ci("dispatch", cwd=red, env=env, check=1)
    check_commands(done, red)


def test_from_another_folder_with_a_relative_checkout(red, tmp_path):
    done = ci("run", "jit_legacy", "--checkout", red.name, cwd=red.parent, check=1)
    check_commands(done, "/")


def test_a_program_that_is_not_on_the_path(red):
    """As under ``uvx`` or ``pipx run``, whose environment is not on PATH."""
    (red.parent / "bin").mkdir()
    (red.parent / "bin" / "python").symlink_to(sys.executable)
    path = f"{red.parent / 'bin'}:/usr/bin:/bin"
    done = ci("run", "jit_legacy", cwd=red, env={"PATH": path}, check=1)
    check_commands(done, red, PATH=path)


@pytest.mark.parametrize("program", ["ci-sessions", "python -m ci_sessions", "nox"])
def test_a_program_that_is_on_path_only_while_it_runs(red, program):
    """As under ``uvx`` and ``uv run``, which set UV."""
    bin_folder = str(Path(sys.executable).parent)
    command = f"{program} -s \"ci(config='jit_legacy')\"" if program == "nox" else program
    line = command if program == "nox" else f"{program} run jit_legacy"
    done = paste(line, red, UV="/usr/bin/uv", PATH=f"{bin_folder}:{os.environ['PATH']}")
    assert done.returncode == 1, done.stderr
    without = os.environ["PATH"].split(os.pathsep)
    path = os.pathsep.join(folder for folder in without if folder != bin_folder)
    (red.parent / "bin").mkdir()
    (red.parent / "bin" / "python").symlink_to(sys.executable)  # for the plain command
    check_commands(done, red, PATH=f"{red.parent / 'bin'}:{path}")


def test_a_part_of_the_plan(red):
    done = ci("run", "jit_legacy", "--test", "test_jit_legacy", cwd=red, check=1)
    check_commands(done, red)


def test_a_setup_step(checkout):
    """As in a real checkout, in which torch is imported first."""
    (checkout / ".ci-sessions-sample").unlink()
    (checkout / "test" / "torch.py").write_text("raise SystemExit(3)\n")
    done = ci("run", "jit_legacy", "--no-install", cwd=checkout, check=3)
    for what in (SETUP, PLAIN):
        (line,) = suggested(done.stdout)[what]
        again = paste(line, checkout)
        assert again.returncode == 3, again.stdout + again.stderr
    assert "setup.5" not in paste(suggested(done.stdout)[SETUP][0], checkout).stdout


def test_a_dirty_checkout_is_repeated_with_the_test_that_made_it_so(checkout):
    body = "open('left', 'w').close()\n"
    (checkout / "test" / "test_torch.py").write_text(body)
    git(checkout, "commit", "-qam", "dirty")
    done = ci("run", "python", "--test", "test_python", cwd=checkout, check=1)
    assert "the checkout was left dirty" in done.stdout
    (line,) = suggested(done.stdout)["this test"]
    (checkout / "left").unlink()
    again = paste(line, checkout)
    assert again.returncode == 1
    assert "the checkout was left dirty" in again.stdout


def test_the_last_failed_cases_until_they_pass(red):
    ci("run", "jit_legacy", "--build-environment", CPU, "--keep-going", cwd=red, check=1)
    for config in ((), ("jit_legacy",)):
        done = ci("run", *config, "--last-failed", cwd=red, check=1)
        assert done.stdout.count("RAN ") == 2
        assert "RAN green" not in done.stdout
    path = red / "test" / "test_jit_legacy.py"
    path.write_text(RED.replace("1, 2", "1, 1").replace("raise KeyError", "print"))
    ci("run", "--last-failed", cwd=red, check=0)
    done = ci("run", "--last-failed", cwd=red, check=2)
    assert "no step failed in the newest run" in done.stderr
    done = ci("run", "docs_test", "--last-failed", cwd=red, check=2)
    assert "has no record of a run of docs_test" in done.stderr


def test_cases_and_files_of_one_step(red):
    done = ci("run", "jit_legacy", "--case", "T.test_red", cwd=red, check=2)
    assert "add one of --test test_jit" in done.stderr
    done = ci("run", "jit_legacy", "--test", "test_jit_legacy", "--case", "test_green", cwd=red)
    assert (done.returncode, done.stdout.count("RAN ")) == (0, 1)
    args = ("--test", "test_jit_legacy", "--file", "test_torch")
    done = ci("run", "jit_legacy", *args, cwd=red, check=0)
    assert "Running test_torch" in done.stdout
    assert "RAN" not in done.stdout


def test_a_case_that_does_not_exist_is_not_a_success(red):
    args = ("--test", "test_jit_legacy", "--case", "test_geren")
    done = ci("run", "jit_legacy", *args, cwd=red, check=2)
    assert "test_jit_legacy              exit 0" in done.stdout
    assert "   no test case ran\n" in done.stdout
    assert "no test case has the name that --case gives" in done.stdout


@pytest.mark.parametrize(
    ("config", "step", "reason"),
    [
        ("torchbench", "test_torchbench", "the sample checkout has no torch"),
        ("distributed", "test_c10d_nccl", "NCCL needs CUDA, and the build is for cpu"),
        ("jit_legacy", "setup", "the sample checkout has no torch"),
    ],
)
def test_a_step_that_is_skipped_is_not_a_success(checkout, config, step, reason):
    number = "3" if step == "setup" else "1"
    argv = (config, "--build-environment", CPU, "--test", step, "--step", number)
    done = ci("run", *argv, cwd=checkout)
    assert done.returncode == 2
    assert f"step {number} of {step} does not run ({reason}" in done.stderr


def test_a_case_of_a_test_that_is_skipped_is_not_a_success(checkout):
    args = ("distributed", "--test", "test_c10d_nccl", "--case", "test_x")
    done = ci("run", *args, "--build-environment", CPU, cwd=checkout, check=2)
    assert "NCCL needs CUDA" in done.stdout + done.stderr


def test_a_command_runs_in_the_environment_of_the_job(checkout):
    code = "import os; print(os.getcwd(), os.environ['VALGRIND'], os.environ['TEST_CONFIG'])"
    args = ("--build-environment", CPU, "--exec", sys.executable, "-c", code)
    done = ci("run", "jit_legacy", *args, cwd=checkout, check=0)
    assert done.stdout == f"{checkout} ON jit_legacy\n"
    done = ci("run", "jit_legacy", "--exec", "sh", "-c", "exit 7", cwd=checkout)
    assert done.returncode == 7
    done = ci("run", "jit_legacy", "--exec", "no-such-program", cwd=checkout, check=2)
    assert "--exec cannot start 'no-such-program'" in done.stderr
    assert not (checkout / ".ci-sessions").exists()


def test_a_command_dies_of_a_closed_pipe_as_usual(checkout):
    line = "yes | head -1; echo ${PIPESTATUS[0]}"
    done = ci("run", "jit_legacy", "--exec", "bash", "-c", line, cwd=checkout, check=0)
    assert done.stdout == "y\n141\n"


@pytest.mark.parametrize(
    "option", [("--case", "test_jit_legacy.T.test_a"), ("--file", "test_jit_legacy")]
)
def test_a_part_that_dispatch_ran_is_no_evidence(checkout, option):
    job = {"TEST_CONFIG": "jit_legacy", "BUILD_ENVIRONMENT": CPU}
    ci("dispatch", *option, cwd=checkout, env={**job, "USE_PYTHON_TEST_RUNNER": "1"})
    (run,) = read_runs(checkout / ".ci-sessions")
    assert run.route.is_partial
    env = {**job, "USE_PYTHON_TEST_RUNNER": "0"}
    done = ci("dispatch", *option, cwd=checkout, env=env, check=2)
    assert f"{option[0]} works only for a job that runs in Python" in done.stderr


@pytest.mark.parametrize("option", ["--last-failed", "--shell-in", "--exec=true"])
def test_dispatch_runs_the_job_of_ci_only(checkout, option):
    done = ci("dispatch", "jit_legacy", *option.split("="), cwd=checkout, check=2)
    assert "unrecognized arguments" in done.stderr


def test_a_shell_in_the_environment_of_the_job(checkout):
    done = subprocess.run(
        [sys.executable, "-m", "ci_sessions", "run", "jit_legacy", "--shell-in"],
        cwd=checkout,
        env={**os.environ, "SHELL": shutil.which("bash")},
        input="echo $TEST_CONFIG; exit 5\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (5, "jit_legacy\n")


def test_a_red_step_names_its_log(red):
    done = ci("run", "jit_legacy", cwd=red, check=1)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("     log: "))
    text = Path(line.removeprefix("     log: ")).read_text()
    assert "RAN red" in text
    assert "RAN other" in text
    (run,) = read_runs(red / ".ci-sessions")
    assert run.failed_steps[0].log == line.removeprefix("     log: ")


def test_a_crash_names_its_signal(checkout):
    path = checkout / "test" / "test_jit_legacy.py"
    path.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    done = ci("run", "jit_legacy", cwd=checkout, check=139)
    assert "exit 139 (SIGSEGV)" in done.stdout


def test_without_reports_the_output_names_cases_and_places(red):
    write_script(
        red / "test" / "run_test.py",
        "import subprocess, sys\n"
        "print('Running test_jit_legacy ... [now]', flush=True)\n"
        "sys.exit(subprocess.call([sys.executable, '-m', 'unittest', 'test_jit_legacy'], cwd='test'))\n",
    )
    done = ci("run", "jit_legacy", "--test", "test_jit_legacy", cwd=red, check=1)
    assert "3 cases: 1 failure, 1 error" in done.stdout
    assert "KeyError: None" in done.stdout
    assert "test/test_jit_legacy.py:9\n" in done.stdout
    assert "--file test_jit_legacy --case test_jit_legacy.T.test_red" in done.stdout


@pytest.mark.parametrize("is_in_log", [False, True])
def test_a_step_that_times_out_says_what_was_running(checkout, is_in_log):
    """run_test.py of PyTorch 2 keeps the output of a test file in a log until it ends."""
    lines = "test_jit_legacy.py::T::test_a PASSED\ntest_jit_legacy.py::T::test_hangs "
    show = "open('test/test-reports/test_jit_legacy_1_toprint.log', 'w').write(text)"
    show = show if is_in_log else "print(text, end='', flush=True)"
    write_script(
        checkout / "test" / "run_test.py",
        f"import os, time\nos.makedirs('test/test-reports', exist_ok=True)\ntext = {lines!r}\n"
        f"{show}\ntime.sleep(60)\n",
    )
    done = ci("run", "jit_legacy", "--step-timeout", "3", cwd=checkout, check=124)
    end = done.stdout[done.stdout.index("\nFAILED") :]
    assert "time limit exceeded; test_jit_legacy.py::T::test_hangs was running" in end
    assert "       test_jit_legacy.py::T::test_a PASSED" in end


def test_a_verbose_run_says_what_each_step_gets(red):
    env = {"MY_TOKEN": "not-for-logs", "PATH": f"{os.environ['PATH']}:/not-for-logs"}
    done = ci("run", "jit_legacy", "-v", cwd=red, check=1, env=env)
    assert f"ci > in {red}, with " in done.stderr
    assert "the workspace is the jenkins user's, and sudo works: no" in done.stderr
    assert "not-for-logs" not in done.stderr
    assert ":/***" in done.stderr
    assert "ci > in " not in ci("run", "jit_legacy", cwd=red, check=1).stderr
    assert "not allowed with" in ci("run", "jit_legacy", "-q", "-v", cwd=red, check=2).stderr


def test_a_quiet_run_keeps_the_output_in_the_log(red):
    done = ci("run", "jit_legacy", "--quiet", cwd=red, check=1)
    assert "RAN" not in done.stdout
    (run,) = read_runs(red / ".ci-sessions")
    assert "RAN red" in Path(run.failed_steps[0].log).read_text()
