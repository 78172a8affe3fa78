from __future__ import annotations

from types import SimpleNamespace

import pytest
from inventories import job, part, step

from ci_sessions.inventory.reasons import reasons
from ci_sessions.inventory.selection import Selection
from ci_sessions.inventory.tree import TestTree

DISCOVER = """\
TESTS = discover_tests(
    blocklisted_patterns=[
        "jit",  # executed by test_jit.py
    ],
    blocklisted_tests=[
        "test_bundled_images",
    ],
)
"""
RUN_TEST = 'parser.add_argument("--onnx", action="store_true")\nparser.add_argument("--dry-run", action="store_true")'
ALL = ("test_ops", "test_legacy", "test_named", "test_plain", "onnx/test_onnx")


def select(question):
    """A run_test.py in miniature."""
    argv = question.argv
    if "--onnx" in argv:
        return ["onnx/test_onnx"]
    names = [name for name in ALL if name != "onnx/test_onnx"]
    names = [name for name in names if "--exclude-legacy" not in argv or name != "test_legacy"]
    names = [name for name in names if name not in argv]
    return [name for name in names if "--core" not in argv or name == "test_ops"]


@pytest.fixture
def survey(tmp_path):
    """A survey of three jobs, whose questions ``select`` answers."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test_ops.py").write_text("from jit.test_tracer import TestTracer\n")
    jobs = [
        job(
            step(
                part("test_ops"),
                options=("--exclude-legacy", "--exclude", "test_named", "--core"),
                shard=(1, 2),
            ),
            config="default",
        ),
        job(step(part("test_ops"), options=("--exclude-legacy", "--core")), config="slow"),
    ]
    files = {"test/run_test.py": RUN_TEST, "tools/testing/discover_tests.py": DISCOVER}
    tree = TestTree(files=files, empty=(), times={}, times_of_build={})
    asked = []

    def ask(questions):
        asked.extend(questions)
        return {one.key: Selection(parts=tuple(map(part, select(one)))) for one in questions}

    return SimpleNamespace(root=tmp_path, jobs=jobs, tree=tree, ask=ask, asked=asked)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("jit/test_tracer", 'names that begin with "jit" are in the blocklist of tests (tools/testing/discover_tests.py:3: executed by test_jit.py); test_ops imports it'),
        ("jit/test_other", 'names that begin with "jit" are in the blocklist of tests (tools/testing/discover_tests.py:3: executed by test_jit.py)'),
        ("test_bundled_images", "in the blocklist of tests (tools/testing/discover_tests.py:6)"),
        ("test_named", "left out by --exclude test_named in default"),
        ("onnx/test_onnx", "only --onnx selects it, which no job has"),
        ("test_plain", "run_test.py selects it without options, but those of no job do"),
        ("test_missing", "run_test.py does not list it"),
    ],
)  # fmt: skip
def test_why_no_job_runs_a_file(survey, file, reason):
    assert reasons([file], survey) == {file: reason}


def test_the_option_that_leaves_a_file_out_is_found_by_asking_without_it(survey):
    survey.jobs = [
        job(step(part("test_ops"), options=("--exclude-legacy",), shard=(1, 2)), config=name)
        for name in "abcdef"
    ]
    assert reasons(["test_legacy"], survey) == {
        "test_legacy": "left out by --exclude-legacy in a, b, c, d and 2 more configurations"
    }
    assert all("--shard" not in one.argv for one in survey.asked)


def test_what_another_file_imports_comes_last(survey):
    assert list(reasons(["jit/test_tracer", "test_missing"], survey)) == [
        "test_missing",
        "jit/test_tracer",
    ]


def test_without_files_nothing_is_asked(survey):
    assert reasons([], survey) == {}
    assert survey.asked == []
