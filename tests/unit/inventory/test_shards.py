from __future__ import annotations

import pytest
from inventories import command, job, part, step

from ci_sessions.inventory.shards import divide, shards_needed


def no_records(job, step):
    return None


def jobs(total, extra=6.0):
    """20 parts of 3 minutes, one of them serial, dealt out; the first shard has extra work."""
    found = []
    for number in range(1, total + 1):
        parts = [
            part(f"test_{n}", serial=n == 0, minutes=3.0)
            for n in range(20)
            if n % total == number - 1
        ]
        steps = [step(*parts, shard=(number, total), minutes=float(3 * len(parts)))]
        if number == 1:
            steps.append(
                step(part("test_extra", minutes=extra), test="test_lazy", number=2, minutes=extra)
            )
            steps.append(command("aten/tools/run_tests.sh", number=3))
        found.append(job(*steps, shard=number, total=total))
    return found


def test_a_division_has_the_main_selection_and_the_rest():
    one = divide(jobs(4), no_records)
    assert [(shard.number, shard.minutes, shard.total) for shard in one.shards] == [
        (1, 15.0, 21.0),
        (2, 15.0, 15.0),
        (3, 15.0, 15.0),
        (4, 15.0, 15.0),
    ]
    assert [(work.test, work.minutes, work.basis) for work in one.shards[0].other] == [
        ("test_lazy", 6.0, "run_test.py"),
        ("test_aten", None, None),
    ]
    assert (one.longest, one.total, one.imbalance) == (21.0, 66.0, pytest.approx(21 / 16.5))


def test_the_lower_bound_is_the_work_in_parallel_or_the_longest_part():
    assert divide(jobs(4), no_records).lower_bound == pytest.approx((3 + 19 * 3 / 2) / 4, abs=0.01)
    assert divide(jobs(20), no_records).lower_bound == 3.0


def test_records_say_how_long_other_work_takes():
    one = divide(jobs(2), lambda _, step: 4.0 if step.test == "test_aten" else None)
    assert [(work.minutes, work.basis) for work in one.shards[0].other] == [
        (6.0, "run_test.py"),
        (4.0, "records"),
    ]


def test_other_work_on_the_shard_with_most_room():
    uneven = [
        job(step(part("a", minutes=20.0), shard=(1, 2), minutes=20.0), step(minutes=5.0, test="test_lazy", number=2), shard=1, total=2),
        job(step(part("b", minutes=10.0), shard=(2, 2), minutes=10.0), shard=2, total=2),
    ]  # fmt: skip
    one = divide(uneven, no_records)
    assert (one.longest, one.longest_if_placed) == (25.0, 20.0)


def test_the_number_of_shards_that_a_target_needs():
    def with_shards(total):
        return divide(jobs(total), no_records)

    needed = shards_needed(15, with_shards(2), with_shards, lambda one: one.longest)
    assert (needed.num_shards, needed.longest) == (7, 15.0)
    placed = shards_needed(15, with_shards(2), with_shards, lambda one: one.longest_if_placed)
    assert (placed.num_shards, placed.longest_if_placed) == (
        5,
        pytest.approx(18.0),
    ) or placed.longest_if_placed <= 15
    assert (
        shards_needed(2, with_shards(2), with_shards, lambda one: one.longest) is None
    )  # a part has 3


def test_no_number_of_shards_helps_other_work_that_is_too_long():
    def with_shards(total):
        return divide(jobs(total, extra=50.0), no_records)

    assert shards_needed(15, with_shards(2), with_shards, lambda one: one.longest) is None


def test_a_step_with_unknown_options_is_the_main_one_only_without_another():
    bad = step(
        *(part(f"test_{n}") for n in range(9)),
        test="test_distributed",
        shard=(1, 1),
        unknown=["--multigpu-filter"],
        minutes=9.0,
    )
    good = step(part("test_ops"), number=2, shard=(1, 1), minutes=1.0)
    assert divide([job(bad, good)], no_records).shards[0].minutes == 1.0
    assert divide([job(bad, good)], no_records).shards[0].other[0].minutes is None
    assert divide([job(bad)], no_records).shards[0].minutes == 9.0


def test_a_job_of_one_shard_runs_its_largest_selection():
    one = divide(
        [job(step(part("a"), part("b"), minutes=2.0), step(part("c"), number=2, minutes=1.0))],
        no_records,
    )
    assert (one.shards[0].minutes, one.shards[0].other[0].minutes) == (2.0, 1.0)


def test_without_times_nothing_is_known():
    one = divide([job(step(part("a"), shard=(1, 1)))], no_records)
    assert not one.is_known
    assert (one.lower_bound, one.shards[0].minutes, one.imbalance) == (None, None, 1.0)
