from __future__ import annotations

import datetime as dt

import pytest
from inventories import command, job, part, step

from ci_sessions.errors import InputError
from ci_sessions.inventory.audit import audit, files_per_config
from ci_sessions.inventory.baseline import read_baseline, write_baseline

FILES = ["test_ops", "test_nn", "test_jit_legacy"]
TODAY = dt.date(2026, 11, 28)


def run(jobs, files=FILES, most=3):
    return audit(jobs, files, lambda names: {name: f"why {name}" for name in names}, most)


def two_shards(*, without=()):
    jobs = [
        job(step(part("test_ops", 1, 2), shard=(1, 2)), shard=1, total=2),
        job(step(part("test_ops", 2, 2), part("test_nn"), shard=(2, 2)), shard=2, total=2),
        job(step(part("test_jit_legacy"), options=("--include", "test_jit_legacy")), config="jit_legacy"),
    ]  # fmt: skip
    return [one for one in jobs if one.name not in without]


def test_nothing_is_wrong_if_every_test_runs():
    assert run(two_shards()).findings == ()


def test_a_file_that_no_job_runs_has_its_reason():
    (found,) = run(two_shards(), [*FILES, "test_new"]).of("unrun")
    assert found.data == {"file": "test_new", "reason": "why test_new"}


def test_a_file_that_a_step_runs_without_run_test_is_run():
    assert (
        run(
            [*two_shards(), job(command("python", "test/test_new.py"))], [*FILES, "test_new"]
        ).findings
        == ()
    )


def test_a_shard_that_is_dropped_is_named_with_the_files_that_only_it_runs():
    dropped = run(two_shards(without=["default, linux-jammy-py3.10-gcc11, shard 2 of 2"]))
    (gap,) = dropped.of("incomplete")
    assert gap.data["missing"] == [2]
    assert gap.text == "1 shard of 2 not scheduled: 2"
    unrun = {one.name: one.text for one in dropped.of("unrun")}
    assert unrun == {
        "test_nn": "why test_nn",
        "test_ops": "part 2 of 2 is in a shard of default, linux-jammy-py3.10-gcc11 that is not scheduled",
    }


def test_a_part_that_another_configuration_runs_whole_is_run():
    jobs = [
        *two_shards(without=["default, linux-jammy-py3.10-gcc11, shard 2 of 2"]),
        job(step(part("test_ops"), part("test_nn")), config="slow"),
    ]
    found = run(jobs)
    assert [one.kind for one in found.findings] == ["incomplete"]


def test_shards_that_are_numbered_from_0_are_complete():
    jobs = [job(step(part("test_ops"), shard=(n, 2)), shard=n, total=2) for n in (0, 1)]
    assert run(jobs, ["test_ops"]).of("incomplete") == []


def test_a_job_that_selects_nothing():
    (found,) = run(
        [*two_shards(), job(step(), config="dynamo_cpython", shard=4, total=4)], FILES
    ).of("empty")
    assert found.data == {
        "config": "dynamo_cpython",
        "build_environment": "linux-jammy-py3.10-gcc11",
        "shard": 4,
        "num_shards": 4,
    }


@pytest.mark.parametrize(
    "steps",
    [[step(), command("aten/tools/run_tests.sh")], [step(), step(part("test_ops"), number=2)]],
)
def test_a_job_with_other_tests_is_not_empty(steps):
    assert run([job(*steps)]).of("empty") == []


def test_a_file_in_many_configurations_of_a_build():
    jobs = [job(step(part("test_ops")), config=name) for name in ("a", "b", "c", "d")]
    (found,) = run(jobs, ["test_ops"], most=3).of("repeated")
    assert found.data["configs"] == ["a", "b", "c", "d"]
    assert run(jobs, ["test_ops"], most=4).of("repeated") == []
    elsewhere = [
        job(step(part("test_ops")), config="d", build="linux-jammy-py3.14-clang21"),
        *jobs[:3],
    ]
    assert run(elsewhere, ["test_ops"], most=3).of("repeated") == []


def test_a_file_that_a_job_runs_twice_in_the_same_way():
    twice = job(step(part("test_ops")), step(part("test_ops"), number=2))
    (found,) = run([twice], ["test_ops"]).of("repeated")
    assert found.data["steps"] == ["test_python 1", "test_python 2"]


@pytest.mark.parametrize(
    "other",
    [
        step(part("test_ops"), number=2, options=("-k", "take")),
        step(part("test_ops"), number=2, options=("--inductor",)),
        step(part("test_ops"), number=2, env={"ATEN_CPU_CAPABILITY": "default"}),
        step(part("test_ops", 2, 2), number=2),
        step(part("test_ops"), number=2, unknown=["--einops"]),
    ],
)
def test_another_way_is_no_repetition(other):
    assert run([job(step(part("test_ops")), other)], ["test_ops"]).of("repeated") == []


def test_what_run_test_refuses_or_does_not_know_is_named_with_its_step():
    jobs = [
        job(step(unknown=["--openreg"], fault="run_test.py refuses: no"), config="openreg"),
        job(config="x", problem="it is unknown\nmore"),
    ]
    assert [one.name for one in run(jobs, []).of("refused")] == [
        "openreg, test_python 1: run_test.py of this checkout does not know --openreg",
        "openreg, test_python 1: run_test.py refuses: no",
        "x, the job: it is unknown more",
    ]


def written(tmp_path, jobs, files=FILES):
    path = tmp_path / "audit.toml"
    path.write_text(write_baseline(run(jobs, files), files_per_config(jobs), TODAY))
    return read_baseline(path)


def test_a_baseline_accepts_what_was_found_when_it_was_written(tmp_path):
    jobs = [*two_shards(), job(step(), config='odd "name"\x7f')]
    files = [*FILES, "test_new"]
    baseline = written(tmp_path, jobs, files)
    found = run(jobs, files)
    assert len(found.findings) == 2
    assert all(baseline.entry_for(one) for one in found.findings)
    assert baseline.unused(found) == []
    assert baseline.changes(files_per_config(jobs)) == []
    assert {entry.since for entry in baseline.accepted} == {TODAY}


def test_a_new_finding_is_not_accepted_and_an_old_one_is_unused(tmp_path):
    baseline = written(tmp_path, two_shards(), [*FILES, "test_old"])
    found = run(two_shards(), [*FILES, "test_new"])
    assert [one.name for one in found.findings if baseline.entry_for(one) is None] == ["test_new"]
    assert [entry.what for entry in baseline.unused(found)] == ["test_old"]


def test_a_configuration_that_loses_its_include_runs_many_more_files(tmp_path):
    baseline = written(tmp_path, two_shards())
    everything = step(*(part(f"test_{n}") for n in range(30)))
    jobs = [*two_shards()[:2], job(everything, config="jit_legacy")]
    (change,) = baseline.changes(files_per_config(jobs))
    assert (change.config, change.before, change.now) == ("jit_legacy", 1, 30)


def test_a_configuration_that_loses_tests_is_a_change_and_some_new_ones_are_not(tmp_path):
    baseline = written(tmp_path, two_shards())
    assert [one.config for one in baseline.changes({"default": 1, "jit_legacy": 1})] == ["default"]
    assert [one.config for one in baseline.changes({"default": 2})] == ["jit_legacy"]
    assert baseline.changes({"default": 4, "jit_legacy": 2, "new": 9}) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("format = 2", "format is 2"),
        (
            'format = 1\n[[accepted]]\nkind = "bad"\nwhat = "x"\nwhy = "y"\nsince = 2026-01-01',
            "kind is 'bad'",
        ),
        (
            'format = 1\n[[accepted]]\nkind = "unrun"\nwhat = "x"\nwhy = "y"\nsince = "soon"',
            "since is 'soon'",
        ),
        ('format = 1\n[[accepted]]\nkind = "unrun"\nwhat = "x"\nsince = 2026-01-01', "why is"),
        ("format = 1\n[files]\ndefault = -1", "default is -1"),
        ("format = 1\nmore = 1", "more is not a known key"),
    ],
)
def test_a_bad_baseline_says_what_is_wrong(tmp_path, text, problem):
    path = tmp_path / "audit.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_baseline(path)
