from __future__ import annotations

import json

import pytest
from conftest import ROOT

from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.inventory.tree import read_tree

SAMPLE = ROOT / "examples" / "checkout"
NEW = 'FILE = ".additional_ci_files"'
TIMES = {"default": {"default": {"test_a": 1}}, "linux": {"slow": {"test_a": 2.5}}}


@pytest.fixture
def root(tmp_path):
    for name, text in {
        "test/run_test.py": NEW,
        "test/test_a.py": "secret",
        "test/x/test_b.py": "",
        "tools/t.py": "TOOL",
        "test/x/helper.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def write_times(root, data, name=".additional_ci_files/test-times.json"):
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(json.dumps(data))


def test_of_a_test_only_its_name_is_read(root):
    tree = read_tree(root)
    assert tree.test_files == ("test_a", "x/test_b")
    assert tree.files == {"test/run_test.py": NEW, "tools/t.py": "TOOL"}
    assert "secret" not in json.dumps(tree.to_dict())


def test_the_digest_is_that_of_all_that_is_read(root):
    before = read_tree(root).digest
    (root / "test" / "test_a.py").write_text("other")
    assert read_tree(root).digest == before
    (root / "tools" / "t.py").write_text("other")
    assert read_tree(root).digest != before


def test_linked_folders_are_followed_and_a_loop_ends(root):
    (root / "functorch").mkdir()
    (root / "functorch" / "test_f.py").touch()
    (root / "test" / "functorch").symlink_to(root / "functorch")
    (root / "test" / "x" / "loop").symlink_to(root / "test")
    found = read_tree(root).test_files
    assert "functorch/test_f" in found
    assert len(found) < 200


def test_binaries_are_those_of_the_build_or_those_that_plans_name(root):
    assert "build/bin/test_api" in read_tree(root).with_binaries(["test_api"]).empty
    (root / "build" / "bin").mkdir(parents=True)
    (root / "build" / "bin" / "atest").touch()
    found = read_tree(root).with_binaries(["test_api"]).empty
    assert [name for name in found if name.startswith("build/")] == ["build/bin/atest"]


def test_times_are_those_of_the_checkout_unless_others_are_given(root, tmp_path):
    write_times(root, TIMES)
    assert read_tree(root).times == TIMES
    write_times(root, {"default": {}}, "other/times.json")
    tree = read_tree(root, root / "other" / "times.json")
    assert (tree.times, json.loads(tree.files[".additional_ci_files/test-times.json"])) == (
        {"default": {}},
        {"default": {}},
    )


def test_an_old_release_reads_the_times_of_one_build(root):
    (root / "test" / "run_test.py").write_text("old")
    write_times(root, TIMES, ".pytorch-test-times.json")
    tree = read_tree(root)
    assert not any(name.endswith(".json") for name in tree.files)
    assert json.loads(tree.times_of_build["linux"][".pytorch-test-times.json"]) == TIMES["linux"]


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"x": {}},
        {"default": 1},
        {"default": {"a": 1}},
        {"default": {"a": {"t": True}}},
        {"default": {"a": {"t": "1"}}},
    ],
)
def test_what_is_no_timing_file(root, data):
    write_times(root, data)
    with pytest.raises(InputError, match="is not a timing file"):
        read_tree(root)


def test_without_run_test_there_is_nothing_to_ask(tmp_path):
    with pytest.raises(CheckoutError, match=r"run_test\.py cannot be read"):
        read_tree(tmp_path)


def test_the_sample_checkout_has_times():
    assert read_tree(SAMPLE).times["default"]["jit_legacy"]["test_jit_legacy"] == 150.0
