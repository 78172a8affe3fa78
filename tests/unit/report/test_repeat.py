from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from conftest import make_plan
from unit.report.test_run import run, step

from ci_sessions.records.record import Outcome
from ci_sessions.report.repeat import Invocation, repeat_lines

INVOCATION = Invocation(argv=("nox", "-s", "ci(config='x')", "--"), inputs={"X": "1 2"})


def again(failed, *, invocation=INVOCATION, env=MappingProxyType({})):
    return repeat_lines(
        make_plan("jit_legacy"), failed, invocation, root=Path("/py torch"), env=env
    )


def test_the_repeat_command_is_for_the_first_failed_step():
    failed = run(step(2, outcome=Outcome.FAILED), step(1, outcome=Outcome.FAILED))
    line = again(failed, env={"A": "1 2"})
    # there is no repeat command for a single probe
    assert line == "X='1 2' nox -s \"ci(config='x')\" -- --test test_jit_legacy --step 2"
    failed = run(step(1, outcome=Outcome.FAILED))
    assert again(failed, env={"A": "1 2", "B": None}).splitlines()[1] == (
        "or without ci_sessions: (cd '/py torch' && env -u B A='1 2' python test/run_test.py "
        "--include test_jit_legacy test_jit_fuser_legacy --verbose)"
    )
    plain = again(failed, invocation=None)
    assert plain.startswith("(cd '/py torch' && env python test/run_test.py")
    assert again(run()) == ""


def test_a_setup_step_is_repeated_with_bash():
    setup = run(step(5, test="setup", outcome=Outcome.FAILED))
    line = again(setup)
    assert "bash -c" in line
    assert "_crash_if_debug" in line
    assert "--step" not in line
