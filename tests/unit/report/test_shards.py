from __future__ import annotations

import xml.etree.ElementTree as ET

from inventories import command, job, part, step

from ci_sessions.inventory.shards import divide
from ci_sessions.report.shards import (
    ShardPlan,
    describe_overview,
    describe_plan,
    matrix_lines,
    plan_to_json,
)
from ci_sessions.report.shards_plot import draw


def division(total, *, config="default", minutes=60.0):
    jobs = [
        job(
            step(part(f"test_{n}", minutes=minutes / total), shard=(n, total), minutes=minutes / total),
            *([command("aten/tools/run_tests.sh", number=2)] if n == 1 else []),
            shard=n, total=total, config=config,
        )
        for n in range(1, total + 1)
    ]  # fmt: skip
    return divide(jobs, lambda _, one: 6.0 if one.test == "test_aten" else None)


PLAN = ShardPlan(
    today=division(2),
    chosen=division(2),
    runner="linux.2xlarge",
    target=24,
    needed=division(4),
    needed_if_placed=division(3),
)


def test_a_plan_says_what_is_and_what_would_be():
    assert describe_plan(PLAN).splitlines() == [
        "default on linux-jammy-py3.10-gcc11, 2 shards today",
        "minutes as run_test.py estimates them (no test times)",
        "  shard    tests   other  files",
        "      1     30.0    +6.0      1  █████████████████████████████████▒▒▒▒▒▒▒",
        "      2     30.0              1  █████████████████████████████████",
        "longest part: test_1 1/1, 30.0 · lower bound of the tests with 2 shards: 30.0",
        "longest shard 36.0, 1.09 times the mean",
        "24 minutes need 4 shards (21.0 the longest)",
        "3 are enough (26.0) with the other work on the shards with most room",
        "machine hours a commit: 1.1 now, 1.1 then · 15 minutes sooner",
    ]


def test_what_cannot_be_reached_is_said():
    text = describe_plan(ShardPlan(today=division(2), chosen=division(2), target=5))
    assert "5 minutes: no number of shards is enough as they are" in text


def test_without_times_there_are_only_files():
    jobs = [
        job(
            step(part("test_a"), shard=(1, 1)),
            command("x", number=2),
            step(part("b"), test="t", number=3, unknown=["--new"]),
        )
    ]
    text = describe_plan(
        ShardPlan(today=divide(jobs, lambda *_: None), chosen=divide(jobs, lambda *_: None))
    )
    assert text.splitlines()[-2:] == [
        "other work without a known time: t, test_aten",
        "run_test.py of this checkout does not know --new",
    ]


def test_the_overview_has_a_row_for_each_configuration():
    empty = divide([job(step(part("a"), shard=(1, 1)), config="slow")], lambda *_: None)
    lines = describe_overview([PLAN, ShardPlan(today=empty, chosen=empty, target=24)]).splitlines()
    assert lines[0].split() == [
        "config",
        "build",
        "shards",
        "longest",
        "mean",
        "imbalance",
        "bound",
        "hours",
        "needed",
        "longest",
        "hours",
        "if",
        "placed",
    ]
    assert lines[1].split() == [
        "default",
        "linux-jammy-py3.10-gcc11",
        "2",
        "36.0",
        "33.0",
        "1.09",
        "30.0",
        "1.1",
        "4",
        "21.0",
        "1.1",
        "3",
    ]
    assert lines[2].split() == ["slow", "linux-jammy-py3.10-gcc11", "1", *"-" * 9]


def test_the_matrix_has_a_line_for_each_shard_that_is_needed():
    lines = matrix_lines(PLAN)
    assert lines[0] == "# default on linux-jammy-py3.10-gcc11: 2 before"
    assert lines[4] == '{ config: "default", shard: 4, num_shards: 4, runner: "linux.2xlarge" },'
    assert len(lines) == 5


def test_json_has_the_chosen_division_and_what_is_needed():
    found = plan_to_json(PLAN)
    assert (
        found["num_shards"],
        found["needed"],
        found["needed_if_placed"],
        found["lower_bound"],
    ) == (2, 4, 3, 30.0)
    assert found["shards"][0]["other"][0]["minutes"] == 6.0
    assert found["shards"][1]["parts"] == [
        {"file": "test_2", "part": 1, "parts": 1, "serial": False}
    ]


def test_the_plot_is_an_image_for_light_and_dark():
    text = draw([PLAN, ShardPlan(today=division(2, config="<b>"), chosen=division(3))])
    root = ET.fromstring(text)
    name = "{http://www.w3.org/2000/svg}"
    assert (
        len(root.findall(f"{name}rect")) == 2 + 4 + 2 + 3 + 4
    )  # and the other work of each first shard
    assert "prefers-color-scheme: dark" in text
    assert "&lt;b&gt; on" in text
    assert {"24 min"} <= {one.text for one in root.iter(f"{name}text")}
