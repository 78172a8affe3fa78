from __future__ import annotations

import pytest
from inventories import command, job, part, step

from ci_sessions.errors import InputError
from ci_sessions.inventory.where import Target, direct_files, find, parse_target

JOBS = [
    job(step(part("test_ops", 1, 2), part("distributed/test_store"), shard=(1, 2)), shard=1, total=2),
    job(step(part("test_ops", 2, 2, minutes=9.0), shard=(2, 2)), command("python", "test/test_quantization.py"), shard=2, total=2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pattern", "case"),
    [
        ("test_ops", "test_ops", ""),
        ("test/test_ops.py", "test_ops", ""),
        ("./test/distributed/test_store.py", "distributed/test_store", ""),
        ("test_ops.py::TestCommon::test_out", "test_ops", "TestCommon::test_out"),
        ("test_ops.TestCommon.test_out", "test_ops", "TestCommon.test_out"),
        ("distributed/*", "distributed/*", ""),
    ],
)
def test_what_users_call_a_test(text, pattern, case):
    assert parse_target(text) == Target(pattern, case)


@pytest.mark.parametrize("text", ["", " ", "test_ops; rm -rf", "test/.py", "a\nb"])
def test_what_is_no_name(text):
    with pytest.raises(InputError, match="the test is"):
        parse_target(text)


def test_each_part_of_a_file_is_found_in_its_shard():
    found = find(JOBS, [parse_target("test_ops")])
    assert [(one.job.shard, one.part, one.parts, one.minutes) for one in found] == [
        (1, 1, 2, None),
        (2, 2, 2, 9.0),
    ]


def test_a_pattern_finds_several_files():
    assert {one.file for one in find(JOBS, [parse_target("*test_*")])} == {
        *("test_ops", "distributed/test_store", "test_quantization")
    }


def test_a_file_that_runs_without_run_test_is_found():
    (found,) = find(JOBS, [parse_target("test_quantization")])
    assert (found.step.test, found.part, found.minutes) == ("test_aten", 1, None)


@pytest.mark.parametrize(
    ("argv", "cwd", "files"),
    [
        (("python", "test/test_a.py", "-v"), ".", ["test_a"]),
        (
            ("python", "test_custom_ops.py", "-v"),
            "test/custom_operator",
            ["custom_operator/test_custom_ops"],
        ),
        (("python", "-m", "pytest", "test/x/test_b.py::TestB"), ".", ["x/test_b"]),
        (("python", "tools/test_c.py"), ".", []),
        (("aten/tools/run_tests.sh", "test/test_a.py"), ".", []),
    ],
)
def test_the_files_in_a_command(argv, cwd, files):
    assert direct_files(command(*argv, cwd=cwd)) == files
