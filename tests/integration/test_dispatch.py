"""``dispatch`` with real scripts and failures: what runs, how often, and the exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from integration.conftest import PLAIN, ci, suggested, write_script

from ci_sessions.records.store import read_runs

ROOT = Path(__file__).resolve().parents[2]
CPU = "linux-jammy-py3.10-gcc11"
SCRIPT = """#!/bin/bash
echo "shell $TEST_CONFIG $BUILD_ENVIRONMENT ${SHARD_NUMBER:-unset}" >> ran
exit ${SCRIPT_CODE:-0}
"""
RUN_TEST = "import os, sys\nopen('ran', 'a').write('python\\n')\nsys.exit(int(os.environ.get('TEST_CODE', '0')))\n"
CALLER = f"sh {ROOT / 'ci_sessions' / 'resources' / 'dispatch.sh'}"


@pytest.fixture
def tree(checkout):
    """A checkout whose script and tests each write a line to ``ran``."""
    write_script(checkout / ".ci" / "pytorch" / "test.sh", SCRIPT)
    write_script(
        checkout / ".ci" / "pytorch" / "multigpu-test.sh", SCRIPT.replace("shell", "multigpu")
    )
    (checkout / "test" / "run_test.py").write_text(RUN_TEST)
    with (checkout / ".gitignore").open("a") as ignored:
        ignored.write("ran\nnoxfile.py\nbroken/\n")
    (checkout / "noxfile.py").write_text("import ci_sessions.sessions\n")
    return checkout


def ran(tree):
    path = tree / "ran"
    return path.read_text().splitlines() if path.exists() else []


def dispatch(tree, config="jit_legacy", *args, check=None, **env):
    names = {"TEST_CONFIG": config, "BUILD_ENVIRONMENT": CPU, "SHA1": "abc"}
    return ci("dispatch", *args, cwd=tree, env={**names, **env}, check=check)


def last(tree):
    return read_runs(tree / ".ci-sessions")[-1]


def test_the_default_is_the_shell_with_its_environment_untouched(tree):
    dispatch(tree, check=0)
    assert ran(tree) == [f"shell jit_legacy {CPU} unset"]
    assert (last(tree).runner, last(tree).route.reason, last(tree).route.commit) == (
        "shell",
        "flag-unset",
        "abc",
    )


def test_the_shells_exit_code_is_ours(tree):
    dispatch(tree, check=7, SCRIPT_CODE="7")
    assert last(tree).exit_code == 7


def test_python_runs_the_tests_of_the_script_without_added_ones(tree):
    dispatch(tree, check=0, USE_PYTHON_TEST_RUNNER="1")
    assert ran(tree) == ["python"]
    dispatch(tree, "jit_legacy", "--added", check=0, USE_PYTHON_TEST_RUNNER="1")
    assert ran(tree) == ["python"] * 3
    assert last(tree).route.reason == "flag-on"


def test_a_red_test_runs_exactly_once_and_stays_red(tree):
    dispatch(tree, check=5, USE_PYTHON_TEST_RUNNER="1", TEST_CODE="5")
    assert ran(tree) == ["python"]
    assert last(tree).route.fallback == ""


def test_special_cases_keep_their_scripts(tree):
    dispatch(tree, "multigpu", check=0, USE_PYTHON_TEST_RUNNER="1")
    assert ran(tree)[-1].startswith("multigpu multigpu")
    write_script(tree / ".ci" / "onnx" / "test.sh", SCRIPT.replace("shell", "onnx"))
    dispatch(tree, "default", check=0, BUILD_ENVIRONMENT=f"{CPU}-onnx", USE_PYTHON_TEST_RUNNER="1")
    assert ran(tree)[-1].startswith("onnx default")
    assert last(tree).route.reason == "onnx"


def test_options_reach_the_script(tree):
    ci(
        "dispatch",
        "--config",
        "docs_test",
        "--shard",
        "2/3",
        cwd=tree,
        env={"BUILD_ENVIRONMENT": CPU},
        check=0,
    )
    assert ran(tree) == [f"shell docs_test {CPU} 2"]


def test_an_invalid_flag_runs_nothing(tree):
    done = dispatch(tree, check=2, USE_PYTHON_TEST_RUNNER="junk")
    assert "USE_PYTHON_TEST_RUNNER is 'junk'" in done.stderr
    assert ran(tree) == []


@pytest.mark.parametrize(
    ("config", "env", "reason"),
    [
        ("no_such_config", {}, "unknown-config"),
        ("docs_test", {"SHARD_NUMBER": "2", "NUM_TEST_SHARDS": "3"}, "undivided-config"),
        ("jit_legacy", {"BUILD_ENVIRONMENT": "linux-cuda13.0-py3"}, "missing-device"),
        ("default", {"BUILD_ENVIRONMENT": "linux-libtorch"}, "no-test"),
        ("jit_legacy", {"SHARD_NUMBER": "0"}, "bad-input"),
    ],
)
def test_a_job_that_python_cannot_plan_falls_back_to_the_shell(tree, config, env, reason):
    done = dispatch(tree, config, check=0, USE_PYTHON_TEST_RUNNER="1", **env)
    assert len(ran(tree)) == 1
    assert ran(tree)[0].startswith(f"shell {config}")
    assert last(tree).route.fallback == reason
    assert (last(tree).runner, last(tree).route.intended) == ("shell", "python")
    assert f"falling back to the shell: {reason}" in done.stderr


@pytest.mark.parametrize(
    ("options", "env", "reason"),
    [
        (["--test", "nope"], {}, "--test is 'nope'"),
        (["--test", "test_jit_legacy", "--case", "a b"], {}, "--case"),
        (["--test", "test_jit_legacy"], {"SHARD_NUMBER": "0"}, "SHARD_NUMBER is 0"),
        (["--test", "test_jit_legacy", "--step", "99"], {}, "--step"),
        (["--test", "x"], {"USE_PYTHON_TEST_RUNNER": "rollout"}, "broken.toml"),
    ],
)
def test_a_part_of_a_job_never_falls_back_to_the_whole_script(tree, options, env, reason):
    if "rollout" in env.values():
        (tree / "broken.toml").write_text("[")
        options = [*options, "--rollout", tree / "broken.toml"]
    done = dispatch(tree, "jit_legacy", *options, check=2, **{"USE_PYTHON_TEST_RUNNER": "1"} | env)
    assert ran(tree) == []
    assert reason in done.stderr
    assert "The script would run the whole job" in done.stderr
    assert done.stderr.count("[bad-input]") == 1


def test_an_unknown_configuration_is_recorded_as_such(tree):
    dispatch(tree, "jit_legcy", check=0, USE_PYTHON_TEST_RUNNER="1")
    assert "did you mean jit_legacy" in last(tree).route.error


def test_without_a_fallback_the_failure_is_the_result(tree):
    env = {"USE_PYTHON_TEST_RUNNER": "1", "NO_SHELL_FALLBACK": "1"}
    done = dispatch(tree, "no_such_config", check=70, **env)
    assert ran(tree) == []
    assert "Python could not run the job" in done.stderr
    path = tree / "broken.toml"
    path.write_text("[")
    env["USE_PYTHON_TEST_RUNNER"] = "rollout"
    dispatch(tree, "docs_test", "--rollout", path, check=2, **env)
    assert ran(tree) == []


def test_a_dry_run_shows_the_route_and_runs_nothing(tree):
    done = dispatch(tree, "jit_legacy", "--dry-run", check=0)
    assert done.stdout == "route: shell: flag-unset\n  .ci/pytorch/test.sh\n"
    done = dispatch(tree, "jit_legacy", "--dry-run", check=0, USE_PYTHON_TEST_RUNNER="1")
    assert done.stdout.startswith("route: python: flag-on\njit_legacy · shard 1 of 1")
    assert ran(tree) == []


def test_a_dry_run_with_a_broken_rollout_file_runs_nothing_either(tree):
    path = tree / "broken"
    path.mkdir()
    (path / "rollout.toml").write_text("[")
    args = ("--dry-run", "--rollout", path / "rollout.toml")
    done = dispatch(tree, "docs_test", *args, check=0, USE_PYTHON_TEST_RUNNER="rollout")
    assert done.stdout == "route: shell: undecided\n  .ci/pytorch/test.sh\n"
    assert ran(tree) == []


@pytest.mark.parametrize(("flag", "fallback"), [("0", None), ("1", "bad-checkout")])
def test_an_invalid_file_does_not_keep_a_job_from_its_script(tree, flag, fallback):
    folder = tree / "benchmarks" / "dynamo"
    (folder / "expected_ci_speedup_inductor_torchbench_cpu.csv").write_text("resnet50,inductor\n")
    config = "inductor_torchbench_cpu_smoketest_perf"
    dispatch(tree, config, check=0, USE_PYTHON_TEST_RUNNER=flag)
    assert ran(tree) == [f"shell {config} {CPU} unset"]
    assert last(tree).route.fallback == (fallback or "")


def test_the_command_that_repeats_a_red_script_works(tree):
    done = dispatch(tree, check=7, SCRIPT_CODE="7", TESTS_TO_INCLUDE="test_a test_b")
    (again,) = suggested(done.stdout)[PLAIN]
    assert "TESTS_TO_INCLUDE='test_a test_b'" in again
    env = {name: value for name, value in os.environ.items() if name != "TEST_CONFIG"} | {
        "SCRIPT_CODE": "7"
    }
    repeated = subprocess.run(
        again, shell=True, cwd="/", env=env, capture_output=True, text=True, check=False
    )
    assert repeated.returncode == 7, repeated.stderr
    assert ran(tree) == [f"shell jit_legacy {CPU} unset", f"shell jit_legacy {CPU} 1"]


def test_a_broken_rollout_file_falls_back_to_the_shell(tree):
    path = tree / "broken"
    path.mkdir()
    (path / "rollout.toml").write_text("[")
    dispatch(
        tree,
        "docs_test",
        "--rollout",
        path / "rollout.toml",
        check=0,
        USE_PYTHON_TEST_RUNNER="rollout",
    )
    assert ran(tree) == [f"shell docs_test {CPU} unset"]
    assert last(tree).route.fallback == "bad-rollout"


@pytest.mark.parametrize(("flag", "code"), [("0", 127), ("1", 127)])
def test_a_missing_script_is_an_error_of_its_own(tree, flag, code):
    (tree / ".ci" / "pytorch" / "test.sh").unlink()
    done = dispatch(tree, "no_such_config", check=code, USE_PYTHON_TEST_RUNNER=flag)
    assert ".ci/pytorch/test.sh: No such file or directory" in done.stdout


def test_a_script_that_is_not_executable(tree):
    (tree / ".ci" / "pytorch" / "test.sh").chmod(0o644)
    done = dispatch(tree, check=126)
    assert "Permission denied" in done.stdout


def test_a_missing_python_falls_back_to_the_shell(tree, tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("bash", "git"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    dispatch(tree, check=0, USE_PYTHON_TEST_RUNNER="1", PATH=str(tmp_path / "bin"))
    assert last(tree).route.fallback == "missing-tool"


def test_a_shadow_run_changes_nothing_and_records_the_comparison(tree):
    """The script runs whatever the plan is; the comparison is only recorded."""
    done = dispatch(tree, check=3, USE_PYTHON_TEST_RUNNER="shadow", SCRIPT_CODE="3")
    assert len(ran(tree)) == 1
    shadow = last(tree).route.shadow
    assert (str(shadow.verdict), shadow.detail) == ("different", "test 1, extra")
    assert "shadow: plan and script compared: different: test 1, extra (" in done.stderr
    dispatch(tree, "no_such_config", check=0, USE_PYTHON_TEST_RUNNER="shadow")
    shadow = last(tree).route.shadow
    assert shadow.describe().startswith("no-plan: TEST_CONFIG is 'no_such_config'")
    write_script(tree / ".ci" / "pytorch" / "test.sh", "#!/bin/bash\nexit 9\n")
    dispatch(tree, check=9, USE_PYTHON_TEST_RUNNER="shadow")
    shadow = last(tree).route.shadow
    assert shadow.describe().startswith("untraceable: it ended with exit code 9")


def test_a_shadow_run_with_equal_commands(checkout):
    dispatch(checkout, check=0, USE_PYTHON_TEST_RUNNER="shadow")
    assert last(checkout).route.shadow.describe() == "equal"
    assert last(checkout).route.shadow.seconds > 0


def broken_package(tree, path, old, new):
    """Copy the package next to the noxfile, with an error in it."""
    package = tree / "broken" / "ci_sessions"
    shutil.copytree(ROOT / "ci_sessions", package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (package / path).read_text()
    assert old in text
    (package / path).write_text(text.replace(old, new, 1))
    left_out = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    return {
        **env, "PYTHONPATH": str(tree / "broken"), "TEST_CONFIG": "jit_legacy", "BUILD_ENVIRONMENT": CPU,
        "USE_PYTHON_TEST_RUNNER": "1",
    }  # fmt: skip


def call(tree, env, *args):
    args = args or (sys.executable, "-m", "ci_sessions", "dispatch")
    return subprocess.run(
        args, cwd=tree, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_bug_in_a_suite_falls_back_to_the_shell(tree):
    env = broken_package(tree, "catalogue/suites/jit.py", "legacy = (", "legacy = 1 / 0, (")
    done = call(tree, env)
    assert done.returncode == 0, done.stderr
    assert ran(tree) == [f"shell jit_legacy {CPU} unset"]
    route = last(tree).route
    assert (route.fallback, route.error) == ("bug", "ZeroDivisionError: division by zero")
    assert "catalogue/suites/jit.py" in route.trace


def test_a_bug_before_the_first_test_falls_back_to_the_shell(tree):
    env = broken_package(
        tree,
        "run/step_runner.py",
        "        env = self.machine.environment(",
        "        1 / 0\n        env = self.machine.environment(",
    )
    # the error is in the first step; the shell route uses the same code, and runs the script anyway
    done = call(tree, {**env, "SCRIPT_CODE": "3"})
    assert done.returncode == 3
    assert ran(tree) == [f"shell jit_legacy {CPU} unset"]
    assert [run.runner for run in read_runs(tree / ".ci-sessions")] == ["python", "shell"]
    assert last(tree).route.fallback == "bug-in-run"


def test_a_bug_after_the_first_test_is_70_and_reruns_nothing(tree):
    env = broken_package(
        tree,
        "run/step_runner.py",
        "        outcome, note = judge_step(",
        "        1 / 0\n        outcome, note = judge_step(",
    )
    done = call(tree, env)
    assert done.returncode == 70
    assert ran(tree) == ["python"]
    (run,) = read_runs(tree / ".ci-sessions")
    assert str(run.outcome) == "runner error"


IMPORT_ERROR = (
    "catalogue/suites/jit.py",
    "from __future__ import annotations",
    "import no_such_module",
)


def test_a_package_that_cannot_be_imported_still_has_a_dispatch_session(tree):
    env = broken_package(tree, *IMPORT_ERROR)
    done = call(tree, env, sys.executable, "-m", "nox", "-s", "dispatch")
    assert done.returncode == 0, done.stderr
    assert "ModuleNotFoundError: No module named 'no_such_module'; falling back" in done.stderr
    assert ran(tree) == [f"shell jit_legacy {CPU} unset"]
    assert last(tree).route.fallback == "import-error"
    assert (
        call(tree, env, sys.executable, "-m", "nox", "-s", "dispatch", "--", "--dry-run").returncode
        == 0
    )
    assert len(ran(tree)) == 1
    assert "no_such_module" in last(tree).route.trace
    done = call(tree, {**env, "SCRIPT_CODE": "9"}, sys.executable, "-m", "nox", "-s", "dispatch")
    assert done.returncode == 1
    assert last(tree).exit_code == 1
    done = call(
        tree, {**env, "NO_SHELL_FALLBACK": "1"}, sys.executable, "-m", "nox", "-s", "dispatch"
    )
    assert done.returncode == 70
    assert len(ran(tree)) == 2


@pytest.fixture
def path_with(tmp_path):
    """Return a PATH that starts with a nox script of the given line."""

    def make(line):
        write_script(tmp_path / "front" / "nox", f"#!/bin/bash\n{line}\n")
        return f"{tmp_path / 'front'}:{os.environ['PATH']}"

    return make


REAL_NOX = f'exec {sys.executable} -m nox "$@"'


@pytest.mark.parametrize(
    "nox",
    [
        pytest.param("exit 127", id="missing"),
        pytest.param("kill -9 $$", id="dies"),
        pytest.param(REAL_NOX, id="flag off"),
    ],
)
def test_the_callers_line_reaches_the_script(tree, path_with, nox):
    env = {
        **os.environ,
        "TEST_CONFIG": "jit_legacy",
        "BUILD_ENVIRONMENT": CPU,
        "PATH": path_with(nox),
    }
    done = call(tree, env, "bash", "-c", CALLER)
    assert done.returncode == 0, done.stderr
    assert ran(tree) == [f"shell jit_legacy {CPU} unset"]


def test_the_callers_line_reaches_the_script_with_a_broken_package(tree, path_with):
    env = broken_package(tree, "__init__.py", '"""', "import no_such_module\n'''")
    done = call(tree, {**env, "PATH": path_with(REAL_NOX)}, "bash", "-c", CALLER)
    assert done.returncode == 0, done.stderr
    assert ran(tree) == [f"shell jit_legacy {CPU} unset"]


def test_the_callers_line_does_not_rerun_a_red_test(tree, path_with):
    env = {
        **os.environ, "TEST_CONFIG": "jit_legacy", "BUILD_ENVIRONMENT": CPU, "USE_PYTHON_TEST_RUNNER": "1",
        "TEST_CODE": "5", "PATH": path_with(REAL_NOX),
    }  # fmt: skip
    done = call(tree, env, "bash", "-c", CALLER)
    assert done.returncode == 1
    assert ran(tree) == ["python"]


def test_the_callers_line_does_not_ignore_an_invalid_flag(tree, path_with):
    env = {
        **os.environ,
        "TEST_CONFIG": "jit_legacy",
        "USE_PYTHON_TEST_RUNNER": "yes",
        "PATH": path_with(REAL_NOX),
    }
    done = call(tree, env, "bash", "-c", CALLER)
    assert done.returncode == 1
    assert "USE_PYTHON_TEST_RUNNER is 'yes'" in done.stderr
    assert ran(tree) == []


def test_a_broken_package_keeps_the_special_cases_and_the_flag(tree):
    env = broken_package(tree, *IMPORT_ERROR)
    write_script(tree / ".ci" / "onnx" / "test.sh", SCRIPT.replace("shell", "onnx"))
    env |= {"BUILD_ENVIRONMENT": f"{CPU}-onnx", "USE_PYTHON_TEST_RUNNER": "0"}
    assert call(tree, env, sys.executable, "-m", "nox", "-s", "dispatch").returncode == 0
    assert ran(tree)[0].startswith("onnx ")
    assert last(tree).route.fallback == ""


def test_the_documented_line_is_the_tested_one():
    assert "sh ci_sessions/resources/dispatch.sh" in (ROOT / "docs" / "rollout.md").read_text()


def test_many_writers_lose_nothing(tmp_path):
    """50 processes append 200 events each to one shared file."""
    code = (
        "import sys; from pathlib import Path; from ci_sessions.records.store import Journal\n"
        "journal = Journal(Path(sys.argv[1]) / 'runs' / 'shared.jsonl')\n"
        "for n in range(200): journal.append({'event': 'x', 'writer': sys.argv[2], 'n': n, 'pad': 'y' * 500})\n"
    )
    (tmp_path / "runs").mkdir()
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)]) for n in range(50)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 50
    events = [
        json.loads(line) for line in (tmp_path / "runs" / "shared.jsonl").read_text().splitlines()
    ]
    assert len(events) == 10_000
    assert len({(event["writer"], event["n"]) for event in events}) == 10_000


def test_a_writer_that_is_killed_loses_at_most_its_last_line(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ci_sessions.records.store import Journal\n"
        "journal = Journal(Path(sys.argv[1]) / 'runs' / 'one.jsonl'); n = 0\n"
        "while True: journal.append({'event': 'x', 'n': n, 'pad': 'y' * 5000}); n += 1; print(n, flush=True)\n"
    )
    (tmp_path / "runs").mkdir()
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    last_number = [int(writer.stdout.readline()) for _ in range(50)][-1]
    writer.kill()
    rest = writer.communicate()[0].split()
    last_number = int(rest[-1]) if rest else last_number
    from ci_sessions.records.store import read_events  # noqa: PLC0415

    numbers = [event["n"] for event in read_events(tmp_path / "runs" / "one.jsonl")]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= last_number


def type_in(folder, line):
    """Run a line of bash in a folder, as in an activated environment."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_the_commands_that_rollout_suggests_work_outside_of_a_checkout_too(tmp_path):
    done = ci("rollout", "--json", cwd=tmp_path)
    (line,) = json.loads(done.stdout)["docs_test"]["next"]
    done = type_in(tmp_path, line)
    assert done.returncode == 0, done.stderr
    assert "shadow" in next((tmp_path / ".ci-sessions" / "runs").iterdir()).read_text()


def test_the_commands_that_rollout_suggests_work_where_they_are_printed(tree):
    """A shadow comparison is asked for, then what differs in it, then a pair."""

    def suggested_commands(*args):
        done = ci("rollout", *args, "--json", cwd=tree)
        return json.loads(done.stdout)["jit_legacy"]["next"]

    def typed(line):
        return type_in(tree, line)

    (line,) = suggested_commands()
    assert "USE_PYTHON_TEST_RUNNER=shadow TEST_CONFIG=jit_legacy" in line
    assert typed(line).returncode == 0
    assert last(tree).route.shadow is not None
    (line,) = suggested_commands()  # the script of this checkout is not the plan
    assert line.endswith("parity jit_legacy")
    assert "different" in typed(line).stdout
    done = ci("rollout", "--json", cwd=tree)
    (run,) = json.loads(done.stdout)["jit_legacy"]["failed_shadows"]
    text = (ROOT / "ci_sessions" / "resources" / "rollout.toml").read_text()
    text = text.replace('"medium", open = false', '"medium", open = true')
    text = text.replace('jit_legacy = { phase = "2B", share = 0', 'jit_legacy = { phase = "2B", share = 5')  # fmt: skip
    text += f'[[acknowledged]]\nconfig = "jit_legacy"\nrun = "{run}"\nreason = "a test"\n'
    (tree / "r.toml").write_text(text)
    (line, *_) = suggested_commands("--rollout", "r.toml", "--records", ".ci-sessions")
    assert "USE_PYTHON_TEST_RUNNER=0" in line
    shell, python = suggested_commands("--rollout", "r.toml")
    for line in (shell, python):
        done = typed(line)
        assert done.returncode == 0, done.stderr
    assert (last(tree).runner, last(tree).route.reason) == ("python", "flag-on")
    data = json.loads(ci("rollout", "--rollout", "r.toml", "--json", cwd=tree).stdout)
    assert data["jit_legacy"]["pairs"] == 1
