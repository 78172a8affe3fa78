from __future__ import annotations

import gzip

import pytest

from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.parity.pool import Cache
from ci_sessions.parity.profile import Answer, Profile, read_profile
from ci_sessions.parity.recording import Fault, FaultKind, Recording
from ci_sessions.parity.staging import places_below, read_stage, write_stage

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


def test_a_stage_has_the_scripts_and_the_files_they_name(tree):
    stage = read_stage(tree, SCRIPT, read_profile())
    assert set(stage.files) == {
        SCRIPT, ".ci/pytorch/common.sh", ".ci/pytorch/lib/more.py",
        ".github/ci_commit_pins/vision.txt", "benchmarks/targets.csv", "test/cases/a.py",
        "test/deep/down/c.py",
    }  # fmt: skip
    assert stage.files[".github/ci_commit_pins/vision.txt"] == b"PIN-vision\n"
    assert stage.files["test/deep/down/c.py"] == b""  # too large: created empty
    assert {"test", "tools/far", "benchmarks"} <= set(stage.folders)


def test_the_digest_of_a_stage_covers_its_contents(tree):
    first = read_stage(tree, SCRIPT, read_profile()).digest
    (tree / "benchmarks" / "other.csv").write_text("changed, and not named")
    assert read_stage(tree, SCRIPT, read_profile()).digest == first
    (tree / "benchmarks" / "targets.csv").write_text("changed")
    assert read_stage(tree, SCRIPT, read_profile()).digest != first


def test_scripts_of_another_revision_replace_the_current_ones(tree):
    old = {SCRIPT: b"echo old\n"}
    stage = read_stage(tree, SCRIPT, read_profile(), overlay=old)
    assert stage.files[SCRIPT] == b"echo old\n"
    assert ".ci/pytorch/common.sh" not in stage.files
    with pytest.raises(CheckoutError, match=r"test.sh does not exist: give the root of a PyTorch"):
        read_stage(tree, SCRIPT, read_profile(), overlay={})


def test_absolute_paths_are_redirected_into_the_temporary_folder(tree, tmp_path):
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


def test_a_profile_as_bash_functions(tmp_path):
    profile = Profile(
        functions=("setup",),
        missing=("sccache",),
        answers=(
            Answer(command="git *'s", output="$ROOT", code=3, where={"X": "a b*"}),
            Answer(command="x", error="no", writes="-o"),
        ),
    )
    text = profile.to_bash(places_below(tmp_path))
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
        ("format = 1\n[machine]\ncolour = []", "machine.colour is not a known key"),
        (
            "format = 1\n[machine]\nmissing = 'x'",
            "machine.missing is 'x': it must be a list of strings",
        ),
        (
            "format = 1\n[[answer]]\ncode = 1",
            "answer 1, command is None: it must be a non-empty string",
        ),
        (
            "format = 1\n[[answer]]\ncommand = 'x'\ncode = true",
            "answer 1, code is True: it must be an integer",
        ),
        ("=", "is not valid TOML"),
    ],
)
def test_errors_in_a_profile(tmp_path, text, fault):
    path = tmp_path / "profile.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=fault):
        read_profile(path)


def test_a_missing_profile_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        read_profile(tmp_path / "none.toml")


# --- the cache


def test_the_cache_ignores_damaged_files(tmp_path):
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


def test_the_cache_removes_recordings_unused_for_a_month(tmp_path, monkeypatch):
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


@pytest.mark.parametrize("kind", FaultKind)
def test_recordings_that_depend_on_machine_load_are_not_cached(kind):
    kept = kind in (FaultKind.FAILED, FaultKind.UNTRACEABLE)
    assert Recording(0, (), fault=Fault(kind, "x")).is_repeatable is kept
    assert Recording(0, ()).is_repeatable


def test_a_link_out_of_the_checkout_is_not_copied(tree, caplog):
    (tree / ".ci" / "pytorch" / "secret.sh").symlink_to("/etc/passwd")
    assert ".ci/pytorch/secret.sh" not in read_stage(tree, SCRIPT, read_profile()).files
    assert "secret.sh points outside the checkout and is not copied" in caplog.text
