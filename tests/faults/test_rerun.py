"""A red test is never run again, and the caller's script reaches test.sh whatever is broken."""

from __future__ import annotations

import json
import os
import sys

import pytest
from faults.conftest import DISPATCH_SH, write_script

# Deletes every file that a variable of the tool or of CI names.
VANDAL = """
for name, value in os.environ.items():
    if name.startswith(('CI', 'GITHUB', 'RUNNER', 'NOX', 'TMP')) and os.path.isfile(value):
        os.unlink(value)
sys.exit(1)
"""
VANDAL_SH = 'for f in $(env | grep -E "^(CI|GITHUB|RUNNER|NOX|TMP)" | cut -d= -f2-); do [ -f "$f" ] && rm -f "$f"; done; exit 1'


@pytest.fixture
def caller(tree, tmp_path):
    """Run the job by dispatch.sh, as CI does, with a nox that is the given line of shell."""
    real = f'exec {sys.executable} -m nox "$@"'

    def run(*args, nox=real, shell="sh", **more):
        front = tmp_path / "front"
        write_script(front / "nox", f"#!/bin/bash\n{nox}\n")
        path = f"{front}:{os.environ['PATH']}"
        return tree.call(shell, str(DISPATCH_SH), *args, PATH=path, **more)

    return run


@pytest.mark.parametrize("flag", ["0", "1"])
def test_a_test_that_deletes_all_it_can_reach_is_not_run_again(tree, caller, flag):
    tree.script(VANDAL_SH).tests(VANDAL)
    done = caller(flag=flag)
    assert done.returncode == 1
    assert tree.ran == (["python"] if flag == "1" else ["script"])


def test_without_mktemp_a_red_test_stays_red(tree, caller, tmp_path):
    write_script(tmp_path / "front" / "mktemp", "#!/bin/sh\nexit 127\n")
    assert caller(flag="1", CODE="3").returncode == 1
    assert tree.ran == ["python"]


def test_the_probe_leaves_no_part_of_a_module_on_a_full_disk(tree, caller, tmp_path):
    """Python ignores that it could write only a part of a compiled module, and fails to read it."""
    tree.script("exit 7")
    real = f'ulimit -S -f 1; exec {sys.executable} -m nox "$@"'
    (tree.root / "noxfile.py").write_text("import ci_sessions.sessions\n" + "x = 1\n" * 200)
    env = {"PYTHONDONTWRITEBYTECODE": None, "PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}
    done = caller(nox=real, **env)
    assert done.returncode == 1, done.stderr
    assert tree.ran == ["script"], done.stderr


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
@pytest.mark.parametrize(
    "nox", [pytest.param("exit 127", id="missing"), pytest.param("kill -9 $$", id="killed")]
)
def test_if_nox_cannot_start_the_script_runs_once(tree, caller, nox, shell):
    done = caller(nox=nox, shell=shell, CODE="7")
    assert done.returncode == 7, done.stderr
    assert tree.ran == ["script"]


def test_a_broken_noxfile_is_not_a_red_test(tree, caller):
    (tree.root / "noxfile.py").write_text("import no_such_module\n")
    assert caller(flag="1").returncode == 0
    assert tree.ran == ["script"]


def test_a_noxfile_without_the_session_is_not_a_red_test(tree, caller):
    (tree.root / "noxfile.py").write_text("import nox\n")
    assert caller(flag="1").returncode == 0
    assert tree.ran == ["script"]


@pytest.mark.parametrize(
    ("config", "label", "expected"),
    [
        ("multigpu", "linux-jammy-py3.10-gcc11", "multigpu"),
        ("default", "linux-jammy-onnx-py3.10", "onnx"),
        ("default", "linux-jammy-py3.10-gcc11", "script"),
    ],
)
def test_the_special_cases_are_those_of_the_gate(tree, caller, config, label, expected):
    write_script(tree.root / ".ci" / "onnx" / "test.sh", "#!/bin/bash\necho onnx >> ran\n")
    env = {"TEST_CONFIG": config, "BUILD_ENVIRONMENT": label}
    assert caller(nox="exit 127", **env).returncode == 0
    assert tree.dispatch(**env).returncode == 0
    assert tree.ran == [expected, expected]


@pytest.mark.parametrize(
    ("flag", "reason", "fallback"),
    [
        ("1", "flag-on", "not-started"),
        ("rollout", "undecided", "not-started"),
        ("0", "flag-off", ""),
        ("", "flag-unset", ""),
        ("shadow", "shadow", ""),
    ],
)
def test_a_warning_and_a_record_are_left(tree, caller, flag, reason, fallback):
    done = caller(nox="exit 127", flag=flag, GITHUB_ACTIONS="true", CODE="5")
    assert done.returncode == 5
    assert "::warning title=ci_sessions::nox -s dispatch cannot start" in done.stdout
    (record,) = tree.records()
    assert record["route"]["reason"] == reason
    assert record["route"]["fallback"] == fallback
    assert record["job"]["id"] == "linux-jammy-py3-10-gcc11.jit_legacy.1of1"


def test_the_record_counts_as_a_fallback(tree, caller):
    caller(nox="exit 127", flag="1")
    caller(nox="exit 127", flag="rollout")
    caller(nox="exit 127", flag="0")
    (tree.root / "rollout.toml").write_text(
        (DISPATCH_SH.parent / "rollout.toml")
        .read_text()
        .replace('2B = { risk = "medium", open = false }', '2B = { risk = "medium", open = true }')
        .replace(
            'jit_legacy = { phase = "2B", share = 0 }', 'jit_legacy = { phase = "2B", share = 100 }'
        )
    )
    done = tree.call(
        sys.executable, "-m", "ci_sessions", "rollout", "--rollout", "rollout.toml", "--json"
    )
    row = json.loads(done.stdout)["jit_legacy"]
    assert (row["fallback"]["hits"], row["fallback"]["total"], row["shell"]) == (2, 2, 0)


def test_an_unknown_flag_is_an_error_and_runs_nothing(tree, caller):
    assert caller(nox="exit 127", flag="banana").returncode == 2
    assert caller(flag="banana").returncode == 1
    assert tree.ran == []


def test_without_a_fallback_nothing_runs(tree, caller):
    assert caller(nox="exit 127", flag="1", NO_SHELL_FALLBACK="1").returncode == 70
    assert tree.ran == []
    assert caller(nox="exit 127", flag="0", NO_SHELL_FALLBACK="1").returncode == 0
    assert tree.ran == ["script"]


def test_options_that_name_the_job_reach_the_script(tree, caller):
    tree.script('echo "$TEST_CONFIG $SHARD_NUMBER/$NUM_TEST_SHARDS" >> ran')
    caller("--config", "smoke", "--shard=2/3", nox="exit 127")
    assert tree.ran == ["script", "smoke 2/3"]


def test_names_with_strange_characters_leave_a_valid_record(tree, caller):
    env = {"TEST_CONFIG": 'a"b\\c\n::error::x ' + "y" * 400, "SHARD_NUMBER": "x;touch PWNED"}
    assert caller(nox="exit 127", flag="1", **env).returncode == 0
    (record,) = tree.records()
    assert record["job"]["config"].startswith("abc::error::x")
    assert record["job"]["shard"] == 1
    assert not (tree.root / "PWNED").exists()


def test_a_probe_starts_nothing_and_writes_nothing(tree):
    before = sorted(path for path in tree.root.rglob("*") if ".git/" not in str(path))
    for flag in ("", "0", "1", "rollout", "shadow"):
        assert tree.dispatch("--probe", flag=flag).returncode == 0
    assert tree.ran == []
    assert sorted(path for path in tree.root.rglob("*") if ".git/" not in str(path)) == before


def test_the_shell_and_the_python_emergency_make_the_same_choices(tree, caller, tmp_path):
    """dispatch.sh without nox, and emergency.py with a broken package, for all kinds of jobs."""
    write_script(tree.root / ".ci" / "onnx" / "test.sh", "#!/bin/bash\necho onnx >> ran\n")
    broken = tmp_path / "broken" / "ci_sessions"
    broken.mkdir(parents=True)
    for name in ("__init__.py", "sessions.py", "emergency.py"):
        (broken / name).write_text((DISPATCH_SH.parents[1] / name).read_text())
    (broken / "resources").mkdir()
    (broken / "resources" / "dispatch.sh").write_text(DISPATCH_SH.read_text())
    kept = ("runner", "intended", "reason")
    for config in ("jit_legacy", "multigpu", "smoke"):
        for label in ("linux-jammy-py3.10-gcc11", "linux-jammy-onnx-py3.10"):
            for flag in ("", "0", "1", "rollout", "shadow", "TRUE", "banana"):
                env = {"TEST_CONFIG": config, "BUILD_ENVIRONMENT": label, "flag": flag}
                shell = caller(nox="exit 127", **env)
                python = caller(**env, PYTHONPATH=str(broken.parent))
                assert bool(shell.returncode) == bool(python.returncode), (env, python.stderr)
    ran, records = tree.ran, tree.records()
    assert len(ran) == len(records) == 2 * 3 * 2 * 6
    by_job = {}
    for record in records:
        kind = (
            "shell"
            if "not-started" in record["route"].values() or record["outcome"] == "unknown"
            else "python"
        )
        by_job.setdefault(kind, []).append(
            (record["job"]["id"], *(record["route"][name] for name in kept))
        )
    assert sorted(by_job["shell"]) == sorted(by_job["python"])
    assert sorted(ran[0::2]) == sorted(ran[1::2])
