"""Features that some PyTorch releases have and others do not, detected in a checkout's own files.

A plan asks ``checkout.has(Feature.QUANTIZATION_OPTION)`` where releases differ. A checkout has a
feature if run_test.py, or a script beside test.sh, contains the feature's marker string. If that
file is missing, the newest release is assumed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NEWEST", "Feature", "File", "features_in"]


class File(enum.Enum):
    """The files that are searched for a feature's marker."""

    RUN_TEST = "test/run_test.py"
    SCRIPTS = "the scripts beside test.sh"


@dataclass(frozen=True, slots=True)
class _Marker:
    """A string that shows that a checkout has a feature. ``is_legacy``: only older ones have it."""

    text: str
    file: File = File.SCRIPTS
    is_legacy: bool = False


class Feature(enum.Enum):
    """A feature and its marker."""

    # Only newer releases have these.
    UPLOADS_WHILE_RUNNING = _Marker("--upload-artifacts-while-running", File.RUN_TEST)
    QUANTIZATION_OPTION = _Marker("--exclude-quantization-tests", File.RUN_TEST)
    CASE_EXPRESSION = _Marker('"-k"', File.RUN_TEST)
    DEBUG_ASSERT_CHECK = _Marker("_crash_if_debug_asserts_fail")
    NUMBA_PATCH = _Marker("numba-cuda-13.patch")
    REMOVES_ONNXRUNTIME = _Marker("onnxruntime")
    REMOVES_DILL = _Marker("dill")
    SERIALIZATION_DEBUG = _Marker("TORCH_SERIALIZATION_DEBUG")
    DETECTS_CUDA_ARCH = _Marker("detect_cuda_arch")
    COMPILE_THREADS = _Marker("TORCHINDUCTOR_COMPILE_THREADS")
    TORCHCOMMS = _Marker("install_torchcomms")
    SPMD_TYPES = _Marker("install_spmd_types")
    TORCH_TRACE = _Marker("setup_torch_trace")
    COMPILE_WORKER_TIMEOUT = _Marker("TORCHINDUCTOR_COMPILE_WORKER_WAIT_TIMEOUT")

    # Only older releases have these.
    SPLIT_CUDA = _Marker("BUILD_SPLIT_CUDA", is_legacy=True)
    SKIPS_LEAK_CHECK = _Marker("PYTORCH_TEST_SKIP_CUDA_MEM_LEAK_CHECK", is_legacy=True)
    CONDA_CMAKE = _Marker("conda install -q -y cmake", is_legacy=True)
    TORCHDYNAMO = _Marker("install_torchdynamo", is_legacy=True)
    PIP_NINJA = _Marker("pip_install --user ninja", is_legacy=True)


NEWEST = frozenset(feature for feature in Feature if not feature.value.is_legacy)
"""The features of the newest release."""


def features_in(contents: Mapping[File, str | None]) -> frozenset[Feature]:
    """Return the features of a checkout, from the contents of its files; None if one is missing."""
    return frozenset(feature for feature in Feature if _is_in(feature, contents))


def _is_in(feature: Feature, contents: Mapping[File, str | None]) -> bool:
    content = contents[feature.value.file]
    return feature in NEWEST if content is None else feature.value.text in content
