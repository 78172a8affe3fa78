from __future__ import annotations

from dataclasses import replace

from inventories import command, job, part, step

from ci_sessions.inventory.where import find, parse_target
from ci_sessions.report.where import describe_where, repeat_command, where_to_json

PROGRAM = ("python", "-m", "ci_sessions", "run")
JOBS = [
    job(
        step(
            part("test_ops", 1, 3, minutes=9.0), part("test_ops", 2, 3, minutes=9.0), shard=(1, 2)
        ),
        total=2,
        env={"TESTS_TO_EXCLUDE": "a b"},
    ),
    job(step(part("test_ops", 3, 3), shard=(2, 2)), shard=2, total=2, workflows=()),
    job(
        step(part("test_ops"), unknown=["--openreg"]),
        config="openreg",
        workflows=("a.yml", "b.yml"),
    ),
]


def occurrences(name="test_ops"):
    return find(JOBS, [parse_target(name)])


def test_the_command_runs_one_file_of_one_step():
    assert repeat_command(occurrences()[0], PROGRAM, "", None) == (
        "TESTS_TO_EXCLUDE='a b' python -m ci_sessions run default --build-environment linux-jammy-py3.10-gcc11 "
        "--shard 1/2 --test test_python --step 1 --file test_ops"
    )
    case = repeat_command(occurrences()[2], PROGRAM, "TestA::test_b", "my tree")
    assert case.endswith(
        "--shard 2/2 --checkout 'my tree' --test test_python --step 1 --file test_ops --case TestA::test_b"
    )


def test_a_file_that_runs_by_itself_is_its_step():
    (one,) = find(
        [job(command("python", "test/test_a.py", test="test_q", number=4))],
        [parse_target("test_a")],
    )
    assert repeat_command(one, PROGRAM, "", None).endswith("--test test_q --step 4")


def test_a_step_of_a_script_is_repeated_without_the_runner():
    one = replace(
        step(part("test_ops"), options=("--include", "test_ops", "test_nn")),
        env={"VALGRIND": "ON", "CPP_TESTS_DIR": "$SITE/bin"},
    )
    (found,) = find([job(one)], [parse_target("test_ops")])
    assert repeat_command(found, PROGRAM, "", "my tree") == (
        "(cd 'my tree' && env TEST_CONFIG=default BUILD_ENVIRONMENT=linux-jammy-py3.10-gcc11 SHARD_NUMBER=1 NUM_TEST_SHARDS=1 "
        "VALGRIND=ON python test/run_test.py --include test_ops)"
    )


def test_json_has_an_object_for_each_workflow():
    found = where_to_json(occurrences(), ["x"] * 4)
    assert [(one["workflow"], one["part"], one["minutes"]) for one in found] == [
        ("pull.yml", 1, 9.0),
        ("pull.yml", 2, 9.0),
        (None, 3, None),
        ("a.yml", 1, None),
        ("b.yml", 1, None),
    ]


def test_the_table_has_a_row_for_each_job_and_those_that_fail_last():
    found = occurrences()
    text = describe_where(
        found, [f"command {n}" for n in range(len(found))], 7, missing={"test_x": "why"}
    )
    assert text.splitlines() == [
        "test_ops runs in 3 of 7 scheduled jobs",
        "  workflow  build                     config   shard  part   minutes",
        "  pull      linux-jammy-py3.10-gcc11  default  1/2    1-2/3     18.0",
        "  -         linux-jammy-py3.10-gcc11  default  2/2    3/3          -",
        "  a, b      linux-jammy-py3.10-gcc11  openreg  1/1    1/1          -  run_test.py does not know --openreg",
        "",
        "Run it as the first of them does, but all parts of the file:",
        "  command 0",
        "",
        "test_x runs in none of 7 scheduled jobs",
        "  why",
    ]


def test_a_long_table_is_cut_unless_every_row_is_wanted():
    jobs = [job(step(part("test_ops")), config=f"c{n}") for n in range(50)]
    found = find(jobs, [parse_target("test_ops")])
    text = describe_where(found, [""] * 50, 50, missing={})
    assert "… 10 more jobs: --every shows all" in text
    assert "c49" not in text
    assert "c49" in describe_where(found, [""] * 50, 50, missing={}, every=True)


def test_text_of_others_is_made_harmless():
    jobs = [job(step(part("test_\x1b[31mred")), config="\x1b]0;x\x07")]
    assert "\x1b" not in describe_where(find(jobs, [parse_target("test_*")]), ["x"], 1, missing={})
