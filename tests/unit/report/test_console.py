from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_plan

from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.records.record import Case, Cases, Outcome, RunRecord, StepRecord
from ci_sessions.report.console import (
    ConsoleScreen,
    describe_plan,
    describe_run,
    duration,
    plan_script,
    repeat_command,
)

HERE = replace(RECORDED, root=Path("/py torch"), version="2.13.0")
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
    return RunRecord(**{**values, "steps": steps, **more})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (312, "5 min 12 s"), (7500, "2 h 05 min")],
)
def test_times_are_written_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_a_dry_run_of_a_distributed_job():
    plan = make_plan("distributed", "linux-jammy-cuda13.0-py3.10-gcc11", "1/3")
    text = describe_plan(plan, HERE, 0, {"SITE": "/site", "ROOT": "/py torch"}.__getitem__)
    assert text.startswith(
        "distributed · shard 1 of 3 · linux-jammy-cuda13.0-py3.10-gcc11 (cuda 13.0, python 3.10, gcc 11)\n"
        "row 15 of 56: config is distributed · suite distributed · phase 2C\n"
        "checkout /py torch (PyTorch 2.13.0)\n"
    )
    for line in (
        "  cd '/py torch'",
        "  ROOT='/py torch'",
        "  SITE=/site",
        "  export PYTORCH_TESTING_DEVICE_ONLY_FOR=cuda",
        "test_distributed                         replaces test.sh: test_distributed, test_rpc",
        "  3  python test/run_test.py --distributed-tests --multigpu-filter multigpu --shard 1 3 --verbose",
        '  7  CPP_TESTS_DIR="$SITE"/torch/bin python test/run_test.py --cpp --verbose -i cpp/FileStoreTest',
        "test_c10d_nccl                           added (not in test.sh)",
        "     # must print nothing new but ?? third_party",
    ):
        assert line in text.splitlines()
    assert text.endswith("needs 2 CUDA devices (this machine: none) · nothing was run")


def test_a_dry_run_says_what_is_skipped_and_what_differs():
    text = describe_plan(make_plan("distributed"), HERE, 0, str)
    assert "     skipped: NCCL needs CUDA, and the build is for cpu" in text
    assert text.endswith("needs no device · nothing was run")
    text = describe_plan(make_plan("default", "linux-libtorch"), HERE, 0, str)
    assert "note: libtorch-no-op: test.sh runs no test" in text
    one = make_plan("inductor", "linux-noble-rocm-py3.12", CONTINUE_THROUGH_ERROR="1")
    text = describe_plan(one, HERE, 2, str)
    assert "  unset HIP_PLATFORM" in text
    assert "  ulimit -c 0" in text
    assert "needs 1 ROCM device (this machine: 2)" in text


def test_a_plan_as_a_script_comments_out_what_is_skipped():
    script = plan_script(make_plan("distributed"), HERE, str)
    assert script.startswith("#!/bin/bash\n# distributed · shard 1 of 1")
    assert (
        "\n# test_c10d_nccl: skipped, NCCL needs CUDA, and the build is for cpu\n# python test"
        in script
    )
    assert "if ! ls" in plan_script(make_plan("timm"), HERE, str)


def test_the_end_of_a_red_run_names_cases_and_the_command_that_repeats():
    failed = tuple(Case(f"jit.T.test_{n}", "error", "OSError: lib.so") for n in range(35))
    cases = Cases(total=2693, errors=35, skipped=199, failed=failed, source="test/test-reports/x")
    bad = step(outcome=Outcome.FAILED, code=1, wall=154.0, cases=cases)
    good = step(test="test_jit", wall=158.0)
    text = describe_run(run(step(test="setup"), good, bad), "do it again", "r.jsonl")
    assert text == (
        "\nFAILED  jit_legacy on linux-jammy-py3.10-gcc11, shard 1 of 1 · 2 tests, 1 failed · 5 min 12 s\n"
        "\n"
        " ✓ test_jit                     exit 0     2 min 38 s\n"
        " ✗ test_jit_legacy              exit 1     2 min 34 s   2,693 cases: 35 errors, 199 skipped\n"
        "     step 1: python x\n"
        "     jit.T.test_0\n"
        "       OSError: lib.so\n"
        "     … 34 more, the same (test/test-reports/x)\n"
        "\n"
        "Repeat just this step:\n"
        "  do it again\n"
        "\n"
        "record: r.jsonl\n"
    )


def test_many_different_faults_are_cut_short():
    failed = tuple(Case(f"T.test_{n}", "failure", f"message {n}") for n in range(8))
    bad = step(outcome=Outcome.FAILED, code=1, cases=Cases(failures=8, failed=failed, source="s"))
    text = describe_run(run(bad), "", "r")
    assert text.count("message") == 5
    assert "… and 3 more (s)" in text
    assert "8 failures" in text


def test_other_ends():
    timed_out = step(outcome=Outcome.TIMED_OUT, code=124, note="ended after 5 s, its time limit")
    text = describe_run(run(timed_out), "", "r")
    assert "exit 124 (timed out)" in text
    assert "     ended after 5 s, its time limit" in text
    skipped = step(outcome=Outcome.SKIPPED, note="no GPU")
    text = describe_run(run(skipped, outcome=Outcome.NO_TEST), "", "r")
    assert "skipped: no GPU" in text
    assert "no test ran, so this is not a success" in text
    text = describe_run(run(step(), outcome=Outcome.RUNNER_ERROR, note="KeyError: 1"), "", "r")
    assert "the runner failed: KeyError: 1" in text
    assert describe_run(run(step(), outcome=Outcome.INTERRUPTED), "", "r").startswith(
        "\nINTERRUPTED"
    )
    routed = run(
        step(), route={"reason": "flag-on", "fallback": "bug", "detail": "d"}, runner="shell"
    )
    assert "route: shell: flag-on, d (Python could not: bug)" in describe_run(routed, "", "r")
    tail = step(outcome=Outcome.FAILED, code=1, tail=("Traceback", "Boom"))
    assert "       Boom\n" in describe_run(run(tail), "", "r")


def test_the_repeat_command_is_for_the_first_bad_step():
    plan = make_plan("jit_legacy")
    failed = run(step(2, outcome=Outcome.FAILED), step(1, outcome=Outcome.FAILED))
    again = repeat_command(
        plan,
        failed,
        words=("nox", "-s", "ci(config='x')", "--"),
        checkout=HERE,
        env={"A": "1 2", "B": None},
    )
    assert (
        again == "nox -s \"ci(config='x')\" -- --test test_jit_legacy --step 2"
    )  # a probe has no line of its own
    failed = run(step(1, outcome=Outcome.FAILED))
    again = repeat_command(plan, failed, words=("ci",), checkout=HERE, env={"A": "1 2", "B": None})
    assert again.splitlines()[1] == (
        "or without it: (cd '/py torch' && env -u B A='1 2' python test/run_test.py "
        "--include test_jit_legacy test_jit_fuser_legacy --verbose)"
    )
    setup = run(step(5, test="setup", outcome=Outcome.FAILED))
    again = repeat_command(plan, setup, words=("ci",), checkout=HERE, env={})
    assert "bash -c" in again
    assert "_crash_if_debug" in again
    assert repeat_command(plan, run(), words=("ci",), checkout=HERE, env={}) == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_colour_and_a_live_line():
    out = Terminal()
    screen = ConsoleScreen(out)
    screen.begin(step(), 9)
    screen.tick(3.2)
    screen.tick(3.3)
    screen.write("half")
    screen.tick(4.0)
    screen.end(step(outcome=Outcome.FAILED, code=3, note="why"))
    text = out.getvalue()
    assert "\x1b[" in text
    assert text.count("3.0 s") == 1
    assert "4.0 s" not in text, "a live line must not break a half line of output"
    assert "half\n" in text
    assert "✗ jit_legacy.test_jit_legacy.1 failed, exit 3 in 0.0 s · why" in text


def test_github_gets_groups_that_output_cannot_break_out_of():
    out = io.StringIO()
    screen = ConsoleScreen(out, on_github=True)
    screen.begin(step(), 2)
    screen.write("::error::forged\n")
    screen.end(step())
    lines = out.getvalue().splitlines()
    assert lines[0] == "::group::[1/2] jit_legacy.test_jit_legacy.1 · python x"
    mark = lines[1].removeprefix("::stop-commands::")
    assert len(mark) == 32
    assert lines[2:] == [
        "::error::forged", f"::{mark}::", "::endgroup::",
        "✓ jit_legacy.test_jit_legacy.1 passed in 0.0 s",
    ]  # fmt: skip
    screen.end(step(outcome=Outcome.SKIPPED, note="no GPU"))
    assert out.getvalue().endswith("- jit_legacy.test_jit_legacy.1 skipped: no GPU\n")
