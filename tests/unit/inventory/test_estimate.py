from __future__ import annotations

from inventories import command, job, part, step

from ci_sessions.inventory.estimate import Estimate
from ci_sessions.records.record import Outcome, RunRecord, StepRecord

STEPS = (
    step(part("test_ops"), minutes=12.5),
    command("aten/tools/run_tests.sh", number=2),
    step(part("test_nn"), number=3, minutes=9.0, unknown=["--new"]),
)


def test_a_step_has_the_estimate_of_run_test_or_the_time_in_records():
    found = Estimate.of(job(*STEPS), STEPS, lambda _, one: 3.0 if one.test == "test_aten" else None)
    assert [(one.minutes, one.basis) for one in found.steps] == [
        (12.5, "run_test.py"),
        (3.0, "records"),
        (None, None),
    ]
    assert found.to_dict()["total"] == 15.5
    assert found.describe() == (
        "about 15.5 minutes, 2 of 3 steps with a known time\n  test_python 1  12.5  (run_test.py)\n  test_aten 2  3.0  (records)"
    )


def test_without_times_that_is_what_it_says():
    found = Estimate.of(job(STEPS[1]), STEPS[1:2], lambda *_: None)
    assert found.describe() == "minutes unknown: there are no times for 1 step"


def recorded(test, number, wall, outcome=Outcome.PASSED):
    return StepRecord(
        id=f"{test}.{number}",
        test=test,
        number=number,
        kind="test",
        command="x",
        wall=wall,
        outcome=outcome,
    )


def test_a_run_is_compared_with_the_estimate_of_the_steps_that_ran_to_their_end():
    found = Estimate.of(job(*STEPS), STEPS, lambda *_: None)
    steps = (
        recorded("setup", 1, 5.0),
        recorded("test_python", 1, 690.0, Outcome.FAILED),
        recorded("test_aten", 2, 30.0),
        recorded("test_python", 3, 1.0, Outcome.INTERRUPTED),
    )
    run = RunRecord(id="a", job={}, started="", checkout="", steps=steps)
    assert found.compare(run).splitlines() == [
        "minutes estimated and taken",
        "  test_python 1  12.5 (run_test.py), took 11.5",
        "  test_aten 2  unknown, took 0.5",
    ]
    assert found.compare(RunRecord(id="a", job={}, started="", checkout="")) == ""
