"""Bad input ends within seconds, with exit code 2 and an error that names the value: no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ci_sessions.job.variables import NUM_TEST_SHARDS, VARIABLES

BYTE = os.fsdecode(b"a\xff")
LONG = "9" * 5000
DENIED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")  # fmt: skip
"""Runs a command as root without root's right to ignore permissions."""


def nothing(_):
    """Make no file."""


def make_huge(path):
    """Make a file of 8 GB that takes no space."""
    path.touch()
    os.truncate(path, 1 << 33)


def refused(tree, *args, within=10, code=2, **more):
    """Run a command that must be refused, and return its error."""
    began = time.monotonic()
    done = tree.call(sys.executable, "-m", "ci_sessions", *map(str, args), timeout=60, **more)
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < within
    assert len(done.stderr) < 2500, "the error is short, whatever the value is"
    return done.stderr + (done.stdout if "--jobs" in args else "")


# --- labels, shards, configurations

LABELS = {
    "a digit that is none": "linux-py²", "a version with one": "linux-cuda1.²-py3.10", "arabic digits": "linux-py٣.١٠", "too many digits": "linux-py" + LONG,
    "empty": "", "blank": "  ", "new line": "linux\npy3.10", "bytes": BYTE, "control": "linux-\x01", "escape": "linux-\x1b[31m", "no version": "linux-cuda1..2",
    "a null byte in text": "linux-\\0-x", "a command": "::error::x", "long": "x" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
def test_a_label(tree, label):
    for verb in ("plan", "run", "explain", "parity"):
        assert "BUILD_ENVIRONMENT" in refused(tree, verb, "jit_legacy", BUILD_ENVIRONMENT=LABELS[label])  # fmt: skip
    if label != "empty":
        option = f"--build-environment={LABELS[label]}"
        assert "BUILD_ENVIRONMENT" in refused(tree, "plan", "jit_legacy", option)


SHARDS = ["²/3", "1/²", "٣/٣", f"1/{LONG}", f"{LONG}/1", "0/1", "1/0", "-1/3", "3/1", "a", "/", "1/2/3", "nan/1", "0x1/2", "1_0/20", "+1/2", "1.0/2", f"{BYTE}/2", "1/-"]  # fmt: skip


@pytest.mark.parametrize("shard", SHARDS, ids=lambda shard: ascii(shard)[:12])
def test_a_shard(tree, shard):
    error = refused(tree, "plan", "jit_legacy", f"--shard={shard}")
    assert any(name in error for name in ("--shard", "SHARD_NUMBER", NUM_TEST_SHARDS.name))
    number, _, total = shard.partition("/")
    error = refused(tree, "plan", "jit_legacy", SHARD_NUMBER=number, NUM_TEST_SHARDS=total)
    assert "SHARD_NUMBER" in error or NUM_TEST_SHARDS.name in error


@pytest.mark.parametrize("config", ["²", "  ", "x" * 10_000, BYTE, "a\nb", "../x", "*", "$(x)", "::error::x"], ids=lambda text: ascii(text)[:12])  # fmt: skip
def test_a_configuration(tree, config):
    assert "TEST_CONFIG is " in refused(tree, "plan", TEST_CONFIG=config)
    assert "TEST_CONFIG is " in refused(tree, "plan", config)
    refused(tree, "matrix", config)
    refused(tree, "matrix", "--workflow", config)
    refused(tree, "plan", "jit_legacy", "--test", config)
    assert "unknown command" in refused(tree, config)


# --- numbers

OPTIONS = [("run", "--keep-days"), ("dispatch", "--keep-days"), ("run", "--step"), ("parity", "--workers"), ("parity", "--show"), ("run", "--timeout"), ("run", "--step-timeout"), ("dispatch", "--timeout"), ("dispatch", "--step-timeout")]  # fmt: skip
NUMBERS = ["9" * 400, "-1", "nan", "²", "", "1e3", "1_0", BYTE, "x" * 100_000, "--"]  # fmt: skip


@pytest.mark.parametrize(("verb", "option"), OPTIONS, ids=" ".join)
def test_a_number(tree, verb, option):
    extra = ("--test", "x") if option == "--step" else ()
    for number in NUMBERS:
        error = refused(tree, verb, "jit_legacy", *extra, f"{option}={number}")
        assert option.strip("-") in error


@pytest.mark.parametrize("option", ["--config", "--test", "--checkout", "--jobs", "--build-environment"])  # fmt: skip
def test_an_option_whose_value_is_two_dashes(tree, option):
    assert f"{option[2:]} is '--'" in refused(tree, "plan", f"{option}=--")


# --- checkouts

FOLDERS = {
    "nobody's home": "~nouser/x", "long": "x" * 10_000, "long and deep": "/".join(["y" * 200] * 50), "a file": "version.txt", "a loop": "loop", "in a loop": "loop/x",
    "a FIFO": "fifo", "a device": "/dev/zero", "bytes": os.fsdecode(b"\xff"), "a new line": "a\nb", "missing": "nowhere", "no checkout": "docs",
}  # fmt: skip


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("verb", ["plan", "dispatch", "parity"])
def test_a_checkout(tree, folder, verb):
    (tree.root / "loop").symlink_to("loop2")
    (tree.root / "loop2").symlink_to("loop")
    os.mkfifo(tree.root / "fifo")
    error = refused(tree, verb, "jit_legacy", "--checkout", FOLDERS[folder])
    assert "--checkout is " in error
    assert tree.ran == []


@pytest.mark.parametrize("name", [".", "test", "version.txt"])
@pytest.mark.parametrize("verb", ["plan", "parity"])
def test_a_checkout_without_permission(tree, tmp_path, name, verb):
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root ignores permissions")
    (tree.root / name).chmod(0)
    prefix = DENIED if os.geteuid() == 0 else ()
    command = (sys.executable, "-m", "ci_sessions", verb, "jit_legacy", "--checkout", tree.root)
    done = subprocess.run([*prefix, *command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    (tree.root / name).chmod(0o755)
    assert done.returncode == 2, done.stdout + done.stderr
    assert str(tree.root) in done.stderr
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


FILES = {
    "bytes": lambda path: path.write_bytes(b"\xff\xfe2.1"), "a FIFO": os.mkfifo, "a folder": Path.mkdir, "a loop": lambda path: path.symlink_to(path),
    "huge": make_huge, "a device": lambda path: path.symlink_to("/dev/zero"), "missing": nothing,
    "digits": lambda path: path.write_text(LONG), "commands": lambda path: path.write_text("2.1\n::error::x\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["version.txt", "benchmarks/dynamo/expected_ci_speedup_inductor_torchbench_cpu.csv", ".ci/pytorch/x.sh", ".github/ci_commit_pins/vision.txt"])  # fmt: skip
@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_a_checkout(tree, name, kind):
    """Nothing waits for it; a plan either does not need it or is refused with its name."""
    (tree.root / ".ci-sessions-sample").unlink()
    path = tree.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    FILES[kind](path)
    began = time.monotonic()
    done = tree.call(sys.executable, "-m", "ci_sessions", "plan", "torchbench", timeout=60)
    assert time.monotonic() - began < 10
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2)
    assert done.returncode == 0 or path.name in done.stderr
    done = tree.call(sys.executable, "-m", "ci_sessions", "plan", "torchbench", "--shell", timeout=60)  # fmt: skip
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [("plan", "jit_legacy"), ("run", "jit_legacy"), ("dispatch",), ("parity",), ("explain", "jit_legacy"), ("plan", "--jobs", "x")], ids=" ".join)  # fmt: skip
def test_the_current_folder_is_gone(tree, args):
    line = 'd=$(mktemp -d); cd "$d"; rmdir "$d"; exec "$@"'
    done = tree.call("bash", "-c", line, "x", sys.executable, "-m", "ci_sessions", *args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot be read: No such file or directory" in done.stderr


@pytest.mark.parametrize("verb", ["run", "dispatch"])
def test_the_current_folder_is_gone_and_the_checkout_is_given(tree, verb):
    line = 'd=$(mktemp -d); cd "$d"; rmdir "$d"; exec "$@"'
    command = (sys.executable, "-m", "ci_sessions", verb, "jit_legacy", "--checkout", tree.root)
    done = tree.call("bash", "-c", line, "x", *map(str, command))
    assert done.returncode == 0, done.stderr
    assert list(tree.root.glob(".ci-sessions/runs/*.jsonl")), "the record lies with the checkout"


# --- files with jobs

JOB = '{"config": "jit_legacy", "build_environment": "linux-jammy-py3.10-gcc11"}'


def with_value(**values):
    return json.dumps(json.loads(JOB) | values)


JOBS = {
    "not UTF-8": b"\xff\xfe{}", "UTF-16": JOB.encode("utf-16"), "empty": "", "blank": "\n\n", "null": "null", "a number": "5", "text": '"x"', "an empty list": "[]",
    "deep": "[" * 100_000, "deep and closed": "[" * 100_000 + "]" * 100_000, "deep objects": '{"a":' * 100_000, "a deep line": f"{JOB}\n{'[' * 100_000}\n", "a deep env": with_value(env=0).replace("0}", '{"a":' * 900 + "1" + "}" * 901),
    "NaN": JOB.replace('"jit_legacy"', "NaN"), "a shard that is NaN": with_value(shard=float("nan")), "an infinite shard": with_value(shard=0).replace(": 0", ": 1e999"), "a fraction": with_value(shard=1.0),
    "too many digits": with_value(shard=0).replace(": 0", f": {LONG}"), "many digits": with_value(shard=0).replace(": 0", f": {LONG[:4000]}"), "a label of digits": with_value(build_environment=f"linux-py{LONG}"),
    "a key twice": JOB.replace("{", '{"config": "smoke", '), "a key twice, on lines": JOB.replace("{", '{"config": "smoke",\n'), "NULs": "\0" * 1000,
    "a null byte": with_value(env={"SHA1": "a\0"}), "a null byte in a name": with_value(env={"A\0": "a"}), "a lone surrogate in a name": with_value(env={"\ud800": "a"}),
    "job is a number": '{"job": 5}', "include is a number": '{"include": 5}', "numbers": '{"include": [1, 2]}', "config is a list": with_value(config=["x"]), "config is true": with_value(config=True), "nothing": "{}",
    "env is a list": with_value(env=[1]), "env is text": with_value(env="a=b"), "env is true": with_value(env=True), "env has a list": with_value(env={"A": [1]}), "workflows is a number": with_value(workflows=5),
    "trailing text": f"{JOB}x", "two on a line": JOB + JOB, "not JSON": "::error::x\n##[x]\n", "lists in lists": f"[[{JOB}]]", "large": " " * 70_000_000,
}  # fmt: skip


@pytest.mark.parametrize("name", JOBS)
def test_a_file_with_jobs(tree, name):
    data = JOBS[name]
    (tree.root / "jobs").write_bytes(data if isinstance(data, bytes) else data.encode())
    refused(tree, "plan", "--jobs", "jobs")
    done = tree.call(sys.executable, "-m", "ci_sessions", "parity", "--jobs", "jobs", timeout=60)
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr


def test_errors_about_keys_name_them(tree):
    for name in ("a key twice", "a key twice, on lines"):
        (tree.root / "jobs").write_text(JOBS[name])
        assert "the key 'config' appears twice" in refused(tree, "plan", "--jobs", "jobs")


@pytest.mark.parametrize("text", [f"\ufeff{JOB}", f"\ufeff{JOB}\n{JOB}\n", f"{JOB}\n\n{JOB}\n", f"{JOB}\r\n\r\n{JOB}\r\n"], ids=ascii)  # fmt: skip
def test_a_file_with_jobs_that_is_good(tree, text):
    (tree.root / "jobs").write_text(text)
    done = tree.call(sys.executable, "-m", "ci_sessions", "plan", "--jobs", "jobs")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path), lambda path: path.symlink_to("/dev/zero"), nothing], ids=["FIFO", "folder", "loop", "device", "missing"])  # fmt: skip
@pytest.mark.parametrize("option", ["plan --jobs", "parity --jobs", "parity jit_legacy --accepted", "parity jit_legacy --profile", "rollout --rollout"])  # fmt: skip
def test_a_path_that_is_no_file(tree, make, option):
    make(tree.root / "odd")
    error = refused(tree, *option.split(), "odd")
    assert "odd cannot be read" in error


@pytest.mark.parametrize("stdin", ["0<&-", "</dev/null", "0>/dev/null", "</dev/zero", "</dev/urandom"])  # fmt: skip
@pytest.mark.parametrize("verb", ["plan", "parity"])
def test_standard_input_without_jobs(tree, stdin, verb):
    line = f'exec "$@" {stdin}'
    done = tree.call("bash", "-c", line, "x", sys.executable, "-m", "ci_sessions", verb, "--jobs", "-", timeout=60)  # fmt: skip
    assert done.returncode == 2
    assert "--jobs -" in done.stderr
    assert "Traceback" not in done.stderr


# --- the rollout

ROLLOUT = """format = 1
salt = "s"
steps = [0, 5, 100]
[targets]
fallback = 0.05
errors = 0.01
time = 0.1
[phases.one]
open = true
[configurations]
jit_legacy = { phase = "one", share = 0 }
"""
ODD = ['"x"', "1e999", "nan", "-1", "1" + "0" * 400, "[1]", "{a = 1}", "2026-01-01", '"""\n::error::x"""', f'"{"x" * 100_000}"', "[" * 500 + "]" * 500]  # fmt: skip
FIELDS = {
    "salt": ('"s"', ('"x"', '"""\n::error::x"""', f'"{"x" * 100_000}"')), "steps": ("[0, 5, 100]", ()), "a step": ("5,", ()), "a target": ("0.05", ()), "the time": ("0.1", ()),
    "open": ("true", ()), "a phase": ('"one"', ()), "a share": ("share = 0", ()), "since": ("share = 0 }", ("2026-01-01",)), "a configuration": ('{ phase = "one", share = 0 }', ()),
}  # fmt: skip
TEXTS = {
    "not UTF-8": b"\xff\xfe", "empty": "", "deep": "a=" + "[" * 100_000, "deep tables": "[" + ".".join("a" * 50_000) + "]", "a deep key": ROLLOUT + ".".join("a" * 20_000) + "=1",
    "deep inline": "a=" + "{a=" * 20_000, "digits": f"format = {LONG}", "format is text": ROLLOUT.replace("1", '"1"', 1), "format is true": ROLLOUT.replace("1", "true", 1), "format is 1.0": ROLLOUT.replace("1", "1.0", 1),
    "a key twice": ROLLOUT + ROLLOUT, "too early": ROLLOUT.replace("0 }", "0, since = 0001-01-01T00:00:00+23:59 }"), "too late": ROLLOUT.replace("0 }", "0, since = '9999-12-31T23:59:59-23:59' }"),
    "a since of 0": ROLLOUT.replace("0 }", "0, since = 0 }"), "large": "#" + "x" * 5_000_000, "tables": "format = 1\ntargets = 5\nphases = []\nconfigurations = ''\n",
}  # fmt: skip


def bad_rollouts():
    yield from TEXTS.items()
    for field, (text, good) in FIELDS.items():
        for value in ODD:
            if value not in good:
                new = f"share = {value}" if field == "a share" else f"share = 0, since = {value} }}" if field == "since" else f"{value}," if field == "a step" else value  # fmt: skip
                yield f"{field} is {value[:20]}, {len(value)}", ROLLOUT.replace(text, new, 1)


BAD_ROLLOUTS = dict(bad_rollouts())


@pytest.mark.parametrize("name", BAD_ROLLOUTS)
def test_a_rollout_file(tree, name):
    text = BAD_ROLLOUTS[name]
    (tree.root / "r.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert "r.toml" in refused(tree, "rollout", "--rollout", "r.toml")


@pytest.mark.parametrize("name", [*TEXTS, *(name for name in BAD_ROLLOUTS if name.startswith("a target"))])  # fmt: skip
def test_a_job_runs_its_script_if_the_rollout_file_is_bad(tree, name):
    text = BAD_ROLLOUTS[name]
    (tree.root / "r.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    fall_back(tree)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero"), nothing], ids=["FIFO", "folder", "device", "missing"])  # fmt: skip
def test_a_job_runs_its_script_if_there_is_no_rollout_file(tree, make):
    make(tree.root / "r.toml")
    fall_back(tree)


def fall_back(tree):
    done = tree.dispatch("--rollout", "r.toml", flag="rollout", CODE="7", timeout=20)
    assert done.returncode == 7, done.stderr
    assert tree.ran == ["script"]
    assert "falling back to the shell" in done.stderr
    (record,) = tree.records()
    assert (record["route"]["reason"], record["route"]["fallback"]) == ("undecided", "bad-rollout")


def test_a_folder_of_records(tree):
    for name in ("x" * 10_000, BYTE, "a\nb", "nowhere/*"):
        assert "--records is " in refused(tree, "rollout", "--records", name)
    for verb in ("run", "dispatch"):
        done = tree.call(sys.executable, "-m", "ci_sessions", verb, "jit_legacy", "--records", "x" * 10_000, "--keep-days", "3")  # fmt: skip
        assert done.returncode == 0, done.stderr


# --- variables


@pytest.mark.parametrize("variable", [one.name for one in VARIABLES])
def test_a_variable(tree, variable):
    """Either the job is refused and the variable is named, or any value is accepted."""
    for value in (f"²\n::error::{BYTE}\x1b[31m", LONG, "-1", "~nouser"):  # fmt: skip
        done = tree.call(sys.executable, "-m", "ci_sessions", "plan", "jit_legacy", flag=None, **{variable: value})  # fmt: skip
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert done.returncode == 2
            assert variable in done.stderr
        assert "\n::error" not in done.stdout + done.stderr


@pytest.mark.parametrize("flag", ["²", "2", "yes", BYTE, "x" * 100_000, "::error::"], ids=lambda text: ascii(text)[:12])  # fmt: skip
def test_the_flag(tree, flag):
    assert "USE_PYTHON_TEST_RUNNER is " in refused(tree, "dispatch", flag=flag)
    assert tree.ran == []
