"""The default suite: PyTorch's Python tests, ATen's tests, and tests that only some shards run.

In test.sh, every shard runs its part of the Python tests, and the first two also run everything
that must run only once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.commands import (
    BUILD_BIN,
    TORCH,
    assert_clean,
    exclude_args,
    include_args,
    install_torchvision,
    link,
    make_folder,
    pip_install,
    run_test,
    shard_args,
    upload_args,
)
from ci_sessions.catalogue.devices import ROCM, run_test_options
from ci_sessions.checkout.features import Feature
from ci_sessions.job.variables import IN_WHEEL_TEST, SUDO
from ci_sessions.plan.builders import bash, command, file_step, git, install, replaces
from ci_sessions.plan.step import ForEach, Kind, Step

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft

_FAKE_NUMPY = "import sys;sys.path.insert(0, 'fake_numpy');"
NUMPY_2_TESTS = (
    "dynamo/test_functions.py",
    "dynamo/test_unspec.py",
    "test_binary_ufuncs.py",
    "test_fake_tensor.py",
    "test_linalg.py",
    "test_numpy_interop.py",
    "test_tensor_creation_ops.py",
    "test_torch.py",
    "torch_np/test_basic.py",
)


def without_installs(job: Job, checkout: Checkout) -> list[Draft]:
    """The Python tests without installs: one shard, or all of them if unsharded."""
    if job.shard.is_split:
        return [replaces("test_python_shard", _shard_steps(job, checkout), name="test_python")]
    return [replaces("test_python", _whole_steps(job, checkout))]


def unsharded(job: Job, checkout: Checkout) -> list[Draft]:
    """All Python tests in one job, with the packages that they import."""
    installs = [*install_torchvision(job), pip_install("MonkeyType")]
    return [replaces("test_python", installs, _whole_steps(job, checkout))]


def shard(job: Job, checkout: Checkout) -> list[Draft]:
    """One shard of the Python tests, with torchvision."""
    steps = _shard_steps(job, checkout)
    return [replaces("test_python_shard", install_torchvision(job), steps)]


def no_tests(job: Job, checkout: Checkout) -> list[Draft]:
    """No tests for libtorch builds, as in test.sh, which calls it "no-op at the moment"."""
    return []


def _own_job_exclusions(checkout: Checkout) -> tuple[str, ...]:
    """Return options that exclude tests which have their own jobs."""
    has_option = checkout.has(Feature.QUANTIZATION_OPTION)
    quantization = ("--exclude-quantization-tests",) if has_option else ()
    return ("--exclude-jit-executor", "--exclude-distributed-tests", *quantization)


def _whole_steps(job: Job, checkout: Checkout) -> list[Step]:
    args = (*_own_job_exclusions(checkout), *exclude_args(job), *include_args(job), "--verbose")
    return [run_test(*args, *run_test_options(job)), *assert_clean(job, checkout)]


def _shard_steps(job: Job, checkout: Checkout) -> list[Step]:
    part = (*shard_args(job), "--verbose")
    args = (
        *_own_job_exclusions(checkout),
        *exclude_args(job),
        *include_args(job),
        *part,
        *run_test_options(job),
    )
    return [run_test(*args, *upload_args(checkout)), *assert_clean(job, checkout)]


def numpy_2(job: Job, checkout: Checkout) -> list[Draft]:
    """The tests that use numpy, with numpy 2 and the installed pandas version."""
    pins = ("numpy==2.0.2", "scipy==1.13.1", "numba==0.60.0")
    pip = ("python", "-m", "pip", "install", "--pre")
    return [
        replaces(
            "numpy_2",
            install(*pip, *pins, q.PANDAS_PIN.answer),
            run_test("--include", *NUMPY_2_TESTS),
            name="test_numpy_2",
        )
    ]


def quantization(job: Job, checkout: Checkout) -> list[Draft]:
    """The quantization tests, run without run_test.py."""
    return [replaces("test_quantization", command("python", "test/test_quantization.py"))]


def openreg(job: Job, checkout: Checkout) -> list[Draft]:
    """OpenReg, the reference backend for out-of-tree devices."""
    module = git("submodule", "update", "--init", "--depth", "1", "third_party/googletest")
    test = run_test("--openreg", "--verbose")
    return [replaces("test_openreg", module, test, assert_clean(job, checkout))]


def tsan(job: Job, checkout: Checkout) -> list[Draft]:
    """Data races, with a Python built with ThreadSanitizer. Reports are merged into one file."""
    report = "test/test-reports/tsan_toprint.log"
    line = f"cat {report}.* > {report} && rm -f {report}.*"
    merge = bash(line, when=q.TSAN_REPORTS_EXIST, always=True)
    test = command("python", "test/test_tsan.py", "-v")
    return [replaces("test_tsan", test, merge, assert_clean(job, checkout))]


def aten(job: Job, checkout: Checkout) -> list[Draft]:
    """ATen's C++ tests, with torch's libraries linked into their folder.

    A wheel test renames the build folder to prove that nothing depends on it, and always restores
    it afterwards.
    """
    folder = f"{TORCH}/test" if job[IN_WHEEL_TEST] else BUILD_BIN
    libraries = ("libc10*", "libcaffe2*", "libmkldnn*", "libnccl*", "libtorch*")
    hide = [file_step("mv", "build", "build_renamed")] if job[IN_WHEEL_TEST] else []
    restore = [file_step("mv", "build_renamed", "build", always=True)] if job[IN_WHEEL_TEST] else []
    return [
        replaces(
            "test_aten",
            hide,
            link(folder, *libraries, sudo=job[SUDO]),
            command("aten/tools/run_tests.sh", folder),
            restore,
            assert_clean(job, checkout),
        )
    ]


def vec256(job: Job, checkout: Checkout) -> list[Draft]:
    """The vector instruction tests that were built, one step each."""
    if ROCM.is_in(job.build):
        return []
    report = "--gtest_output=xml:test/test-reports/vec256/${each}.xml"
    tests = ForEach(q.VEC256_TESTS, ("${each}", report))
    each = Step(kind=Kind.TEST, command=tests, cwd=BUILD_BIN, is_test=True)
    folder = make_folder("test/test-reports/vec256")
    return [replaces("test_vec256", folder, each, assert_clean(job, checkout))]


def lazy_tensor(job: Job, checkout: Checkout) -> list[Draft]:
    """Lazy tensors with meta references disabled."""
    off = {"TORCH_DISABLE_FUNCTIONALIZATION_META_REFERENCE": "1"}
    test = run_test("--include", "lazy/test_ts_opinfo.py", "--verbose", env=off)
    return [replaces("test_lazy_tensor_meta_reference_disabled", test)]


def without_numpy(job: Job, checkout: Checkout) -> list[Draft]:
    """Torch without numpy."""
    refuses = (
        "from unittest import TestCase;import torch;x=torch.randn(3,3);"
        "TestCase().assertRaises(RuntimeError, lambda: x.numpy())"
    )
    nested = "import torch;print(torch.tensor([torch.tensor(0.), torch.tensor(1.)]))"
    compiled = "import torch;torch.compile(lambda x:print(x))('Hello World')"
    programs = [refuses, nested, "import torch; import torch.onnx"]
    if job.has("dynamo_wrapped"):
        programs.insert(2, compiled)
    steps = [
        command("python", "-c", _FAKE_NUMPY + program, cwd="$ROOT/$SCRIPTS") for program in programs
    ]
    return [replaces("test_without_numpy", steps)]


def torch_function_benchmark(job: Job, checkout: Checkout) -> list[Draft]:
    """The cost of ``__torch_function__``."""
    classes = ("Tensor", "SubTensor", "WithTorchFunction", "SubWithTorchFunction")
    programs: list[tuple[str, ...]] = [("bench.py", "-n", "1", "-m", "2")]
    programs += [("pyspybench.py", name, "-n", "1") for name in classes]
    cwd = "$ROOT/benchmarks/overrides_benchmark"
    steps = [command("python", *args, cwd=cwd) for args in programs]
    return [replaces("test_torch_function_benchmark", steps, assert_clean(job, checkout))]
