"""The environment that a job exports for all its steps, and the checks that come before them.

The order is test.sh's: where two rules set the same name, the later one wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.plan.builders import source
from ci_sessions.plan.placeholders import ask
from ci_sessions.plan.plan import Expect, Kind, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job

__all__ = ["cleanup_steps", "job_flags", "setup_steps"]

_ASAN_OPTIONS = (
    "detect_leaks=0:symbolize=1:detect_stack_use_after_return=true:strict_init_order=true:"
    "detect_odr_violation=1:detect_container_overflow=0:check_initialization_order=true:debug=true"
)
_ONEAPI = "/opt/intel/oneapi"
_WORKSPACE = "/var/lib/jenkins/workspace"


def job_flags(job: Job, checkout: Checkout) -> dict[str, str | None]:
    """Return what the whole job exports; None removes a variable."""
    flags: dict[str, str | None] = {
        "TERM": "vt100",  # no colour escapes in a log
        "PYTHONUNBUFFERED": "1",  # output arrives as it is written
        "PATH": "$HOME/.local/bin:$PATH",
        "LANG": "C.UTF-8",
        "TORCH_SERIALIZATION_DEBUG": "1",
        "VALGRIND": "OFF" if _is_without_valgrind(job) else "ON",
    }
    for group in (_device_flags, _config_flags, _sanitizer_flags):
        flags.update(group(job))
    if job.use_arc and not job.inherit("OMP_NUM_THREADS"):
        flags["OMP_NUM_THREADS"] = ask("quarter_of_cpus")
    if checkout.has_hf_cache and job.config != "onnx":
        flags["HF_HOME"] = job.hf_cache
    flags.update(_older_flags(job, checkout))
    if "detect_cuda_arch" in checkout.lacks:
        flags.pop("TORCH_CUDA_ARCH_LIST", None)
    return {name: value for name, value in flags.items() if name not in checkout.lacks}


def _older_flags(job: Job, checkout: Checkout) -> Iterator[tuple[str, str | None]]:
    """Give what only the scripts of older trees export."""
    if "PYTORCH_TEST_SKIP_CUDA_MEM_LEAK_CHECK" in checkout.keeps:
        yield "PYTORCH_TEST_SKIP_CUDA_MEM_LEAK_CHECK", "0"
    if "BUILD_SPLIT_CUDA" in checkout.keeps and job.build.has("cuda11"):
        yield "BUILD_SPLIT_CUDA", "ON"


def _is_without_valgrind(job: Job) -> bool:
    return any(
        job.build.has(word) for word in ("clang9", "xpu", "s390x", "rocm", "aarch64", "asan")
    )


def _device_flags(job: Job) -> Iterator[tuple[str, str | None]]:
    build = job.build
    if build.is_rocm:
        yield "HIP_PLATFORM", None  # hipcc finds it out; a preset one breaks builds
        yield "PYTORCH_TEST_WITH_ROCM", "1"
        yield "HSA_FORCE_FINE_GRAIN_PCIE", "1"
        yield "TORCHINDUCTOR_COMPILE_WORKER_WAIT_TIMEOUT", "300"
        yield "TORCHINDUCTOR_COMPILE_THREADS", "16"
    if build.is_cuda:
        question = "cuda_arch_or_8" if job.has("nogpu") else "cuda_arch"
        yield "TORCH_CUDA_ARCH_LIST", ask(question)
    if build.is_gpu:
        yield "PYTORCH_TESTING_DEVICE_ONLY_FOR", "cuda"
    elif build.is_xpu:
        yield "PYTORCH_TESTING_DEVICE_ONLY_FOR", "xpu"
        yield "PYTHON_TEST_EXTRA_OPTION", "--xpu"
        yield "NO_TEST_TIMEOUT", "True"
    elif build.has("pallas-tpu"):
        yield "PYTORCH_TESTING_DEVICE_ONLY_FOR", "tpu"


def _config_flags(job: Job) -> Iterator[tuple[str, str | None]]:
    rocm = job.build.is_rocm
    if job.config == "default":
        yield ("HIP_VISIBLE_DEVICES" if rocm else "CUDA_VISIBLE_DEVICES"), "0"
    if job.config == "distributed" and rocm:
        yield "HIP_VISIBLE_DEVICES", "0,1,2,3"
    if job.config == "slow":
        yield "PYTORCH_TEST_WITH_SLOW", "1"
        yield "PYTORCH_TEST_SKIP_FAST", "1"
    if job.build.has("slow-gradcheck"):
        yield "PYTORCH_TEST_WITH_SLOW_GRADCHECK", "1"
        yield "PYTORCH_TEST_CUDA_MEM_LEAK_CHECK", "1"
    if job.has("crossref"):
        yield "PYTORCH_TEST_WITH_CROSSREF", "1"
    if job.config == "nogpu_NO_AVX2":
        yield "ATEN_CPU_CAPABILITY", "default"
    elif job.config == "nogpu_AVX512":
        yield "ATEN_CPU_CAPABILITY", "avx2"


def _sanitizer_flags(job: Job) -> Iterator[tuple[str, str | None]]:
    if job.build.is_asan:
        shadow = ":protect_shadow_gap=0" if job.build.is_cuda else ""
        yield "ASAN_OPTIONS", _ASAN_OPTIONS + shadow
        yield "UBSAN_OPTIONS", "print_stacktrace=1:suppressions=$ROOT/ubsan.supp"
        yield "PYTORCH_TEST_WITH_ASAN", "1"
        yield "PYTORCH_TEST_WITH_UBSAN", "1"
        yield "ASAN_SYMBOLIZER_PATH", "/usr/lib/llvm-21/bin/llvm-symbolizer"
        yield "TORCH_USE_RTLD_GLOBAL", "1"
        yield "LD_PRELOAD", ask("asan_runtime")
    if job.build.has("-tsan"):
        yield "PATH", "/opt/python/cp314-cp314t+tsan/bin:$HOME/.local/bin:$PATH"
        yield "TSAN_OPTIONS", "log_path=$ROOT/test/test-reports/tsan_toprint.log"
        yield "PYTORCH_TEST_WITH_TSAN", "1"


def setup_steps(job: Job, checkout: Checkout) -> list[Step]:
    """Return what test.sh does before it looks at TEST_CONFIG."""
    packages = [*_older_packages(job, checkout), *_packages(job)]
    return [*_workspace(), *packages, *_device_setup(job), *_preflight(job)]


def cleanup_steps() -> list[Step]:
    """Return what must happen however the job ends: the workspace gets its owner back."""
    owner = ("sudo", "chown", "-R", ask("workspace_owner"), _WORKSPACE)
    return [_probe(*owner, when="workspace is jenkins'")]


def _probe(*argv: str, when: str | None = None, expect: Expect = Expect.SUCCESS) -> Step:
    return Step(kind=Kind.PROBE, argv=argv, when=when, expect=expect)


def _workspace() -> Iterator[Step]:
    when = "workspace is jenkins'"
    yield _probe("sudo", "chown", "-R", "jenkins", _WORKSPACE, when=when)
    yield _probe("git", "config", "--global", "--add", "safe.directory", _WORKSPACE, when=when)


def _packages(job: Job) -> Iterator[Step]:
    """Bring the installed packages into the state that the tests assume."""

    def uninstall(name: str) -> Step:
        argv = ("pip", "uninstall", "-y", name)
        return Step(kind=Kind.INSTALL, argv=argv, expect=Expect.ANYTHING)

    if job.build.is_cuda:  # numba crashes with CUDA 13 without it
        patch = ("patch", "-p4", "-N", "-r", "-", "-d", ask("numba_cuda_dir"))
        yield Step(
            kind=Kind.INSTALL,
            argv=(*patch, "-i", "$ROOT/.ci/pytorch/numba-cuda-13.patch"),
            when="numba.cuda is installed",
            expect=Expect.ANYTHING,  # an already patched numba is what we want
        )
    if job.config != "onnx":
        yield uninstall("onnxruntime")
    if job.build.label.endswith("py3.10-gcc11"):  # serialization must work without dill
        yield uninstall("dill")


def _older_packages(job: Job, checkout: Checkout) -> Iterator[Step]:
    """Give what only the scripts of older trees install."""
    with_conda = ("centos", "linux-bionic", "linux-focal")
    if "conda install -q -y cmake" in checkout.keeps and (
        job.has("xla") or any(job.build.has(word) for word in with_conda)
    ):
        yield Step(kind=Kind.INSTALL, argv=("conda", "install", "-q", "-y", "cmake"))
    if "pip_install --user ninja" in checkout.keeps and not job.build.has("-bazel-"):
        argv = ("pip", "install", "--progress-bar", "off", "--user", "ninja")
        yield Step(kind=Kind.INSTALL, argv=argv, retry=(0.0, 0.0))


def _device_setup(job: Job) -> Iterator[Step]:
    if job.build.is_rocm:
        yield _probe("rocminfo")
    if job.build.is_xpu:
        yield source(f"{_ONEAPI}/compiler/latest/env/vars.sh", keeps_env=True)
        yield source(f"{_ONEAPI}/umf/latest/env/vars.sh", keeps_env=True, when="umf is installed")
        for part in ("tcm", "ccl", "mpi", "pti"):
            yield source(f"{_ONEAPI}/{part}/latest/env/vars.sh", keeps_env=True)
        yield _probe("timeout", "30", "xpu-smi", "discovery", expect=Expect.ANYTHING)


def _preflight(job: Job) -> Iterator[Step]:
    """Check that the installed torch is the one that the label promises."""

    def python(code: str, expect: Expect = Expect.SUCCESS) -> Step:
        argv = ("python", "-c", f"import torch; {code}")
        return Step(kind=Kind.PREFLIGHT, argv=argv, cwd="$ROOT/test", expect=expect)

    if job.build.is_asan:  # each must crash, else the sanitizer is not at work
        yield python("print(torch.__version__, torch.version.git_version)")
        yield python("torch._C._crash_if_csrc_asan(3)", Expect.FAILURE)
        yield python("torch._C._crash_if_vptr_ubsan()", Expect.FAILURE)
        yield python("torch._C._crash_if_aten_asan(3)", Expect.FAILURE)
    if job.build.has("-tsan"):
        wheel = ("python", "-m", "pip", "install", ask("wheel") + "[opt-einsum]")
        yield Step(kind=Kind.INSTALL, argv=wheel)
    yield python(
        "torch._C._crash_if_debug_asserts_fail(424242)",
        Expect.FAILURE if job.build.is_debug else Expect.SUCCESS,
    )
    if not job.build.has("libtorch") and not job.has("pr_time_benchmarks"):
        yield python("print(torch.__config__.show())")
        yield python("print(torch.__config__.parallel_info())")
