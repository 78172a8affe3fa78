"""The executor with real processes: order, cleanup, retries, exported variables, outcomes."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from dataclasses import replace

import pytest
from conftest import make_job
from integration.conftest import write_script

from ci_sessions.catalogue.judges import UNBACKED_PARITY
from ci_sessions.catalogue.questions import QUESTIONS, TORCHTITAN_IS_NOT_CLONED, VEC256_TESTS
from ci_sessions.cli.stdout import Stdout
from ci_sessions.plan.plan import Draft, Export, Plan, TestKind, assemble
from ci_sessions.plan.shell import ShellWriter
from ci_sessions.plan.step import (
    Expect,
    ForEach,
    Kind,
    Policy,
    Program,
    ShellFunction,
    SourcedFile,
    Step,
)
from ci_sessions.records import store
from ci_sessions.records.record import Outcome, RunRecord
from ci_sessions.report.console import ConsoleScreen
from ci_sessions.run.executor import Executor, Limits
from ci_sessions.run.machine import Machine
from ci_sessions.text import Redactor

POLICY = {
    "expect": "expect", "output": "required_output", "retry": "retry_waits", "always": "always",
    "defers": "defers_failure", "judge": "judge", "match": "skips_without_match",
}  # fmt: skip
"""Short names for the fields of a policy."""


def program(*argv, kind=Kind.TEST, **more):
    policy = Policy(**{POLICY[name]: more.pop(name) for name in list(more) if name in POLICY})
    command = Program(argv)
    return Step(kind=kind, command=command, policy=policy, is_test=kind is Kind.TEST, **more)


def sh(line, **more):
    return program("bash", "-c", line.replace("$", "$$"), **more)


def replacing(name, *items, kind=TestKind.REPLACES, **more):
    return Draft(name=name, kind=kind, items=items, replaces=(name,), **more)


def execute(root, *tests, setup=(), cleanup=(), env=None, journal=None, **more):
    """Run tests in a folder; return the record and the console output."""
    job = make_job(CONTINUE_THROUGH_ERROR="1" if more.get("keep_going") else "0")
    plan = Plan(
        job=job,
        row="",
        suites=(),
        env=env or {},
        setup=tuple(setup),
        tests=(),
        cleanup=tuple(cleanup),
        questions=QUESTIONS,
    )
    plan = assemble(plan, tests, before={}, scripts=".ci/pytorch")
    variables = {**os.environ, "MY_TOKEN": "hunter22"}
    out = io.StringIO()
    executor = Executor(
        plan=plan,
        machine=Machine(root, variables, QUESTIONS),
        screen=ConsoleScreen(Stdout(out)),
        journal=journal or store.create_journal(root / "records", "2026-01-01T00:00:00", "x"),
        redact=Redactor(variables),
        **more,
    )
    run = executor.run(RunRecord(id="1", job={}, started=""))
    return run, out.getvalue()


def outcomes(run):
    return [(step.test, step.number, str(step.outcome)) for step in run.steps]


def test_the_first_failure_ends_the_job_with_the_childs_own_code(tmp_path):
    run, _ = execute(
        tmp_path,
        replacing("a", sh("exit 0"), sh("exit 7"), sh("touch never")),
        replacing("b", sh("touch never")),
    )
    assert (run.outcome, run.exit_code) == (Outcome.FAILED, 7)
    assert outcomes(run) == [("a", 1, "passed"), ("a", 2, "failed")]
    assert not (tmp_path / "never").exists()


def test_keep_going_runs_the_rest_and_lists_all_that_failed(tmp_path):
    run, _ = execute(
        tmp_path,
        replacing("a", sh("exit 7"), sh("touch on")),
        replacing("b", sh("exit 8", kind=Kind.INSTALL), sh("touch never")),
        replacing("c", sh("exit 9")),
        keep_going=True,
    )
    assert [step.code for step in run.failed_steps] == [7, 8, 9]
    assert run.exit_code == 7
    assert (tmp_path / "on").exists()
    assert not (tmp_path / "never").exists(), "tests whose install failed are not run"


def test_an_added_test_stops_nothing_but_makes_the_job_red(tmp_path):
    added = replacing("mine", sh("exit 5"), kind=TestKind.ADDED)
    run, _ = execute(tmp_path, added, replacing("b", sh("touch on")))
    assert (run.outcome, run.exit_code) == (Outcome.FAILED, 5)
    assert (tmp_path / "on").exists()


def test_cleanup_runs_after_a_failure_and_does_not_change_the_outcome(tmp_path):
    run, _ = execute(
        tmp_path,
        replacing(
            "a",
            sh("touch made"),
            sh("exit 7"),
            sh("rm made && exit 3", kind=Kind.FILE, always=True),
        ),
        cleanup=[sh("touch last", kind=Kind.PROBE)],
    )
    assert run.exit_code == 7
    assert not (tmp_path / "made").exists()
    assert (tmp_path / "last").exists()


def test_cleanup_is_not_run_for_a_test_that_never_started(tmp_path):
    run, _ = execute(
        tmp_path,
        replacing("a", sh("exit 7")),
        replacing("b", sh("true"), sh("touch never", always=True)),
    )
    assert outcomes(run) == [("a", 1, "failed")]


def test_after_a_failed_setup_no_test_runs(tmp_path):
    run, _ = execute(
        tmp_path, replacing("a", sh("touch never")), setup=[sh("exit 4", kind=Kind.PREFLIGHT)]
    )
    assert run.exit_code == 4
    assert not (tmp_path / "never").exists()


def test_a_deferred_failure_counts_after_the_next_step(tmp_path):
    run, _ = execute(
        tmp_path, replacing("a", sh("exit 4", defers=True), sh("touch second"), sh("touch third"))
    )
    assert run.exit_code == 4
    assert (tmp_path / "second").exists()
    assert not (tmp_path / "third").exists()


def test_a_step_is_tried_again(tmp_path):
    line = "echo x >> tries; [ $(wc -l < tries) = 3 ]"
    run, _ = execute(
        tmp_path, replacing("a", sh(line, kind=Kind.INSTALL, retry=(0.0, 0.0)), sh("true"))
    )
    assert run.outcome is Outcome.PASSED
    assert len(run.steps) == 2
    run, _ = execute(tmp_path, replacing("a", sh("exit 3", retry=(0.0,))))
    assert run.exit_code == 3


@pytest.mark.parametrize(
    ("line", "more", "outcome", "note"),
    [
        ("exit 1", {"expect": Expect.FAILURE}, "passed", ""),
        ("exit 0", {"expect": Expect.FAILURE}, "failed", "expected to fail, but passed"),
        ("echo it: x; exit 1", {"expect": Expect.FAILURE, "output": "it: x"}, "passed", ""),
        (
            "exit 1",
            {"expect": Expect.FAILURE, "output": "x"},
            "failed",
            "failed as expected, but without 'x' in its output",
        ),
        ("exit 1", {"expect": Expect.ANYTHING}, "passed", ""),
        ("true", {"expect": Expect.NO_OUTPUT}, "passed", ""),
        ("echo a", {"expect": Expect.NO_OUTPUT}, "failed", "expected no output, but got:\na"),
    ],
)
def test_a_policy_decides_the_outcome(tmp_path, line, more, outcome, note):
    run, _ = execute(tmp_path, replacing("a", sh(line, **more), sh("true")))
    assert (str(run.steps[0].outcome), run.steps[0].note) == (outcome, note)


CLEAN = program(*("git", "status", "--porcelain"), kind=Kind.PROBE, expect=Expect.CLEAN_CHECKOUT)


def test_a_checkout_left_dirty_is_a_failure(checkout):
    run, _ = execute(
        checkout, replacing("a", sh("mkdir third_party; touch new third_party/x"), CLEAN)
    )
    assert run.outcome is Outcome.FAILED
    assert run.steps[-1].note == "the checkout was left dirty:\n?? new"


def test_earlier_changes_in_the_checkout_are_a_failure_only_on_ci(checkout):
    (checkout / "mine").write_text("")
    assert execute(checkout, replacing("a", sh("true"), CLEAN))[0].outcome is Outcome.PASSED
    assert (
        execute(checkout, replacing("a", sh("true"), CLEAN), on_ci=True)[0].outcome
        is Outcome.FAILED
    )


def test_records_do_not_dirty_the_checkout(checkout):
    journal = store.create_journal(checkout / ".ci-sessions", "2026-01-01T00:00:00", "x")
    run, _ = execute(checkout, replacing("a", sh("true"), CLEAN), journal=journal, on_ci=True)
    assert run.outcome is Outcome.PASSED


def test_outside_a_repository_there_is_nothing_to_compare(tmp_path):
    assert execute(tmp_path, replacing("a", sh("true"), CLEAN))[0].outcome is Outcome.PASSED


def test_steps_that_do_not_run_say_why(tmp_path):
    (tmp_path / "torchtitan").mkdir()
    run, text = execute(
        tmp_path,
        replacing(
            "a",
            sh("exit 1", skipped="because"),
            sh("exit 1", when=TORCHTITAN_IS_NOT_CLONED),
            Step(kind=Kind.TEST, command=ForEach(VEC256_TESTS, ("${each}",))),
            sh("true"),
        ),
        replacing("b", sh("exit 1"), skipped="no GPU"),
    )
    assert [step.note for step in run.steps] == [
        "because", "condition not met: torchtitan is not cloned", "no executable matches ./vec256_test*", "", "no GPU",
    ]  # fmt: skip
    assert "skipped: no GPU" in text
    assert run.outcome is Outcome.PASSED


def test_a_run_without_a_test_does_not_pass(tmp_path):
    run, _ = execute(tmp_path, replacing("a", sh("true", skipped="no"), sh("true", kind=Kind.FILE)))
    assert (run.outcome, run.exit_code) == (Outcome.NO_TEST, 2)


def test_each_executable_is_a_step_of_its_own(tmp_path):
    for name in ("vec256_test_a", "vec256_test_b"):
        write_script(
            tmp_path / "bin" / name,
            f"#!/bin/sh\necho {name} $1 >> out\n[ {name} = vec256_test_a ]\n",
        )
    (tmp_path / "bin" / "vec256_test_c").write_text("not executable")
    command = ForEach(VEC256_TESTS, ("${each}", "${each:name}"))
    step = Step(kind=Kind.TEST, command=command, cwd="bin", is_test=True)
    run, _ = execute(tmp_path, replacing("a", step))
    assert [step.id.rpartition(".")[2] for step in run.steps] == ["vec256_test_a", "vec256_test_b"]
    assert run.outcome is Outcome.FAILED
    assert (tmp_path / "bin" / "out").read_text().splitlines()[0] == "vec256_test_a vec256_test_a"


def test_exports_and_sourced_variables_reach_later_steps(tmp_path):
    (tmp_path / "vars.sh").write_text("export FROM_FILE=1; unset GONE\n")
    (tmp_path / "lib.sh").write_text("setup() { export FROM_FUNCTION=$1; }\n")
    check = 'echo "$FLAG $EXPORTED $FROM_FILE $FROM_FUNCTION [$GONE]" > seen'
    run, _ = execute(
        tmp_path,
        replacing(
            "a",
            Step(kind=Kind.SOURCE, command=SourcedFile(("./vars.sh",), exports=True)),
            Step(kind=Kind.HELPER, command=ShellFunction(("setup", "two words"), ("./lib.sh",))),
            Export({"EXPORTED": "yes"}),
            sh(check),
        ),
        env={"FLAG": "on", "GONE": "here"},
    )
    assert run.outcome is Outcome.PASSED, run
    assert (tmp_path / "seen").read_text() == "on yes 1 two words []\n"


def test_a_missing_helper_is_a_red_step(tmp_path):
    helper = Step(kind=Kind.HELPER, command=ShellFunction(("nope",), ("./none.sh",)))
    run, _ = execute(tmp_path, replacing("a", helper, sh("true")))
    assert (run.outcome, run.exit_code) == (Outcome.FAILED, 127)


def test_wildcards_are_expanded_and_missing_libraries_are_skipped(tmp_path):
    for name in ("liba.so", "libb.so"):
        (tmp_path / "lib" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "lib" / name).write_text("")
    (tmp_path / "bin").mkdir()
    link, none = (
        program("ln", "-sf", f"{tmp_path}/lib/{name}", "bin", kind=Kind.FILE, match=True)
        for name in ("lib${any}", "none${any}")
    )
    copy = program("cp", "lib/lib${any}.so", "bin", kind=Kind.FILE)
    run, _ = execute(tmp_path, replacing("a", link, none, sh("true")))
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["liba.so", "libb.so"]
    assert run.steps[1].note == f"no file matches {tmp_path}/lib/none*"
    lines = [ShellWriter().guarded_line(replace(step, number=0)) for step in (link, none)]
    shutil.rmtree(tmp_path / "bin")
    (tmp_path / "bin").mkdir()
    subprocess.run(["bash", "-ec", "\n".join(lines)], cwd=tmp_path, check=True)
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["liba.so", "libb.so"]
    run, _ = execute(
        tmp_path,
        replacing(
            "a", program("rm", "bin/liba.so", "bin/libb.so", kind=Kind.FILE), copy, sh("true")
        ),
    )
    assert run.outcome is Outcome.PASSED


def test_the_time_limits_of_a_step_and_a_job(tmp_path):
    run, _ = execute(tmp_path, replacing("a", sh("sleep 60")), limits=Limits(step=0.3))
    assert (run.steps[0].outcome, run.exit_code) == (Outcome.TIMED_OUT, 124)
    assert "time limit exceeded" in run.steps[0].note
    run, _ = execute(
        tmp_path,
        replacing("a", sh("sleep 60")),
        replacing("b", sh("touch never")),
        cleanup=[sh("touch cleaned", kind=Kind.PROBE)],
        limits=Limits(job=0.5),
        keep_going=True,
    )
    assert run.exit_code == 124
    assert not (tmp_path / "never").exists()
    assert (tmp_path / "cleaned").exists()


def test_secrets_reach_neither_screen_nor_record(tmp_path):
    journal = store.create_journal(tmp_path / "records", "2026-01-01T00:00:00", "x")
    line = 'echo "all $MY_TOKEN"; printf hun; sleep 0.6; echo ter22; echo "FAILED a::b - $MY_TOKEN"; exit 1'
    run, text = execute(tmp_path, replacing("a", sh(line), sh("echo hunter22")), journal=journal)
    recorded = journal.path.read_text()
    assert run.steps[0].cases.failed[0].message == "***"
    assert "hunter22" not in text + recorded
    assert "all ***" in text


def test_a_question_is_asked_just_before_it_is_needed(tmp_path):
    run, _ = execute(
        tmp_path,
        replacing("a", sh('[ "$OMP" = "$(n=$(( $(nproc) / 4 )); echo $(( n < 4 ? 4 : n )))" ]')),
        env={"OMP": "${ask:quarter_of_cpus}"},
    )
    assert run.outcome is Outcome.PASSED


def test_an_optional_question_without_an_answer_leaves_the_callers_value(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")
    write_script(tmp_path / "bin" / "nvidia-smi", "#!/bin/sh\nexit 9\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    run, _ = execute(
        tmp_path,
        replacing("a", sh('[ "$TORCH_CUDA_ARCH_LIST" = 9.0 ]')),
        env={"TORCH_CUDA_ARCH_LIST": "${ask:cuda_arch}"},
    )
    assert run.outcome is Outcome.PASSED


def test_an_error_in_the_runner_cleans_up_and_is_recorded(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("ours, with hunter22")

    monkeypatch.setattr(Machine, "environment", broken)
    run, _ = execute(tmp_path, replacing("a", sh("true")))
    assert (run.outcome, run.exit_code) == (Outcome.RUNNER_ERROR, 70)
    assert run.note == "ZeroDivisionError: ours, with ***"


def test_the_record_reads_back_as_it_was(tmp_path):
    journal = store.create_journal(tmp_path / "records", "2026-01-01T00:00:00", "x")
    run, _ = execute(tmp_path, replacing("a", sh("true"), sh("exit 3")), journal=journal)
    assert store.read_run(journal.path) == run
    assert run.steps[0].wall > 0
    assert run.steps[0].peak > 0


@pytest.mark.parametrize(
    ("slow_runs", "outcome", "runs"),
    [
        ("", "passed", 1),
        ("1", "passed", 3),
        ("1 2", "failed", 2),
        ("1 3", "failed", 3),
        ("2 3", "passed", 1),
    ],
)
def test_a_regression_counts_when_most_runs_say_so(tmp_path, slow_runs, outcome, runs):
    line = (
        "n=$(( $(cat n 2>/dev/null || echo 0) + 1 )); echo $n > n; "
        f"for slow in {slow_runs}; do [ $slow != $n ] || echo '  T5Small  10.0  10.9  +9.0%'; done"
    )
    run, _ = execute(tmp_path, replacing("a", sh(line, judge=UNBACKED_PARITY)))
    assert str(run.outcome) == outcome
    assert (tmp_path / "n").read_text().strip() == str(runs)


def test_a_model_that_fails_unbacked_is_a_failure(tmp_path):
    run, _ = execute(
        tmp_path,
        replacing("a", sh("echo '--- M ---'; echo 'unbacked FAILED'", judge=UNBACKED_PARITY)),
    )
    assert run.steps[0].note == "failed without backing: M"
    assert run.outcome is Outcome.FAILED


def test_the_time_limit_of_the_job_does_not_stop_cleanup(tmp_path):
    run, _ = execute(
        tmp_path,
        replacing(
            "a",
            sh("true"),
            sh("sleep 60"),
            sh("sleep 0.5; touch back", kind=Kind.FILE, always=True),
        ),
        cleanup=[sh("sleep 0.5; touch cleaned", kind=Kind.PROBE)],
        limits=Limits(job=1.0),
    )
    assert run.exit_code == 124
    assert (tmp_path / "back").exists()
    assert (tmp_path / "cleaned").exists()


def test_nothing_is_restored_that_was_never_changed(tmp_path):
    run, _ = execute(tmp_path, replacing("a", sh("exit 3"), sh("touch back", always=True)))
    assert outcomes(run) == [("a", 1, "failed")]


def test_an_error_in_one_cleanup_step_does_not_stop_the_next(tmp_path, monkeypatch, caplog):
    real = Machine.argv

    def broken(self, step, **more):
        if "broken" in step.argv:
            raise ZeroDivisionError
        return real(self, step, **more)

    test = replacing(
        "a",
        sh("true"),
        program("broken", kind=Kind.FILE, always=True),
        sh("touch next", always=True),
    )
    monkeypatch.setattr(Machine, "argv", broken)
    run, _ = execute(tmp_path, test)
    assert str(run.outcome) == "runner error"
    assert (tmp_path / "next").exists()


def test_a_crash_after_some_reports_still_shows_the_last_lines(tmp_path):
    report = tmp_path / "test" / "test-reports"
    line = f"mkdir -p '{report}'; echo '<s><testcase classname=\"A\" name=\"ok\"/></s>' > '{report}/a.xml'; echo THE REASON; exit 139"
    run, _ = execute(tmp_path, replacing("a", sh(line)))
    assert run.steps[0].cases.total == 1
    assert run.steps[0].tail == ("THE REASON",)


def test_the_same_class_in_two_test_files_is_two_cases(tmp_path):
    report = "test/test-reports"
    line = (
        f"mkdir -p {report}/one {report}/two; cd {report}; "
        'echo \'<s><testcase classname="T" name="a"><failure message="no"/></testcase></s>\' > one/x.xml; '
        'echo \'<s><testcase classname="T" name="a"/></s>\' > two/x.xml; exit 1'
    )
    run, _ = execute(tmp_path, replacing("a", sh(line)))
    assert (run.steps[0].cases.total, run.steps[0].cases.failures) == (2, 1)


def test_secrets_in_names_and_at_the_edge_of_a_message_are_hidden(tmp_path):
    journal = store.create_journal(
        tmp_path / "records", "2026-01-01T00:00:00", "x", Redactor({"MY_TOKEN": "hunter22"})
    )
    line = "printf 'FAILED a::b[%s] - %0295d%s\\n' $MY_TOKEN 0 $MY_TOKEN; exit 1"
    execute(tmp_path, replacing("a", sh(line)), journal=journal)
    recorded = journal.path.read_text()
    assert "a::b[***]" in recorded
    assert "hunt" not in recorded


def test_a_question_that_must_be_answered_ends_the_run(tmp_path):
    run, _ = execute(tmp_path, replacing("a", sh("true", env={"X": "${ask:previous_commit}"})))
    assert str(run.outcome) == "runner error"
    assert "no answer to 'previous_commit'" in run.note


def test_an_error_in_the_jobs_cleanup_fails_the_run(tmp_path, monkeypatch):
    real = Machine.environment
    monkeypatch.setattr(
        Machine,
        "environment",
        lambda self, *layers: 1 / 0 if "CLEAN" in layers[-1] else real(self, *layers),
    )
    run, _ = execute(
        tmp_path,
        replacing("a", sh("true")),
        cleanup=[sh("true", kind=Kind.PROBE, env={"CLEAN": "1"})],
    )
    assert (str(run.outcome), run.exit_code) == ("runner error", 70)
    assert run.note == "cleanup: ZeroDivisionError: division by zero"


def test_the_output_of_each_step_is_in_its_log(checkout):
    journal = store.create_journal(checkout / ".ci-sessions", "2026-01-01T00:00:00", "x")
    steps = (sh("echo first; echo $MY_TOKEN; exit 3"),)
    run, _ = execute(checkout, replacing("a", *steps), journal=journal)
    (step,) = run.steps
    log = checkout / ".ci-sessions" / "logs" / "2026-01-01T00-00-00-x" / f"{step.id}.log"
    assert step.log == str(log)
    assert log.read_text() == "first\n***\n"
    assert store.read_run(journal.path).steps[0].log == step.log
