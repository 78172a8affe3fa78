"""The devices that tests run on: a row each. The first whose word stands in the label is the job's.

A row says all that a device changes: its word in a label, how its devices are counted on a machine,
what a job exports and does first for it, what its tests are told.
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

Exports = Callable[["Job", "Checkout"], "Variables"]
Setup = Callable[["Job"], "list[Step]"]


def _no_exports(job: Job, checkout: Checkout) -> Variables:
    return {}


def _no_setup(job: Job) -> list[Step]:
    return []


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A kind of device. ``name`` is its word in a label, and what people call it.

    ``files``: a pattern below /dev with one match a device; ``requires``: a file there that must be
    too. ``exports``: the variables of a job for it; ``setup``: the steps before its tests.
    ``run_test_options``: what its tests get in place of PYTHON_TEST_EXTRA_OPTION.
    ``splits_distributed``: tests of several processes that need one device only run elsewhere, on
    cheaper machines.
    """

    name: str
    files: str = ""
    requires: str = ""
    exports: Exports = _no_exports
    setup: Setup = _no_setup
    run_test_options: tuple[str, ...] = ()
    splits_distributed: bool = False

    def is_in(self, build: BuildEnvironment) -> bool:
        """Tell whether a label contains the device's word: test.sh's ``*cuda*``."""
        return build.has(self.name)


def _cuda_exports(job: Job, checkout: Checkout) -> Variables:
    only: Variables = {"PYTORCH_TESTING_DEVICE_ONLY_FOR": "cuda"}
    if not checkout.has(Feature.DETECTS_CUDA_ARCH):
        return only
    arch = q.CUDA_ARCH_OR_8 if job.has("nogpu") else q.CUDA_ARCH
    return {"TORCH_CUDA_ARCH_LIST": arch.answer, **only}


def _rocm_exports(job: Job, checkout: Checkout) -> Variables:
    def flags() -> Iterator[tuple[str, str | None]]:
        yield "HIP_PLATFORM", None  # hipcc finds it out; a preset one breaks builds
        yield "PYTORCH_TEST_WITH_ROCM", "1"
        yield "HSA_FORCE_FINE_GRAIN_PCIE", "1"
        if checkout.has(Feature.COMPILE_WORKER_TIMEOUT):
            yield "TORCHINDUCTOR_COMPILE_WORKER_WAIT_TIMEOUT", "300"
        if checkout.has(Feature.COMPILE_THREADS):
            yield "TORCHINDUCTOR_COMPILE_THREADS", "16"
        yield "PYTORCH_TESTING_DEVICE_ONLY_FOR", "cuda"

    return dict(flags())


def _rocm_setup(job: Job) -> list[Step]:
    return [probe("rocminfo")]


def _xpu_exports(job: Job, checkout: Checkout) -> Variables:
    return {
        "PYTORCH_TESTING_DEVICE_ONLY_FOR": "xpu",
        PYTHON_TEST_EXTRA_OPTION.name: " ".join(XPU.run_test_options),
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


CPU = Device(name="cpu")
CUDA = Device(name="cuda", files="nvidia[0-9]*", exports=_cuda_exports, splits_distributed=True)
ROCM = Device(
    name="rocm",
    files="dri/renderD*",
    requires="kfd",
    exports=_rocm_exports,
    setup=_rocm_setup,
    splits_distributed=True,
)
XPU = Device(
    name="xpu",
    files="dri/renderD*",
    exports=_xpu_exports,
    setup=_xpu_setup,
    run_test_options=("--xpu",),
)


def _tpu_exports(job: Job, checkout: Checkout) -> Variables:
    return {"PYTORCH_TESTING_DEVICE_ONLY_FOR": "tpu"} if job.build.has("pallas-tpu") else {}


TPU = Device(name="tpu", files="accel*", exports=_tpu_exports)

DEVICES: tuple[Device, ...] = tuple(
    row for row in list(globals().values()) if isinstance(row, Device) and row is not CPU
)
"""Every accelerator, in the order in which they are written above: a label is asked for each."""


def device_of(build: BuildEnvironment) -> Device:
    """Return the device of a build; the CPU where its label names no other."""
    return next((device for device in DEVICES if device.is_in(build)), CPU)


def needs_of(job: Job, count: int) -> DeviceNeed:
    """Return what a job needs whose tests take ``count`` devices where they are made for any."""
    device = device_of(job.build)
    if device is CPU or job.has("nogpu") or job.has("cpu"):
        return DeviceNeed(device=device.name)
    return DeviceNeed(device=device.name, count=count, files=device.files, requires=device.requires)


def splits_distributed(job: Job) -> bool:
    """Tell whether the distributed tests of the job's build are split over kinds of machines."""
    return any(device.splits_distributed and device.is_in(job.build) for device in DEVICES)


def run_test_options(job: Job) -> tuple[str, ...]:
    """Return what test.sh adds to most run_test.py lines."""
    own = (device.run_test_options for device in DEVICES if device.is_in(job.build))
    return next((words for words in own if words), job[PYTHON_TEST_EXTRA_OPTION])


def device_exports(job: Job, checkout: Checkout) -> Mapping[str, str | None]:
    """Return what the job's devices export; of two in one label, the first one's hold."""
    flags: dict[str, str | None] = {}
    for device in reversed([one for one in DEVICES if one.is_in(job.build)]):
        flags.update(device.exports(job, checkout))
    return flags
