"""The nine configurations on a real PyTorch 2.6.0, as far as a CPU and two cores go.

Each row of the table that is printed at the end is a command of docs/real-pytorch.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from ci_sessions.records.store import read_runs

pytestmark = pytest.mark.long
FILES = "test_complex test_function_schema"
NO_CASE = "no test case ran"


@pytest.fixture
def run(modern, tmp_path):
    """Run a configuration without its installs; return the output and the record."""

    def run(*words, **variables):
        env = {**os.environ, **modern.variables, **variables}
        env.pop("GITHUB_ACTIONS", None)
        records = ("--checkout", str(modern.root), "--records", str(tmp_path / ".ci-sessions"))
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "ci_sessions", "run", *words, "--no-install", *records],
            cwd=tmp_path, env=env, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        print(done.stdout[-3000:], done.stderr[-1000:])
        record = read_runs(tmp_path / ".ci-sessions")[-1]
        seconds = time.monotonic() - began
        sets = "".join(f"{name}={value} " for name, value in variables.items())
        result = "passed" if done.returncode == 0 else f"exit {done.returncode}"
        print(
            f"| `{sets}run {' '.join(words)}` | {cases_of(record)} | {result} | {seconds:.0f} s |"
        )
        return done, record

    return run


def cases_of(record):
    counted = [step.cases for step in record.steps if step.cases]
    total, skipped, failed = (
        sum(getattr(cases, name) for cases in counted) for name in ("total", "skipped", "errors")
    )
    failed += sum(cases.failures for cases in counted)
    return f"{total:,} cases, {skipped:,} skipped, {failed:,} failed" if counted else "none"


def test_the_legacy_jit_hangs_after_its_first_failure_and_is_ended(run):
    """PyPI's wheel lacks a library that it loads; PyTorch then hangs when Python ends."""
    limit = ("--step-timeout", "4m")
    done, record = run("jit_legacy", "--test", "test_jit_legacy", *limit)
    (step,) = record.failed_steps
    assert (done.returncode, step.code) == (124, 124)
    (case,) = step.cases.failed
    assert case.name == "test_jit_legacy.py::TestBackends::test_errors"
    assert (case.file, case.test_file) == ("test/jit/test_backends.py", "test_jit_legacy")
    assert "cannot open shared object" in case.message
    assert step.cases.total > 200


def test_all_of_the_legacy_jit(modern):
    """Without run_test.py, in the environment of the job."""
    command = ("--exec", "bash", "-c", "cd test && exec python test_jit_legacy.py")
    done = subprocess.run(
        [sys.executable, "-m", "ci_sessions", "run", "jit_legacy", "--checkout", str(modern.root),
         *command],
        env={**os.environ, **modern.variables}, capture_output=True, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Ran 2454 tests" in done.stderr
    assert "FAILED (errors=34, skipped=137, expected failures=13)" in done.stderr


def test_python_with_selected_test_files(run):
    done, record = run("python", "--test", "test_python", TESTS_TO_INCLUDE=FILES, CI="1")
    assert done.returncode == 0
    assert "cases" in done.stdout
    assert sum(step.cases.total for step in record.steps if step.cases) == 30


def test_gloo(run):
    cases = ("--case", "test_allreduce_basics", "--case", "test_broadcast_basics")
    done, record = run("distributed", "--test", "test_c10d_gloo", *cases)
    assert done.returncode == 0
    (cases,) = (step.cases for step in record.steps if step.cases)
    assert cases.total - cases.skipped == 2


CPP = ("inductor_cpp_wrapper", "--test", "test_inductor_cpp_wrapper")


@pytest.mark.parametrize(
    "step",
    [
        ("--step", "7", "--case", "test_take_cpu_float32"),
        ("--step", "6", "--file", "inductor/test_torchinductor", "--case", "CpuTests.test_abs_cpu"),
    ],
)
def test_the_cpp_wrapper_compiles(run, step):
    done, record = run(*CPP, *step, TORCH_LOGS="output_code")
    assert done.returncode == 0
    assert "CppWrapperCodeCache" in done.stdout
    assert sum(step.cases.total for step in record.steps if step.cases) >= 1


def test_compiled_collectives(run):
    options = ("--step", "24", "--file", "distributed/test_inductor_collectives")
    done, record = run("inductor_distributed", "--test", "test_inductor_distributed", *options)
    assert done.returncode == 0
    (cases,) = (step.cases for step in record.steps if step.cases)
    assert cases.total - cases.skipped >= 1


def test_doctests(run):
    done, record = run("docs_test", "--test", "test_tutorials")
    (cases,) = (step.cases for step in record.steps if step.cases)
    assert done.returncode == 0
    assert cases.total - cases.skipped > 300


def test_what_needs_a_gpu_says_that_it_was_skipped(run):
    options = ("--step", "3", "--file", "test_matmul_cuda")
    done, _ = run("smoke", "--test", "test_smoke", *options, CI="1")
    assert done.returncode == 0
    assert "skipped" in done.stdout[done.stdout.index("\nPASSED") :] or NO_CASE in done.stdout


def test_a_selection_without_a_case_says_so(run):
    done, _ = run("smoke", "--test", "test_smoke", "--step", "4")
    assert done.returncode == 0
    assert NO_CASE in done.stdout


def test_a_model_of_hugging_face_is_compared_with_the_expected_results(run, modern):
    model = ("--test", "test_dynamo_benchmark", "--case", "DistilBertForMaskedLM")
    done, _ = run("cpu_inductor_huggingface", *model)
    assert done.returncode == 0
    assert "DistilBertForMaskedLM" in done.stdout
    assert done.stdout.count("PASS\n") == 2  # accuracy, graph breaks
    done, _ = run("cpu_inductor_huggingface", *model)
    assert done.returncode == 0, "the results of the first run are in the way"


def test_a_model_of_torchbench_cannot_run_without_its_repository(run):
    """It is cloned from GitHub; PyPI's packages named torchbench and torchbenchmark are others."""
    model = ("--test", "test_dynamo_benchmark", "--case", "BERT_pytorch")
    done, record = run("cpu_inductor_torchbench", *model)
    accuracy = record.failed_steps[0]
    assert done.returncode == 1
    assert "check_accuracy.py" in accuracy.command
    assert [case.name for case in accuracy.cases.failed] == ["BERT_pytorch"]
    assert "torchbench" in done.stdout


def test_options_that_the_release_does_not_know_are_named(modern):
    words = ("--build-environment", "linux-jammy-cuda12.4-py3.11-gcc11", "--shard", "1/3")
    done = subprocess.run(
        [sys.executable, "-m", "ci_sessions", "plan", "distributed", *words,
         "--checkout", str(modern.root)],
        env={**os.environ, **modern.variables}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "no option --multigpu-filter in test/run_test.py, which step" in done.stdout
