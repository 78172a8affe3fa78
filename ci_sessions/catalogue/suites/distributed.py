"""Tests that use several processes or devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.commands import (
    TORCH_BIN,
    assert_clean,
    include_args,
    install_torchdynamo,
    link,
    run_test,
    shard_args,
    shell_function,
    upload_args,
)
from ci_sessions.catalogue.devices import CUDA, device_of, run_test_options, splits_distributed
from ci_sessions.plan.builders import added, command, export, replaces

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft, Item
    from ci_sessions.plan.step import Step

STORES = ("FileStoreTest", "HashStoreTest", "TCPStoreTest")
PROCESS_GROUPS = ("ProcessGroupGlooTest", "ProcessGroupNCCLTest", "ProcessGroupNCCLErrorsTest")


def distributed(job: Job, checkout: Checkout) -> list[Draft]:
    """The distributed tests; on CUDA and ROCm, only those that need several devices.

    There, the others run in ``default`` on cheaper single-device machines.
    """
    several = ["--multigpu-filter", "multigpu"] if splits_distributed(job) else []
    cpp = _cpp_tests(job) if splits_distributed(job) and job.is_first_shard else []
    rpc = _rpc() if job.is_first_shard else []
    functions = "test_distributed test_rpc" if job.is_first_shard else "test_distributed"
    return [
        replaces(
            functions,
            install_torchdynamo(checkout),
            shell_function("install_torchcomms"),
            shell_function("install_spmd_types"),
            _python_tests(job, checkout, *several),
            cpp,
            rpc,
        ),
        added(
            "test_c10d_nccl",
            _one_file("distributed/test_c10d_nccl"),
            skipped=None if CUDA.is_in(job.build) else _no_cuda(job),
        ),
        added("test_c10d_gloo", _one_file("distributed/test_c10d_gloo")),
    ]


def multigpu(job: Job, checkout: Checkout) -> list[Draft]:
    """The multi-GPU script, which is not part of test.sh."""
    script = command("$SCRIPTS/multigpu-test.sh")
    return [replaces("multigpu-test.sh", script, name="test_multigpu")]


def on_one_gpu(job: Job, checkout: Checkout) -> list[Draft]:
    """The distributed tests that need only one device: a part of ``default`` on GPUs."""
    if not splits_distributed(job):
        return []
    return [
        replaces(
            "test_distributed_single_gpu",
            shell_function("install_torchcomms"),
            shell_function("install_spmd_types"),
            _python_tests(job, checkout, "--multigpu-filter", "not-multigpu"),
        )
    ]


def dtensor(job: Job, checkout: Checkout) -> list[Draft]:
    """Every test file under test/distributed/tensor, listed when the step runs."""
    found = q.DTENSOR_TESTS.answer
    return [
        replaces(
            "test_dtensor",
            shell_function("install_spmd_types"),
            run_test(
                "--include", found, "--verbose", *run_test_options(job), *upload_args(checkout)
            ),
            assert_clean(job, checkout),
        )
    ]


def _python_tests(job: Job, checkout: Checkout, *multigpu: str) -> list[Step]:
    shard = shard_args(job)
    args = ("--distributed-tests", *multigpu, *shard, *include_args(job), "--verbose")
    return [run_test(*args), *assert_clean(job, checkout)]


def _cpp_tests(job: Job) -> list[Item]:
    matmul = ("-i", "test_linalg.py", "-k", "test_matmul_offline_mgpu_tunable", "--verbose")
    cuda: list[Step] = []
    if CUDA.is_in(job.build):
        binary = f"{TORCH_BIN}/ProcessGroupMPITest"
        mpi = command("mpiexec", "-np", "2", binary, when=q.MPIEXEC_IS_INSTALLED)
        cuda = [mpi, *(_cpp(name) for name in PROCESS_GROUPS)]
    return [
        *link(TORCH_BIN, "libtorch*", "libc10*"),
        export(CPP_TESTS_DIR=TORCH_BIN),
        *(_cpp(name) for name in STORES),
        run_test(*matmul),
        *cuda,
    ]


def _rpc() -> list[Step]:
    test = run_test(
        "--cpp", "--verbose", "-i", "cpp/test_cpp_rpc", env={"CPP_TESTS_DIR": TORCH_BIN}
    )
    return [*link(TORCH_BIN, "libtorch*", "libc10*"), test]


def _cpp(name: str) -> Step:
    return run_test("--cpp", "--verbose", "-i", f"cpp/{name}")


def _one_file(name: str) -> Step:
    return run_test("-i", name, "--verbose")


def _no_cuda(job: Job) -> str:
    return f"NCCL needs CUDA, and the build is for {device_of(job.build).name}"
