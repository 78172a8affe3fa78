from __future__ import annotations

from inventories import BUILD, command, job

from ci_sessions.inventory.recorded import RecordedTimes
from ci_sessions.records.record import Outcome, RunRecord, StepRecord

ATEN = command("aten/tools/run_tests.sh", "build/bin", number=2)


def run(wall, line="aten/tools/run_tests.sh build/bin", outcome=Outcome.PASSED):
    step = StepRecord(
        id="x", test="test_aten", number=2, kind="test", command=line, wall=wall, outcome=outcome
    )
    return RunRecord(
        id="1", job={"config": "default", "build_environment": BUILD}, started="", steps=(step,)
    )


def test_the_time_of_a_step_is_the_median_of_its_runs_that_passed():
    times = RecordedTimes([run(60), run(120), run(600), run(9000, outcome=Outcome.FAILED)])
    assert times.minutes(job(ATEN), ATEN) == 2.0


def test_a_part_of_a_step_and_another_job_do_not_count():
    times = RecordedTimes([run(60, "aten/tools/run_tests.sh other")])
    assert times.minutes(job(ATEN), ATEN) is None
    assert RecordedTimes([run(60)]).minutes(job(ATEN, config="slow"), ATEN) is None
    assert RecordedTimes().minutes(job(ATEN), ATEN) is None
