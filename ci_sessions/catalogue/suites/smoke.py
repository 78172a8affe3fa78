"""Smoke tests on new hardware: H100, B200, Intel's client GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.commands import (
    assert_clean,
    pip_install,
    run_test,
    shell_function,
    upload_args,
)
from ci_sessions.catalogue.devices import run_test_options
from ci_sessions.plan.builders import export, git, replaces

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft
    from ci_sessions.plan.step import Step

B200_TESTS = (
    "test_matmul_cuda",
    "test_scaled_matmul_cuda",
    "inductor/test_fp8",
    "nn/attention/test_fa4",
    "nn/attention/test_open_registry",
    "inductor/test_flex_flash",
    "inductor/test_flex_gemm",
    "inductor/test_torchinductor",
    "inductor/test_async_compile",
    "inductor/test_nv_universal_gemm",
    "inductor/test_fused_attention",
    "test_varlen_attention",
)
MATMUL_TESTS = (
    "test_matmul_cuda",
    "test_scaled_matmul_cuda",
    "inductor/test_fp8",
    "inductor/test_max_autotune",
    "inductor/test_cutedsl_grouped_mm",
)
FABRIC_TESTS = (
    ("distributed/test_symmetric_memory.py",),
    ("distributed/test_nvshmem.py",),
    ("distributed/test_shmem_triton.py",),
    ("distributed/test_nccl.py", "-k", "NCCLSymmetricMemoryTest"),
    ("inductor/test_symm_mem_registry.py",),
    ("inductor/test_low_contention_collectives.py",),
)


def _include(job: Job, checkout: Checkout, *tests: str) -> Step:
    """Run the named tests, uploading artifacts as they run."""
    return run_test("--include", *tests, *run_test_options(job), *upload_args(checkout))


def smoke(job: Job, checkout: Checkout) -> list[Draft]:
    """Matrix multiplication, flex attention and linear algebra on an H100."""
    flex = ("inductor/test_flex_attention", "-k", "test_tma_with_customer_kernel_options")
    return [
        replaces(
            "test_python_smoke",
            shell_function("install_nvmath"),
            _include(job, checkout, *flex),
            _include(job, checkout, *MATMUL_TESTS),
            _include(job, checkout, "test_foreach", "-k", "TestForeachMM"),
            _include(job, checkout, "test_linalg", "-k", "polar"),
            assert_clean(job, checkout),
            name="test_smoke",
        )
    ]


def smoke_b200(job: Job, checkout: Checkout) -> list[Draft]:
    """Similar tests on a B200, with FlashAttention's CuTe kernels."""
    cutlass = shell_function("install_cutlass_api", when=q.PYTHON_IS_3_12)
    return [
        replaces(
            "test_python_smoke_b200",
            pip_install("flash-attn-4==4.0.0b5"),
            cutlass,
            _include(job, checkout, *B200_TESTS),
            _include(job, checkout, "test_linalg", "-k", "mm or addmv"),
            assert_clean(job, checkout),
        )
    ]


def smoke_xpu(job: Job, checkout: Checkout) -> list[Draft]:
    """Transformers and the XPU tests on a client GPU."""
    tests = ("test_transformers", "test_xpu")
    return [
        replaces(
            "test_python_smoke_xpu",
            run_test("--include", *tests, *run_test_options(job)),
            assert_clean(job, checkout),
        )
    ]


def h100_distributed(job: Job, checkout: Checkout) -> list[Draft]:
    """Composability and fully sharded data parallelism on several H100s."""
    composability = "distributed/_composable/test_composability/test_pp_composability.py"
    shard = "distributed/_composable/fsdp/test_fully_shard_comm.py"
    return [
        replaces(
            "test_h100_distributed",
            shell_function("install_torchcomms"),
            export(NCCL_NVLS_ENABLE="0"),  # these machines lack the channel that NVLS needs
            _include(job, checkout, composability),
            _include(job, checkout, shard, "-k", "TestFullyShardAllocFromPG"),
            assert_clean(job, checkout),
        )
    ]


def _fabric(job: Job, checkout: Checkout) -> list[Step]:
    return [
        *(_include(job, checkout, *tests) for tests in FABRIC_TESTS),
        *assert_clean(job, checkout),
    ]


def h100_symm_mem(job: Job, checkout: Checkout) -> list[Draft]:
    """Symmetric memory on H100s without NVSwitch, with a heap that fits."""
    small_heap = export(NVSHMEM_SYMMETRIC_SIZE="4G", NVSHMEM_DISABLE_NVLS="1", NCCL_NVLS_ENABLE="0")
    return [replaces("test_h100_symm_mem", small_heap, _fabric(job, checkout))]


def b200_symm_mem(job: Job, checkout: Checkout) -> list[Draft]:
    """Symmetric memory on B200s."""
    return [replaces("test_b200_symm_mem", _fabric(job, checkout))]


def h100_fabric(job: Job, checkout: Checkout) -> list[Draft]:
    """Memory handles shared between processes."""
    ipc = _include(job, checkout, "distributed/test_p2p_ipc.py")
    return [replaces("test_h100_fabric", ipc, assert_clean(job, checkout))]


def h100_cutlass(job: Job, checkout: Checkout) -> list[Draft]:
    """Inductor's CUTLASS backend, using the submodule."""
    variables = {"TORCHINDUCTOR_CUTLASS_DIR": q.CUTLASS_DIR.answer}
    tests = ("inductor/test_cutlass_backend", "inductor/test_cutlass_evt")
    steps = [
        run_test("--include", test, *run_test_options(job), *upload_args(checkout), env=variables)
        for test in tests
    ]
    module = git("submodule", "update", "--init", "--depth", "1", "third_party/cutlass")
    return [replaces("test_h100_cutlass_backend", module, steps)]
