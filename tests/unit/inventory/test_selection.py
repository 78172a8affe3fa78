from __future__ import annotations

from inventories import part

from ci_sessions.inventory.facts import BuildFacts
from ci_sessions.inventory.selection import Fault, Question, Selection, from_dict, test_name


def question(*argv, **env):
    return Question(argv=("test/run_test.py", *argv), env=env, facts=BuildFacts())


def test_answers_survive_json():
    answer = Selection(
        parts=(part("test_ops", 2, 3, True, 9.5),), minutes=9.5, basis="build", processes=3
    )
    assert from_dict(answer.to_dict()) == answer
    fault = Fault("it refuses", is_rejected=True)
    assert from_dict(fault.to_dict()) == fault


def test_the_shards_of_a_job_are_one_family():
    first = question("--shard", "1", "3", SHARD_NUMBER="1", TEST_CONFIG="default")
    third = question("--shard", "3", "3", SHARD_NUMBER="3", TEST_CONFIG="default")
    other = question("--shard", "3", "4", SHARD_NUMBER="3", TEST_CONFIG="default")
    assert first.key != third.key
    assert first.family == third.family != other.family
    assert (first.shard, question("--verbose").shard) == ((1, 3), None)


def test_a_test_file_has_one_name():
    names = {
        test_name(name)
        for name in ("test_ops", "test_ops.py", "test/test_ops.py", "./test/test_ops.py")
    }
    assert names == {"test_ops"}
    assert Selection(parts=(part("lazy/test_ts_opinfo.py"),)).files == {"lazy/test_ts_opinfo"}
