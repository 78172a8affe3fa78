"""What PyTorch's jobs need to know about the machine, and the conditions of conditional steps.

``resources/profile.toml`` has the answers of the machine that recorded the traces.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.plan.facts import Condition, Executables, Question

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["QUESTIONS"]

_AFFINITY = "python -c 'import os; print({0}(os.sched_getaffinity(0)))'"
_THREADS_PER_CORE = "lscpu | awk '/^Thread.s. per core:/ {print $4}'"
_ROCM_PART = (
    "awk '/ROCM_VERSION_{0}/ {{print $3}}' "
    '"$(ls "$ROCM_HOME"/include/rocm-core/rocm_version.h "$ROCM_HOME"/include/rocm_version.h '
    '2>/dev/null | head -n 1)"'
)

CUDA_ARCH = Question(
    name="cuda_arch",
    line="nvidia-smi --query-gpu=compute_cap --format=csv 2>/dev/null | tail -n 1",
    is_optional=True,
)
CUDA_ARCH_OR_8 = Question(
    name="cuda_arch_or_8",
    line="if command -v nvidia-smi >/dev/null; then "
    "nvidia-smi --query-gpu=compute_cap --format=csv | tail -n 1; else echo 8.0; fi",
)
ASAN_RUNTIME = Question(
    name="asan_runtime", line="clang --print-file-name=libclang_rt.asan-x86_64.so"
)
JEMALLOC = Question(name="jemalloc", line="find /usr/lib -name libjemalloc.so.2")
TBB = Question(name="tbb", line='find "$(dirname "$(which python)")/../lib/" -name libtbb.so.12')
ARCHITECTURE = Question(name="architecture", line="uname -m")
CORES = Question(name="cores", line=f"echo $(( $(nproc) / $({_THREADS_PER_CORE}) ))")
CPU_RANGE = Question(
    name="cpu_range",
    line=f"echo $({_AFFINITY.format('min')})-"
    f"$(( $({_AFFINITY.format('max')}) - $({_THREADS_PER_CORE}) ))",
)
QUARTER_OF_CPUS = Question(
    name="quarter_of_cpus", line="n=$(( $(nproc) / 4 )); echo $(( n < 4 ? 4 : n ))"
)
PANDAS_PIN = Question(
    name="pandas_pin",
    line="v=$(python -c 'import pandas; print(pandas.__version__)' 2>/dev/null) && "
    'echo "pandas==$v --force-reinstall"',
    is_list=True,
)
NUMBA_CUDA_DIR = Question(
    name="numba_cuda_dir",
    line="python -c 'import os, numba.cuda; print(os.path.dirname(numba.cuda.__file__))'"
    " 2>/dev/null",
)
WORKSPACE_OWNER = Question(name="workspace_owner", line="stat -c %u /var/lib/jenkins/workspace")
CUTLASS_DIR = Question(
    name="cutlass_dir", line="realpath ./third_party/cutlass", is_about_checkout=True
)
DTENSOR_TESTS = Question(
    name="dtensor_tests",
    line="find test/distributed/tensor -name 'test_*.py' -printf '%P\\n'"
    " | sed 's|\\.py$||; s|^|distributed/tensor/|' | sort | tr '\\n' ' '",
    is_list=True,
    is_about_checkout=True,
)
ROCM_VERSION = Question(
    name="rocm_version",
    line=f"echo $({_ROCM_PART.format('MAJOR')}).$({_ROCM_PART.format('MINOR')})",
)
PREVIOUS_COMMIT = Question(name="previous_commit", line='git rev-parse "$SHA1^"', is_needed=True)
MERGE_BASE = Question(name="merge_base", line='git merge-base "$SHA1" "$BASE_SHA"', is_needed=True)
WHEEL = Question(name="wheel", line="echo dist/*.whl")
HEAD_COMMIT = Question(name="head_commit", line='echo "${SHA1:-$(git rev-parse HEAD)}"')
GPU_INDICES = Question(
    name="gpu_indices",
    line='python -c \'import torch; n = torch.cuda.device_count(); assert n, "no GPU"; '
    'print(",".join(map(str, range(n))))\'',
    is_needed=True,
)

QUESTIONS: Mapping[str, Question] = MappingProxyType(
    {value.name: value for value in list(globals().values()) if isinstance(value, Question)}
)
"""All questions by the names that templates use."""

WORKSPACE_IS_JENKINS = Condition(
    name="workspace_is_jenkins",
    description="the workspace is the jenkins user's, and sudo works",
    line="[ -d /var/lib/jenkins/workspace ] && sudo -n true 2>/dev/null",
    is_fixed=True,
)
NUMBA_CUDA_IS_INSTALLED = Condition(
    name="numba_cuda_is_installed",
    description="numba.cuda is installed",
    line="python -c 'import numba.cuda' 2>/dev/null",
)
UMF_IS_INSTALLED = Condition(
    name="umf_is_installed",
    description="umf is installed",
    line="[ -f /opt/intel/oneapi/umf/latest/env/vars.sh ]",
)
MOBILE_NNC_IS_BUILT = Condition(
    name="mobile_nnc_is_built",
    description="the mobile nnc test is built",
    line='[ -f "$SITE"/torch/bin/test_mobile_nnc ]',
)
AOT_COMPILER_IS_BUILT = Condition(
    name="aot_compiler_is_built",
    description="the aot compiler test is built",
    line='[ -f "$SITE"/torch/bin/aot_model_compiler_test ]',
)
MPIEXEC_IS_INSTALLED = Condition(
    name="mpiexec_is_installed",
    description="mpiexec is installed",
    line="command -v mpiexec >/dev/null",
    is_fixed=True,
)
PYTHON_IS_3_12 = Condition(
    name="python_is_3_12",
    description="python is 3.12 or newer",
    line="v=$(python3 -c 'import sys; v = sys.version_info; print(f\"{v.major}.{v.minor}\")')"
    ' && [ "$(printf \'3.12\\n%s\\n\' "$v" | sort -V | head -n 1)" = 3.12 ]',
)
TSAN_REPORTS_EXIST = Condition(
    name="tsan_reports_exist",
    description="tsan reports exist",
    line="ls test/test-reports/tsan_toprint.log.* >/dev/null 2>&1",
)
XLA_IS_NOT_CLONED = Condition(
    name="xla_is_not_cloned",
    description="xla is not cloned",
    line="[ ! -d ./xla ]",
    is_about_checkout=True,
)
TORCHTITAN_IS_NOT_CLONED = Condition(
    name="torchtitan_is_not_cloned",
    description="torchtitan is not cloned",
    line="[ ! -d ./torchtitan ]",
    is_about_checkout=True,
)


def has_no_wheel(name: str) -> Condition:
    """Return the condition that a project's wheel has not been built yet."""
    return Condition(
        name=f"{name}_has_no_wheel",
        description=f"{name} has no wheel",
        line=f"! ls dist/{name}/*.whl >/dev/null 2>&1",
    )


VEC256_TESTS = Executables(name="vec256 tests", patterns=("./vec256_test*",))
XPU_BINARIES = Executables(name="xpu binaries", patterns=("build/bin/*xpu*", "build/bin/*sycl*"))
