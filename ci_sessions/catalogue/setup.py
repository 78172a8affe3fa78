"""The steps before a job's tests, for any configuration, and the clean-up at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.devices import CUDA, DEVICES
from ci_sessions.checkout.features import Feature
from ci_sessions.plan.builders import install, probe
from ci_sessions.plan.step import Expect, Kind, Policy, Program, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job

__all__ = ["cleanup_steps", "setup_steps"]

_WORKSPACE = "/var/lib/jenkins/workspace"
_MAY_FAIL = Policy(expect=Expect.ANYTHING)


def setup_steps(job: Job, checkout: Checkout) -> list[Step]:
    """Return the steps that test.sh runs before it checks TEST_CONFIG."""
    packages = [*_legacy_packages(job, checkout), *_packages(job, checkout)]
    devices = [step for device in DEVICES if device.is_in(job.build) for step in device.setup(job)]
    return [*_workspace(), *packages, *devices, *_preflight(job, checkout)]


def cleanup_steps() -> list[Step]:
    """Return the steps that always run at the end: the workspace gets its owner back."""
    owner = ("sudo", "chown", "-R", q.WORKSPACE_OWNER.answer, _WORKSPACE)
    return [probe(*owner, when=q.WORKSPACE_IS_JENKINS)]


def _workspace() -> Iterator[Step]:
    when = q.WORKSPACE_IS_JENKINS
    yield probe("sudo", "chown", "-R", "jenkins", _WORKSPACE, when=when)
    yield probe("git", "config", "--global", "--add", "safe.directory", _WORKSPACE, when=when)


def _packages(job: Job, checkout: Checkout) -> Iterator[Step]:
    """Bring the installed packages into the state that the tests assume."""
    if CUDA.is_in(job.build) and checkout.has(Feature.NUMBA_PATCH):  # numba crashes with CUDA 13
        patch = ("patch", "-p4", "-N", "-r", "-", "-d", q.NUMBA_CUDA_DIR.answer)
        yield install(
            *(*patch, "-i", "$ROOT/$SCRIPTS/numba-cuda-13.patch"),
            when=q.NUMBA_CUDA_IS_INSTALLED,
            policy=_MAY_FAIL,  # numba may already be patched
        )
    if job.config != "onnx" and checkout.has(Feature.REMOVES_ONNXRUNTIME):
        yield install("pip", "uninstall", "-y", "onnxruntime", policy=_MAY_FAIL)
    # Serialization must work without dill.
    if job.build.label.endswith("py3.10-gcc11") and checkout.has(Feature.REMOVES_DILL):
        yield install("pip", "uninstall", "-y", "dill", policy=_MAY_FAIL)


def _legacy_packages(job: Job, checkout: Checkout) -> Iterator[Step]:
    """Yield installs that only older versions of test.sh have."""
    with_conda = ("centos", "linux-bionic", "linux-focal")
    if checkout.has(Feature.CONDA_CMAKE) and (
        job.has("xla") or any(job.build.has(name) for name in with_conda)
    ):
        yield install("conda", "install", "-q", "-y", "cmake")
    if checkout.has(Feature.PIP_NINJA) and not job.build.has("-bazel-"):
        argv = ("pip", "install", "--progress-bar", "off", "--user", "ninja")
        yield install(*argv, policy=Policy(retry_waits=(0.0, 0.0)))


def _preflight(job: Job, checkout: Checkout) -> Iterator[Step]:
    """Check that the installed torch was built as the label says."""

    def python(code: str, expect: Expect = Expect.SUCCESS) -> Step:
        program = Program(("python", "-c", f"import torch; {code}"))
        policy = Policy(expect=expect, imports="torch")
        return Step(kind=Kind.PREFLIGHT, command=program, cwd="$ROOT/test", policy=policy)

    if job.build.is_asan:  # each must crash: otherwise the sanitizer is not active
        yield python("print(torch.__version__, torch.version.git_version)")
        yield python("torch._C._crash_if_csrc_asan(3)", Expect.FAILURE)
        yield python("torch._C._crash_if_vptr_ubsan()", Expect.FAILURE)
        yield python("torch._C._crash_if_aten_asan(3)", Expect.FAILURE)
    if job.build.has("-tsan"):
        yield install("python", "-m", "pip", "install", f"{q.WHEEL.answer}[opt-einsum]")
    if checkout.has(Feature.DEBUG_ASSERT_CHECK):
        yield python(
            "torch._C._crash_if_debug_asserts_fail(424242)",
            Expect.FAILURE if job.build.is_debug else Expect.SUCCESS,
        )
    if not job.build.has("libtorch") and not job.has("pr_time_benchmarks"):
        yield python("print(torch.__config__.show())")
        yield python("print(torch.__config__.parallel_info())")
