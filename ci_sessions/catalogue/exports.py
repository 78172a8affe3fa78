"""The environment that a job exports for all its steps.

The rules are in test.sh's order: if two rules set the same name, the later one wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.devices import CUDA, DEVICES, ROCM, device_exports
from ci_sessions.checkout.features import Feature
from ci_sessions.job.variables import (
    HF_CACHE,
    LD_PRELOAD,
    OMP_NUM_THREADS,
    PYTORCH_TEST_CUDA_MEM_LEAK_CHECK,
    USE_ARC,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job

__all__ = ["job_exports"]

_ASAN_OPTIONS = (
    "detect_leaks=0:symbolize=1:detect_stack_use_after_return=true:strict_init_order=true:"
    "detect_odr_violation=1:detect_container_overflow=0:check_initialization_order=true:debug=true"
)
_WITHOUT_VALGRIND = ("clang9", "s390x", "aarch64", "asan")


def job_exports(job: Job, checkout: Checkout) -> dict[str, str | None]:
    """Return the variables that the whole job exports; None removes one."""
    devices = [device.name for device in DEVICES if not device.has_valgrind]
    is_without_valgrind = any(job.build.has(name) for name in (*_WITHOUT_VALGRIND, *devices))
    variables: dict[str, str | None] = {
        "TERM": "vt100",  # no colour escapes in logs
        "PYTHONUNBUFFERED": "1",  # logs show output at once
        "PATH": "$HOME/.local/bin:$PATH",
        "LANG": "C.UTF-8",
    }
    if checkout.has(Feature.SERIALIZATION_DEBUG):
        variables["TORCH_SERIALIZATION_DEBUG"] = "1"
    variables["VALGRIND"] = "OFF" if is_without_valgrind else "ON"
    variables.update(device_exports(job, checkout))
    variables.update(_config_exports(job))
    variables.update(_sanitizer_exports(job))
    if job[USE_ARC] and not job[OMP_NUM_THREADS]:
        variables[OMP_NUM_THREADS.name] = q.QUARTER_OF_CPUS.answer
    if checkout.has_hf_cache and job.config != "onnx":
        variables["HF_HOME"] = job[HF_CACHE]
    variables.update(_legacy_exports(job, checkout))
    return variables


def _legacy_exports(job: Job, checkout: Checkout) -> Iterator[tuple[str, str | None]]:
    """Yield variables that only older versions of test.sh export."""
    if checkout.has(Feature.SKIPS_LEAK_CHECK):
        yield "PYTORCH_TEST_SKIP_CUDA_MEM_LEAK_CHECK", "0"
    if checkout.has(Feature.SPLIT_CUDA) and job.build.has("cuda11"):
        yield "BUILD_SPLIT_CUDA", "ON"


def _config_exports(job: Job) -> Iterator[tuple[str, str | None]]:
    is_rocm = ROCM.is_in(job.build)
    if job.config == "default":
        yield ("HIP_VISIBLE_DEVICES" if is_rocm else "CUDA_VISIBLE_DEVICES"), "0"
    if job.config == "distributed" and is_rocm:
        yield "HIP_VISIBLE_DEVICES", "0,1,2,3"
    if job.config == "slow":
        yield "PYTORCH_TEST_WITH_SLOW", "1"
        yield "PYTORCH_TEST_SKIP_FAST", "1"
    if job.build.has("slow-gradcheck"):
        yield "PYTORCH_TEST_WITH_SLOW_GRADCHECK", "1"
        yield PYTORCH_TEST_CUDA_MEM_LEAK_CHECK.name, "1"
    if job.has("crossref"):
        yield "PYTORCH_TEST_WITH_CROSSREF", "1"
    if job.config == "nogpu_NO_AVX2":
        yield "ATEN_CPU_CAPABILITY", "default"
    elif job.config == "nogpu_AVX512":
        yield "ATEN_CPU_CAPABILITY", "avx2"


def _sanitizer_exports(job: Job) -> Iterator[tuple[str, str | None]]:
    if job.build.is_asan:
        shadow = ":protect_shadow_gap=0" if CUDA.is_in(job.build) else ""
        yield "ASAN_OPTIONS", _ASAN_OPTIONS + shadow
        yield "UBSAN_OPTIONS", "print_stacktrace=1:suppressions=$ROOT/ubsan.supp"
        yield "PYTORCH_TEST_WITH_ASAN", "1"
        yield "PYTORCH_TEST_WITH_UBSAN", "1"
        yield "ASAN_SYMBOLIZER_PATH", "/usr/lib/llvm-21/bin/llvm-symbolizer"
        yield "TORCH_USE_RTLD_GLOBAL", "1"
        yield LD_PRELOAD.name, q.ASAN_RUNTIME.answer
    if job.build.has("-tsan"):
        yield "PATH", "/opt/python/cp314-cp314t+tsan/bin:$HOME/.local/bin:$PATH"
        yield "TSAN_OPTIONS", "log_path=$ROOT/test/test-reports/tsan_toprint.log"
        yield "PYTORCH_TEST_WITH_TSAN", "1"
