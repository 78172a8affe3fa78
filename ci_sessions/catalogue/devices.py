"""The devices that tests run on, one row each. A job uses the first one named in its build's label.

A row holds everything that depends on the device: its name in the label, how to count such devices
on a machine, what a job exports and sets up for it, and the options its tests get.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.checkout.features import Feature
from ci_sessions.job.variables import NO_TEST_TIMEOUT, PYTHON_TEST_EXTRA_OPTION
from ci_sessions.plan.builders import probe, source
from ci_sessions.plan.plan import DeviceNeed
from ci_sessions.plan.step import Expect

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.build_environment import BuildEnvironment
    from ci_sessions.job.job import Job
    from ci_sessions.plan.step import Step, Variables

__all__ = [
    "CPU",
    "CUDA",
    "DEVICES",
    "ROCM",
    "XPU",
    "Device",
    "device_exports",
    "device_of",
    "needs_of",
    "run_test_options",
    "splits_distributed",
]

_XPU_OPTIONS = ("--xpu",)

Exports = Callable[["Job", "Checkout"], "Variables"]
Setup = Callable[["Job"], "list[Step]"]


def _no_exports(job: Job, checkout: Checkout) -> Variables:
    return {}


def _no_setup(job: Job) -> list[Step]:
    return []


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A kind of device. ``name`` identifies it in build labels and in messages.

    ``files``: a glob pattern under /dev that matches once per device; ``requires``: a file under
    /dev that must also exist. ``exports``: variables for jobs on this device; ``setup``: steps
    before their tests. ``run_test_options``: options that replace PYTHON_TEST_EXTRA_OPTION.
    ``splits_distributed``: distributed tests that need only one device run in other jobs, on
    cheaper machines. ``has_valgrind``: tests on it may use Valgrind.
    """

    name: str
    files: str = ""
    requires: str = ""
    exports: Exports = _no_exports
    setup: Setup = _no_setup
    run_test_options: tuple[str, ...] = ()
    splits_distributed: bool = False
    has_valgrind: bool = True

    def is_in(self, build: BuildEnvironment) -> bool:
        """Return whether the build's label contains the device's name: test.sh's ``*cuda*``."""
        return build.has(self.name)


def _cuda_exports(job: Job, checkout: Checkout) -> Variables:
    device: Variables = {"PYTORCH_TESTING_DEVICE_ONLY_FOR": "cuda"}
    if not checkout.has(Feature.DETECTS_CUDA_ARCH):
        return device
    arch = q.CUDA_ARCH_OR_8 if job.has("nogpu") else q.CUDA_ARCH
    return {"TORCH_CUDA_ARCH_LIST": arch.answer, **device}


def _rocm_exports(job: Job, checkout: Checkout) -> Variables:
    def variables() -> Iterator[tuple[str, str | None]]:
        yield "HIP_PLATFORM", None  # hipcc detects it; a preset value breaks builds
        yield "PYTORCH_TEST_WITH_ROCM", "1"
        yield "HSA_FORCE_FINE_GRAIN_PCIE", "1"
        if checkout.has(Feature.COMPILE_WORKER_TIMEOUT):
            yield "TORCHINDUCTOR_COMPILE_WORKER_WAIT_TIMEOUT", "300"
        if checkout.has(Feature.COMPILE_THREADS):
            yield "TORCHINDUCTOR_COMPILE_THREADS", "16"
        yield "PYTORCH_TESTING_DEVICE_ONLY_FOR", "cuda"

    return dict(variables())


def _rocm_setup(job: Job) -> list[Step]:
    return [probe("rocminfo")]


def _xpu_exports(job: Job, checkout: Checkout) -> Variables:
    return {
        "PYTORCH_TESTING_DEVICE_ONLY_FOR": "xpu",
        PYTHON_TEST_EXTRA_OPTION.name: " ".join(_XPU_OPTIONS),
        NO_TEST_TIMEOUT.name: "True",
    }


def _xpu_setup(job: Job) -> list[Step]:
    def settings(part: str) -> str:
        return f"/opt/intel/oneapi/{part}/latest/env/vars.sh"

    umf = source(settings("umf"), exports=True, when=q.UMF_IS_INSTALLED)
    return [
        source(settings("compiler"), exports=True),
        umf,
        *(source(settings(part), exports=True) for part in ("tcm", "ccl", "mpi", "pti")),
        probe("timeout", "30", "xpu-smi", "discovery", expect=Expect.ANYTHING),
    ]


def _tpu_exports(job: Job, checkout: Checkout) -> Variables:
    return {"PYTORCH_TESTING_DEVICE_ONLY_FOR": "tpu"} if job.build.has("pallas-tpu") else {}


DEVICES = (
    Device(name="cuda", files="nvidia[0-9]*", exports=_cuda_exports, splits_distributed=True),
    Device(
        name="rocm",
        files="dri/renderD*",
        requires="kfd",
        exports=_rocm_exports,
        setup=_rocm_setup,
        splits_distributed=True,
        has_valgrind=False,
    ),
    Device(
        name="xpu",
        files="dri/renderD*",
        exports=_xpu_exports,
        setup=_xpu_setup,
        run_test_options=_XPU_OPTIONS,
        has_valgrind=False,
    ),
    Device(name="tpu", files="accel*", exports=_tpu_exports),
)
"""Every accelerator. A label that names several is for the first of them."""

CPU = Device(name="cpu")
CUDA, ROCM, XPU = DEVICES[:3]


def device_of(build: BuildEnvironment) -> Device:
    """Return the device of a build: the CPU if its label names no accelerator."""
    return next((device for device in DEVICES if device.is_in(build)), CPU)


def needs_of(job: Job, count: int) -> DeviceNeed:
    """Return the devices that a job needs: ``count`` of its build's accelerator, none on a CPU."""
    device = device_of(job.build)
    if device is CPU or job.has("nogpu") or job.has("cpu"):
        return DeviceNeed(device=device.name)
    return DeviceNeed(device=device.name, count=count, files=device.files, requires=device.requires)


def splits_distributed(job: Job) -> bool:
    """Return whether the distributed tests of the job's build are split by number of devices."""
    return any(device.splits_distributed and device.is_in(job.build) for device in DEVICES)


def run_test_options(job: Job) -> tuple[str, ...]:
    """Return the options that test.sh adds to most run_test.py commands."""
    candidates = (device.run_test_options for device in DEVICES if device.is_in(job.build))
    return next((options for options in candidates if options), job[PYTHON_TEST_EXTRA_OPTION])


def device_exports(job: Job, checkout: Checkout) -> Mapping[str, str | None]:
    """Return what the job's devices export. If a label names two, the first takes precedence."""
    variables: dict[str, str | None] = {}
    for device in reversed([row for row in DEVICES if row.is_in(job.build)]):
        variables.update(device.exports(job, checkout))
    return variables
