from __future__ import annotations

import gzip

import pytest

from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.job.environment import Environment
from ci_sessions.job.job_json import (
    job_line,
    job_of,
    job_variables,
    merged,
    name_of,
    read_job_lines,
)
from ci_sessions.parity.profile import Answer, Profile, read_profile
from ci_sessions.parity.recording import Recording
from ci_sessions.parity.staging import places_below, read_stage, write_stage
from ci_sessions.parity.trace import Cache

SCRIPT = ".ci/pytorch/test.sh"
TEXT = """#!/bin/bash
# notes/unused.txt is named in a comment only
source .ci/pytorch/common.sh
cat benchmarks/targets.csv > /tmp/copy; ls /tmpfs "$X/tmp" /var/lib/jenkins/workspace/x
for f in test/cases/*.py; do python "$f"; done
find test/deep -name '*.py'
cd tools/far
"""


@pytest.fixture
def tree(tmp_path):
    def put(name, text=""):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    put(SCRIPT, TEXT)
    put(".ci/pytorch/common.sh", "echo common\n")
    put(".ci/pytorch/lib/more.py", "x = 1\n")
    put(".github/ci_commit_pins/vision.txt", "0123\n")
    put("benchmarks/targets.csv", "a,b\n")
    put("benchmarks/other.csv", "not named\n")
    put("notes/unused.txt")
    put("test/cases/a.py", "print()")
    put("test/cases/b.txt")
    put("test/deep/down/c.py", "x" * 300_000)
    put("tools/far/d.py")
    return tmp_path


def test_a_stage_has_the_scripts_and_what_they_name(tree):
    stage = read_stage(tree, SCRIPT, read_profile())
    assert set(stage.files) == {
        SCRIPT, ".ci/pytorch/common.sh", ".ci/pytorch/lib/more.py",
        ".github/ci_commit_pins/vision.txt", "benchmarks/targets.csv", "test/cases/a.py",
        "test/deep/down/c.py",
    }  # fmt: skip
    assert stage.files[".github/ci_commit_pins/vision.txt"] == b"PIN-vision\n"
    assert stage.files["test/deep/down/c.py"] == b""  # too large to copy: there, and empty
    assert {"test", "tools/far", "benchmarks"} <= set(stage.folders)


def test_a_stages_digest_is_that_of_all_that_is_in_it(tree):
    first = read_stage(tree, SCRIPT, read_profile()).digest
    (tree / "benchmarks" / "other.csv").write_text("changed, and not named")
    assert read_stage(tree, SCRIPT, read_profile()).digest == first
    (tree / "benchmarks" / "targets.csv").write_text("changed")
    assert read_stage(tree, SCRIPT, read_profile()).digest != first


def test_another_revisions_scripts_take_the_place_of_these(tree):
    old = {SCRIPT: b"echo old\n"}
    stage = read_stage(tree, SCRIPT, read_profile(), overlay=old)
    assert stage.files[SCRIPT] == b"echo old\n"
    assert ".ci/pytorch/common.sh" not in stage.files
    with pytest.raises(CheckoutError, match=r"test.sh is not there: give the root of a PyTorch"):
        read_stage(tree, SCRIPT, read_profile(), overlay={})


def test_absolute_paths_move_into_the_throwaway_folder(tree, tmp_path):
    profile = read_profile()
    base = tmp_path / "base"
    base.mkdir()
    write_stage(read_stage(tree, SCRIPT, profile), profile, base)
    root = base / "tmp" / "checkout"
    text = (root / SCRIPT).read_text()
    assert f"> {base}/abs/tmp/copy;" in text
    assert f'ls /tmpfs "$X/tmp" {base}/abs/var/lib/jenkins/workspace/x' in text
    assert (base / "abs" / "var/lib/jenkins/workspace").is_dir()
    assert (base / "site" / "torch" / "bin" / "test_mobile_nnc").is_file()
    assert (root / "tools" / "far").is_dir()
    assert (
        "ROCM_VERSION_MAJOR 7"
        in (base / "abs/opt/rocm/include/rocm-core/rocm_version.h").read_text()
    )


def test_a_profile_is_functions_of_bash(tmp_path):
    profile = Profile(
        functions=("setup",),
        missing=("sccache",),
        answers=(
            Answer(command="git *'s", output="$ROOT", code=3, where={"X": "a b*"}),
            Answer(command="x", error="no", writes="-o"),
        ),
    )
    text = profile.as_bash(places_below(tmp_path))
    assert "__ci_opaque[setup]=1" in text
    assert "__ci_missing[sccache]=1" in text
    assert (
        "if [[ $__ci_line == 'git '*''\"'\"'s' && ${X-} == 'a b'* ]]; then builtin printf '%s\\n' "
        f"{tmp_path}/tmp/checkout; return 3; fi" in text
    )
    assert "builtin printf '%s\\n' no >&2; __ci_write -o \"$@\"; return 0; fi" in text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("format = 9", "format is 9"),
        ("format = 1\n[machine]\ncolour = []", "machine.colour is nothing known"),
        ("format = 1\n[machine]\nmissing = 'x'", "machine.missing is 'x': give a list of texts"),
        ("format = 1\n[[answer]]\ncode = 1", "answer 1 has no command"),
        ("format = 1\n[[answer]]\ncommand = 'x'\ncode = true", "answer 1 has code"),
        ("=", "is not TOML"),
    ],
)
def test_a_bad_profile_says_what_is_wrong(tmp_path, text, fault):
    path = tmp_path / "profile.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=fault):
        read_profile(path)


def test_a_missing_profile_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        read_profile(tmp_path / "none.toml")


# --- the cache


def test_a_cache_keeps_whole_recordings_only(tmp_path):
    cache = Cache(tmp_path / "traces")
    recording = Recording(0, (), seconds=1.0)
    assert cache.get("k") is None
    cache.put("k", recording)
    assert cache.get("k") == recording
    assert cache.hits == 1
    assert (tmp_path / ".gitignore").read_text() == "*\n"
    (tmp_path / "traces" / "k.json.gz").write_bytes(b"torn")
    assert cache.get("k") is None
    with gzip.open(tmp_path / "traces" / "k.json.gz", "wt") as file:
        file.write("{}")
    assert cache.get("k") is None
    Cache(None).put("k", recording)
    assert Cache(None).get("k") is None


def test_a_cache_drops_what_was_not_used_for_a_month(tmp_path, monkeypatch):
    import datetime as dt  # noqa: PLC0415

    from ci_sessions import clock  # noqa: PLC0415

    cache = Cache(tmp_path / "traces")
    cache.put("k", Recording(0, ()))
    cache.prune()
    assert cache.get("k")
    later = clock.now() + dt.timedelta(days=40)
    monkeypatch.setattr(clock, "now", lambda: later)
    cache.prune()
    assert cache.get("k") is None
    Cache(tmp_path / "none").prune()
    Cache(None).prune()


def test_what_a_busy_machine_cut_off_is_not_kept():
    assert Recording(0, ()).is_lasting
    assert Recording(1, (), fault="it ended with exit code 1").is_lasting
    assert not Recording(124, (), fault="it did not end within 20 s").is_lasting
    assert not Recording(0, (), fault="the tracing process was lost").is_lasting
    assert not Recording(254, (), fault="bash lost a command: x: fork: retry").is_lasting


# --- jobs as lines


def test_a_job_line_has_what_the_script_reads_and_no_more():
    environment = Environment.of(
        {
            "TEST_CONFIG": "slow", "BUILD_ENVIRONMENT": "linux-x", "SHARD_NUMBER": "1",
            "NUM_TEST_SHARDS": "2", "TESTS_TO_INCLUDE": "a b", "HUGGING_FACE_HUB_TOKEN": "secret",
        }
    )  # fmt: skip
    from ci_sessions.job.job import Job  # noqa: PLC0415

    job = Job.from_environment(environment)
    line = job_line(job, environment)
    assert line == {
        "build_environment": "linux-x", "config": "slow", "shard": 1, "num_shards": 2,
        "env": {"TESTS_TO_INCLUDE": "a b"},
    }  # fmt: skip
    assert job_of(line, None) == job
    assert job_variables(line)["TESTS_TO_INCLUDE"] == "a b"
    assert name_of(line) == "slow, linux-x, shard 1 of 2, TESTS_TO_INCLUDE=a b"


@pytest.mark.parametrize(
    "text",
    [
        '[{"config": "a"}, {"config": "b"}]',
        '{"config": "a"}\n\n{"config": "b"}\n',
        '{"include": [{"config": "a"}, {"config": "b"}]}',
        '{"job": {"config": "a"}, "commands": []}\n{"job": {"config": "b"}}',
    ],
)
def test_jobs_are_read_as_a_list_as_lines_as_a_matrix_or_as_traces(text):
    assert read_job_lines(text, "x") == [{"config": "a"}, {"config": "b"}]


def test_jobs_that_are_no_json_are_named():
    with pytest.raises(InputError, match="--jobs x is not JSON"):
        read_job_lines("{", "--jobs x")
    with pytest.raises(InputError, match="a job is 3: give an object"):
        job_variables(3)


def test_the_same_job_of_two_runners_is_one():
    lines = [
        {"config": "a", "runner": "x", "workflows": ["p.yml"]},
        {"config": "a", "runner": "y", "workflows": ["t.yml", "p.yml"]},
        {"config": "a", "env": {"X": "1"}},
    ]
    assert [line["workflows"] for line in merged(lines)] == [["p.yml", "t.yml"], []]


def test_a_link_that_leads_out_of_the_checkout_is_not_copied(tree, caplog):
    (tree / ".ci" / "pytorch" / "secret.sh").symlink_to("/etc/passwd")
    assert ".ci/pytorch/secret.sh" not in read_stage(tree, SCRIPT, read_profile()).files
    assert "secret.sh leads out of the checkout, and is not copied" in caplog.text


@pytest.mark.parametrize("env", [{"A=B": "1"}, {"A": "x\0y"}, {"1": "x"}])
def test_what_is_no_variable_is_named(env):
    with pytest.raises(InputError, match="that is no variable"):
        job_variables({"config": "x", "env": env})
