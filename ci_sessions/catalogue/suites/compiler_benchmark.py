"""Benchmarks of the compiler itself: caches, compile time, single kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.commands import (
    REPORTS,
    benchmark,
    cpu_affinity,
    install_audio_and_vision,
    install_pinned_commit,
    make_folder,
    pip_install,
)
from ci_sessions.catalogue.devices import CUDA
from ci_sessions.plan.builders import bash, command, export, file_step, git, replaces, source

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft, Item
    from ci_sessions.plan.step import Step


def cachebench(job: Job, checkout: Checkout) -> list[Draft]:
    """Compile caches: torchbench on shard 1, huggingface on shard 2; training and inference."""
    name = {1: "torchbench", 2: "huggingface"}.get(job.shard.number)
    if name is None:
        return []
    steps: list[Step] = []
    for mode in ("training", "inference"):
        for dynamic, suffix in (((), ""), (("--dynamic",), "_dynamic")):
            out = f"{REPORTS}/cachebench_{name}_{mode}{suffix}.json"
            options = ("--device", "cuda", "--benchmark", name, "--repeat", "3", "--output", out)
            steps.append(benchmark("cachebench", "--mode", mode, *dynamic, *options))
    path = export(PYTHONPATH="/torchbench")
    return [replaces("test_cachebench", install_audio_and_vision(job), make_folder(), path, steps)]


def verify_cachebench(job: Job, checkout: Checkout) -> list[Draft]:
    """One model through the cache benchmark, which must write a result."""
    out = "$TMP/test.json"
    options = (
        "--device",
        "cpu",
        "--model",
        "nanogpt",
        "--benchmark",
        "torchbench",
        "--output",
        out,
    )
    return [
        replaces(
            "test_verify_cachebench",
            install_audio_and_vision(job),
            export(PYTHONPATH="/torchbench"),
            benchmark("cachebench", "--mode", "training", *options),
            bash('[ -s "$1" ] || { echo "cachebench wrote no $1"; exit 1; }', out),
        )
    ]


def pr_time(job: Job, checkout: Checkout) -> list[Draft]:
    """The compiler's instruction counts, compared with expected results."""
    folder = "benchmarks/dynamo/pr_time_benchmarks"
    path = {"PYTHONPATH": f"$ROOT/{folder}"}
    result = f"{REPORTS}/pr_time_benchmarks_results.csv"
    results = (f"{folder}/expected_results.csv", result, f"{REPORTS}/new_expected_results.csv")
    return [
        replaces(
            "pr_time_benchmarks",
            pip_install("fbscribelogger"),
            make_folder(),
            source(f"{folder}/benchmark_runner.sh", result, f"{folder}/benchmarks", env=path),
            command("python", f"{folder}/check_results.py", *results, env=path),
        )
    ]


def micro(job: Job, checkout: Checkout) -> list[Draft]:
    """GPT-fast with torchao."""
    arch: list[Item] = [export(TORCH_CUDA_ARCH_LIST="8.0;8.6")] if CUDA.is_in(job.build) else []
    pinned: list[Item] = [cpu_affinity(checkout)] if job.has("cpu") else []
    out = f"{REPORTS}/gpt_fast_benchmark.csv"
    return [
        replaces(
            "test_inductor_micro_benchmark",
            [*arch, *install_pinned_commit("ao", "ao", "torchao"), *pinned],
            command("python", "benchmarks/gpt_fast/benchmark.py", "--output", out),
        )
    ]


def better(job: Job, checkout: Checkout) -> list[Draft]:
    """Kernel reproducers from the better-benchmark project, run on every GPU."""
    clone = "$TMP/better-benchmark.${random}"
    url = "https://github.com/eellison/better-benchmark.git"
    debug = "$ROOT/test/debug/better-benchmark"
    out = f"{debug}/current.json"
    run = ("repros/canonical", "--all-shapes", "--gpus", q.GPU_INDICES.answer, "--output", out)
    report = ("--compare", out, out, "--ci-json", f"{REPORTS}/inductor_kernel_benchmark.json")
    return [
        replaces(
            "test_better_benchmark",
            file_step("mkdir", "-p", REPORTS, debug),
            git("clone", "--depth", "1", "--branch", "main", url, clone),
            command("python", "scripts/bench_parallel.py", *run, cwd=clone),
            command("python", "scripts/bench_report.py", *report, cwd=clone),
        )
    ]
