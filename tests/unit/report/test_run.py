from __future__ import annotations

import re

from ci_sessions.records.record import Case, Cases, Outcome, RunRecord, StepRecord
from ci_sessions.records.route import Reason, RouteRecord, Runner
from ci_sessions.report.run import describe_run

JOB = {
    "config": "jit_legacy",
    "build_environment": "linux-jammy-py3.10-gcc11",
    "shard": 1,
    "num_shards": 1,
}


def step(number=1, test="test_jit_legacy", outcome=Outcome.PASSED, **more):
    values = {"id": f"jit_legacy.{test}.{number}", "kind": "test", "command": "python x", "code": 0}
    return StepRecord(**{**values, "test": test, "number": number, "outcome": outcome, **more})


def run(*steps, **more):
    values = {"id": "1", "job": JOB, "started": "", "outcome": Outcome.FAILED, "wall": 312.0}
    route = more.get("route")
    runner = route.runner if route else Runner.PYTHON
    return RunRecord(**{**values, "steps": steps, "runner": runner, **more})


def attempt(reason, runner="python", **more):
    """Return the route of a record."""
    who = Runner(runner)
    return RouteRecord(runner=who, intended=Runner.PYTHON, reason=Reason(reason), **more)


def test_the_end_of_a_red_run_names_cases_and_the_command_that_repeats():
    failed = tuple(Case(f"jit.T.test_{n}", "error", "OSError: lib.so") for n in range(35))
    cases = Cases(total=2693, errors=35, skipped=199, failed=failed, source="test/test-reports/x")
    bad = step(outcome=Outcome.FAILED, code=1, wall=154.0, cases=cases)
    good = step(test="test_jit", wall=158.0)
    text = describe_run(
        run(step(test="setup"), good, bad), {"this step": ["do it again"]}, "r.jsonl"
    )
    assert text == (
        "\nFAILED  jit_legacy on linux-jammy-py3.10-gcc11, shard 1 of 1 · 2 tests, 1 failed · 5 min 12 s\n"
        "\n"
        " ✓ test_jit                     exit 0     2 min 38 s\n"
        " ✗ test_jit_legacy              exit 1     2 min 34 s   2,693 cases: 35 errors, 199 skipped\n"
        "     step 1: python x\n"
        "     jit.T.test_0\n"
        "       OSError: lib.so\n"
        "     … 34 more with this message (test/test-reports/x)\n"
        "\n"
        "Repeat this step:\n"
        "  do it again\n"
        "\n"
        "record: r.jsonl\n"
    )


def test_only_some_of_many_failures_are_shown():
    failed = tuple(Case(f"T.test_{n}", "failure", f"message {n}") for n in range(8))
    bad = step(outcome=Outcome.FAILED, code=1, cases=Cases(failures=8, failed=failed, source="s"))
    text = describe_run(run(bad), {}, "r")
    assert text.count("message") == 5
    assert "… and 3 more (s)" in text
    assert "8 failures" in text


def test_other_ends():
    note = "terminated after 5 s: time limit exceeded"
    timed_out = step(outcome=Outcome.TIMED_OUT, code=124, note=note)
    text = describe_run(run(timed_out), {}, "r")
    assert "exit 124 (timed out)" in text
    assert f"     {note}" in text
    skipped = step(outcome=Outcome.SKIPPED, note="no GPU")
    text = describe_run(run(skipped, outcome=Outcome.NO_TEST), {}, "r")
    assert "skipped: no GPU" in text
    assert "no test ran, so the run failed" in text
    text = describe_run(run(step(), outcome=Outcome.RUNNER_ERROR, note="KeyError: 1"), {}, "r")
    assert "the runner failed: KeyError: 1" in text
    assert describe_run(run(step(), outcome=Outcome.INTERRUPTED), {}, "r").startswith(
        "\nINTERRUPTED"
    )
    routed = run(step(), route=attempt("flag-on", runner="shell", fallback="bug", detail="d"))
    route = "route: shell: flag-on, d (Python could not run it: bug)"
    assert route in describe_run(routed, {}, "r")
    tail = step(outcome=Outcome.FAILED, code=1, tail=("Traceback", "Boom"))
    assert "       Boom\n" in describe_run(run(tail), {}, "r")


def test_a_count_of_one_is_singular():
    cases = Cases(total=1, failures=1, failed=(Case("T.test", "failure", "no"),), source="s")
    text = describe_run(run(step(outcome=Outcome.FAILED, code=1, cases=cases)), {}, "r")
    assert "1 test, 1 failed" in text
    assert "1 case: 1 failure" in text


def test_the_place_and_the_signal_are_named():
    failed = (Case("T.test_a", "error", "OSError: x", "test/a.py", 7),)
    text = describe_run(
        run(step(outcome=Outcome.FAILED, code=139, cases=Cases(failed=failed))), {}, "r"
    )
    assert re.search(r"T\.test_a +test/a\.py:7\n", text)
    assert "exit 139 (SIGSEGV)" in text
