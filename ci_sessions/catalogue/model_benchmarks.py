"""The commands of model benchmarks, for the modes in TEST_CONFIG and for the dashboard.

``dynamic_cpu_inductor_amp_freezing_timm`` is the timm suite with inductor on the CPU, dynamic
shapes, mixed precision and frozen weights.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.commands import REPORTS, benchmark, cpu_affinity, make_folder
from ci_sessions.catalogue.devices import ROCM
from ci_sessions.job.variables import DASHBOARD_TAG, EXPORT_PROFILER_TRACE
from ci_sessions.plan.builders import command, export
from ci_sessions.plan.step import Policy, Program, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Item

EXPECTED = "benchmarks/dynamo/ci_expected_accuracy"
ONE_B200_MODEL = {
    "huggingface": "DistillGPT2",
    "timm_models": "inception_v3",
    "torchbench": "BERT_pytorch",
}
DASHBOARD_DEVICES = (
    "cuda_a10g",
    ("h100", "cuda_h100"),
    ("b200", "cuda_b200"),
    "rocm",
    "xpu",
)


class Variant(NamedTuple):
    """A row of the dashboard: the tag that selects it, its name in CSV files, its options.

    ``accuracy_only`` and ``inference_only`` restrict where it applies; ``tail`` goes after the
    suite's own options; ``is_traced`` rows write a profile when EXPORT_PROFILER_TRACE=1.
    """

    tag: str
    name: str
    options: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    inference_only: bool = False
    accuracy_only: bool = False
    is_traced: bool = True
    backend: tuple[str, ...] = ("--backend", "inductor")


_TUNED = (("TORCHINDUCTOR_MAX_AUTOTUNE", "1"),)
_NO_GRAPHS = ("--disable-cudagraphs",)
DYNAMIC = ("--dynamic-shapes", "--dynamic-batch-only")
_FROZEN = ("--freezing",)

DASHBOARD = (
    Variant("default", "no_cudagraphs", _NO_GRAPHS),
    Variant("cudagraphs", "with_cudagraphs"),
    Variant("dynamic", "dynamic", DYNAMIC),
    Variant("cppwrapper", "cpp_wrapper", _NO_GRAPHS, env=(("TORCHINDUCTOR_CPP_WRAPPER", "1"),)),
    Variant("freezing_cudagraphs", "with_cudagraphs_freezing", tail=_FROZEN, inference_only=True),
    Variant(
        "freeze_autotune_cudagraphs",
        "with_cudagraphs_freezing_autotune",
        tail=_FROZEN,
        env=_TUNED,
        inference_only=True,
    ),
    Variant(
        "aotinductor",
        "export",
        _NO_GRAPHS,
        backend=("--export",),
        inference_only=True,
        accuracy_only=True,
        is_traced=False,
    ),
    Variant(
        "aotinductor",
        "aot_inductor",
        _NO_GRAPHS,
        backend=("--export-aot-inductor",),
        inference_only=True,
    ),
    Variant("maxautotune", "max_autotune", env=_TUNED),
    Variant(
        "deterministic_perf",
        "deterministic_perf",
        (*_NO_GRAPHS, "--deterministic"),
        is_traced=False,
    ),
    Variant(
        "batch_invariant_accuracy",
        "batch_invariant_accuracy",
        (*_NO_GRAPHS, "--batch-invariant"),
        accuracy_only=True,
        is_traced=False,
    ),
)


def _mode_flags(job: Job) -> list[str]:
    """Return the options that TEST_CONFIG implies: DYNAMO_BENCHMARK_FLAGS in test.sh."""
    flags: list[str] = []
    if job.has("dynamo_eager"):
        flags += ["--backend", "eager"]
    elif job.has("aot_eager"):
        flags += ["--backend", "aot_eager"]
    elif job.has("aot_inductor"):
        flags += ["--export-aot-inductor"]
    elif job.has("max_autotune_inductor"):
        flags += ["--inductor", "--inductor-compile-mode", "max-autotune"]
    elif job.has("inductor") and not job.has("perf"):
        flags += ["--inductor"]
    if job.has("dynamic"):
        flags += DYNAMIC
    device = next((name for name in ("cpu", "xpu") if job.has(name)), "cuda")
    return [*flags, "--device", device]


def dynamo_benchmark(job: Job, checkout: Checkout, suite: str) -> list[Item]:
    """Return the benchmark of one suite in the modes that the configuration names."""
    extra = ["--exclude-exact", "torchrec_dlrm"] if job.build.has("cuda13") else []
    if job.has("perf_compare"):
        return _compare(job, suite, ["--training", "--amp", *extra])
    if job.has("perf"):
        has_one_model = job.has("b200") and suite in ONE_B200_MODEL
        only = [export(TORCHBENCH_ONLY_MODELS=ONE_B200_MODEL[suite])] if has_one_model else []
        return [*only, *_dashboard(job, checkout, suite, extra)]
    if job.has("cpu"):
        precision = "--amp" if job.has("amp") else "--float32"
        frozen = ["--freezing"] if job.has("freezing") else []
        return _accuracy(job, suite, "inference", ["--inference", precision, *frozen, *extra])
    inference = _accuracy(job, suite, "inference", ["--inference", "--bfloat16", *extra])
    if job.has("aot_inductor") or job.has("max_autotune_inductor"):
        return inference
    return [*inference, *_accuracy(job, suite, "training", ["--training", "--amp", *extra])]


def _partition(job: Job) -> list[str]:
    number = str(job.shard.number - 1)
    return ["--total-partitions", str(job.shard.total), "--partition-id", number]


def _accuracy(job: Job, suite: str, mode: str, options: list[str]) -> list[Item]:
    """Run for accuracy, then compare with the expected results; both comparisons always run."""
    config = job.config.replace("_avx2", "").replace("_avx512", "")
    renamed: list[Item] = [export(TEST_CONFIG=config)] if config != job.config else []
    rocm = "rocm/" if ROCM.is_in(job.build) else ""
    actual = f"{REPORTS}/{mode}_{suite}.csv"
    both = ("--actual", actual, "--expected", f"{EXPECTED}/{rocm}{config}_{mode}.csv")
    check = ("python", "benchmarks/dynamo/check_accuracy.py", *both)
    graphs = ("python", "benchmarks/dynamo/check_graph_breaks.py", *both)
    always = ("--ci", "--accuracy", "--timing", "--explain", "--print-compilation-time")
    flags = (*_mode_flags(job), *options, *_partition(job))
    return [
        make_folder(),
        *renamed,
        benchmark(suite, *always, *flags, "--output", actual),
        command(*check, policy=Policy(defers_failure=True)),
        command(*graphs),
    ]


def _compare(job: Job, suite: str, options: list[str]) -> list[Item]:
    """Run for speed, for comparison with another commit's run."""
    name = f"training_{suite}"
    trace = _trace(job, name)
    flags = (*_mode_flags(job), *options, *_partition(job), *trace)
    always = ("--ci", "--performance", "--disable-cudagraphs", "--inductor")
    return [
        *_report_folders(job),
        benchmark(suite, *always, *flags, "--output", f"{REPORTS}/{name}.csv"),
    ]


def _report_folders(job: Job) -> list[Item]:
    traces = [make_folder(f"{REPORTS}/profiler_traces")] if job[EXPORT_PROFILER_TRACE] else []
    return [make_folder(), *traces]


def _trace(job: Job, name: str) -> list[str]:
    if not job[EXPORT_PROFILER_TRACE]:
        return []
    path = f"{REPORTS}/profiler_traces/{name}"
    return ["--export-profiler-trace", "--profiler-trace-name", path]


def _dashboard(job: Job, checkout: Checkout, suite: str, extra: list[str]) -> list[Item]:
    """Return accuracy and speed runs for each row of the dashboard that DASHBOARD_TAG selects."""
    shared = [*_mode_flags(job), *extra, *_partition(job)]
    runs = [
        _dashboard_run(job, suite, shared, *cell) for cell in dashboard_cells(job[DASHBOARD_TAG])
    ]
    if not job.has("cpu"):
        return [*_report_folders(job), *runs]
    return [*_report_folders(job), cpu_affinity(checkout), *map(pinned_to_cpus, runs)]


@functools.lru_cache
def dashboard_cells(tag: str) -> tuple[tuple[Variant, str, str], ...]:
    """Return the cells that a DASHBOARD_TAG selects: variant, mode, target."""
    modes = [mode for mode in ("training", "inference") if f"{mode}-true" in tag]
    return tuple(
        (variant, mode, target)
        for mode in modes
        for target in ("accuracy", "performance")
        for variant in _selected_variants(tag, mode, target)
    )


def _selected_variants(tag: str, mode: str, target: str) -> Iterator[Variant]:
    for variant in DASHBOARD:
        if f"{variant.tag}-true" not in tag:
            continue
        if variant.inference_only and mode != "inference":
            continue
        if variant.accuracy_only and target != "accuracy":
            continue
        yield variant


def _dashboard_run(  # noqa: PLR0913, PLR0917 - a cell's file name depends on all of these
    job: Job, suite: str, shared: list[str], variant: Variant, mode: str, target: str
) -> Step:
    """Run one cell of the dashboard: a variant in a mode (training, inference) for a target."""
    device = _dashboard_device(job.config)
    half = "amp" if device == "cpu_x86" else "bfloat16"
    precision = half if mode == "inference" else "amp"
    stem = f"inductor_{variant.name}_{suite}_{precision}_{mode}_{device}"
    extra = "--cold-start-latency" if target == "performance" else "--no-translation-validation"
    frozen = ["--freezing"] if "freezing-true" in job[DASHBOARD_TAG] else []
    is_traced = variant.is_traced and target == "performance"
    options = (
        *(f"--{target}", extra, *frozen, f"--{mode}", f"--{precision}"),
        *variant.backend,
        *variant.options,
        *shared,
        *variant.tail,
        *(_trace(job, stem) if is_traced else []),
        *("--output", f"{REPORTS}/{stem}_{target}.csv"),
    )
    return benchmark(suite, *options, env=dict(variant.env))


def pinned_to_cpus(step: Step) -> Step:
    """Return the step pinned to the job's CPUs (see ``cpu_affinity``)."""
    program = Program(("taskset", "-c", q.CPU_RANGE.answer, *step.argv))
    return replace(step, command=program)


@functools.lru_cache
def _dashboard_device(config: str) -> str:
    """Return the device's name in the dashboard's files."""
    if "cpu" in config:
        names = ("cpu_x86_zen", "cpu_x86", "cpu_aarch64")
        return next((name for name in names if name in config), "cuda")
    for entry in DASHBOARD_DEVICES:
        text, name = entry if isinstance(entry, tuple) else (entry, entry)
        if text in config:
            return name
    return "cuda"
