"""The machine and the build of a job, as far as the selection of tests asks: from its label.

A label with ``cuda`` selects as a machine with CUDA does, wherever the question is asked.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ci_sessions.catalogue.devices import CPU, CUDA, ROCM, XPU, device_of

if TYPE_CHECKING:
    from ci_sessions.job.job import Job

__all__ = ["BuildFacts", "facts_of"]

_COUNT = re.compile(r"\.(\d{1,2})$")  # of a runner such as linux.rocm.gpu.mi300.1
_UNVERSIONED = "0"  # a version of ROCm, of which nothing in a selection depends


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildFacts:
    """What run_test.py may ask of torch and of the machine.

    ``cuda`` and ``hip`` are versions, or None for a build without. ``has_device``: whether the
    machine has the build's accelerator, of which there are ``devices``. ``python`` is the version
    of Python (major, minor), None for that of the machine that asks. ``machine`` is the
    architecture.
    """

    cuda: str | None = None
    hip: str | None = None
    xpu: bool = False
    has_device: bool = False
    devices: int = 0
    python: tuple[int, int] | None = None
    machine: str = "x86_64"

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return asdict(self)


def facts_of(job: Job, runner: str = "") -> BuildFacts:
    """Return the facts of a job, from its label and the label of its runner, which may be empty."""
    device = device_of(job.build)
    versions = job.build.versions
    has_device = device is not CPU and not job.has("nogpu")
    counted = _COUNT.search(runner)
    devices = int(counted[1]) if counted else 1
    return BuildFacts(
        cuda=str(versions.get(CUDA.name, _UNVERSIONED)) if device is CUDA else None,
        hip=str(versions.get(ROCM.name, _UNVERSIONED)) if device is ROCM else None,
        xpu=device is XPU,
        has_device=has_device,
        devices=devices if has_device else 0,
        python=_python(job.build.python),
        machine=job.build.architecture,
    )


def _python(text: str | None) -> tuple[int, int] | None:
    """Return the version in a label: ``3.14t`` → (3, 14); None for just ``3``."""
    match = re.match(r"(\d{1,2})\.(\d{1,3})", text or "")
    return (int(match[1]), int(match[2])) if match else None
