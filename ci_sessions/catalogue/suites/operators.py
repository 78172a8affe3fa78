"""Operator benchmarks: eager operators on the CPU, single operators, attention."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.commands import (
    REPORTS,
    cpu_affinity,
    make_folder,
    pip_install,
)
from ci_sessions.catalogue.devices import ROCM
from ci_sessions.errors import InputError
from ci_sessions.job.variables import BASELINE_INDEX_URL, BUILD_ENVIRONMENT, OP_BENCHMARK_TESTS
from ci_sessions.plan.builders import command, export, install, replaces

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft, Item

OPERATORS = (
    *("matmul", "mm", "addmm", "bmm", "conv", "optimizer", "activation", "norm"),
    *("scaled_mm", "scaled_grouped_mm"),
)
NIGHTLY = "https://download.pytorch.org/whl/nightly"
CHANNELS = (("cuda12.8", "cu128"), ("cuda13", "cu130"), ("rocm", "rocm6.4"))
_HERE = "$ROOT/benchmarks/operator_benchmark"
_PINNED = ("taskset", "-c", q.CPU_RANGE.answer)


def _prepare(job: Job, checkout: Checkout) -> list[Item]:
    pip = ("python", "-m", "pip", "install", ".", "-v", "--no-build-isolation")
    # With a cold cache, MIOpen's exhaustive search can take hours per shape.
    fast = [export(MIOPEN_FIND_MODE="FAST")] if ROCM.is_in(job.build) else []
    return [
        make_folder(),
        cpu_affinity(checkout),
        install(*pip, cwd=f"{_HERE}/pt_extension"),
        *fast,
    ]


def operator_benchmark(job: Job, checkout: Checkout) -> list[Draft]:
    """Eager operators on the CPU, compared with expected times; test.sh has no GPU variant."""
    if not job.has("cpu"):
        return []
    size = next((name for name in ("long", "all") if job.has(name)), "short")
    out = f"{REPORTS}/operator_benchmark_eager_float32_cpu"
    run = ("python", "-m", "benchmark_all_test", "--device", "cpu", "--tag-filter", size)
    files = ("--output-csv", f"{out}.csv", "--output-json-for-dashboard", f"{out}.json")
    expected = q.ARCHITECTURE.answer + "_expected_ci_operator_benchmark_eager_float32_cpu.csv"
    check = ("python", "check_perf_csv.py", "--actual", f"{out}.csv", "--expected", expected)
    return [
        replaces(
            "test_operator_benchmark",
            _prepare(job, checkout),
            command(*_PINNED, *run, *files, cwd=_HERE),
            pip_install("pandas", cwd=_HERE),
            command(*check, cwd=_HERE),
        )
    ]


def operator_microbenchmark(job: Job, checkout: Checkout) -> list[Draft]:
    """Single operators, eager and compiled; a ``_baseline`` configuration measures the nightly."""
    named = re.search(r"operator_microbenchmark_(.+)_(test|baseline)", job.config)
    is_baseline = job.config.endswith("_baseline")
    operators = (named[1],) if named else job[OP_BENCHMARK_TESTS] or OPERATORS
    suffix = "_baseline" if is_baseline else ""
    steps: list[Item] = []
    if named:
        steps.append(export(OP_BENCHMARK_TESTS=named[1]))
    if is_baseline:
        steps.append(_nightly(job))
    steps += _prepare(job, checkout)
    title = ("--benchmark-name", "PyTorch operator microbenchmark")
    for operator in operators:
        run = ("python", "-m", f"pt.{operator}_test", "--tag-filter", "long")
        for mode, options in (("_compile", ("--use-compile",)), ("", ())):
            out = f"{REPORTS}/operator_microbenchmark_{operator}{mode}{suffix}.json"
            argv = (*run, "--output-json-for-dashboard", out, *title, *options)
            steps.append(command(*_PINNED, *argv, cwd=_HERE))
    return [replaces("test_operator_microbenchmark", steps)]


def _nightly(job: Job) -> Item:
    channel = next((name for text, name in CHANNELS if job.build.has(text)), None)
    if channel is None and not job[BASELINE_INDEX_URL]:
        raise InputError(
            f"{BUILD_ENVIRONMENT.name} is {job.build.label!r}, which has no known nightly channel: "
            f"set {BASELINE_INDEX_URL.name}."
        )
    index = job[BASELINE_INDEX_URL] or f"{NIGHTLY}/{channel}"
    return install("pip", "install", "--pre", "--force-reinstall", "--index-url", index, "torch")


def attention(job: Job, checkout: Checkout) -> list[Draft]:
    """Attention with score modifications."""
    gym = "git+https://github.com/meta-pytorch/attention-gym.git@main"
    config = ("--config", "configs/config_basic.yaml")
    out = ("--output-json-for-dashboard", f"{REPORTS}/attention_microbenchmark.json")
    return [
        replaces(
            "test_attention_microbenchmark",
            make_folder(),
            install("python", "-m", "pip", "install", gym),
            install("pip", "show", "triton"),
            command("python", "score_mod.py", *config, *out, cwd="$ROOT/benchmarks/transformer"),
        )
    ]
