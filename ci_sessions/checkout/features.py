"""What a tree can do, or still does: asked of its own files, by name.

A plan asks ``checkout.has(Feature.QUANTIZATION_OPTION)`` where releases differ. A feature is there
when its word stands in run_test.py or in the scripts beside test.sh; where that file is missing,
the newest release is assumed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NEWEST", "Feature", "File", "features_in"]


class File(enum.Enum):
    """Where the word of a feature is looked for."""

    RUN_TEST = "test/run_test.py"
    SCRIPTS = "the scripts beside test.sh"


@dataclass(frozen=True, slots=True)
class _Sign:
    """The word that tells of a feature; ``is_legacy``: today's tree has it no more."""

    word: str
    file: File = File.SCRIPTS
    is_legacy: bool = False


class Feature(enum.Enum):
    """A feature, by what tells of it."""

    # Newer trees have these.
    UPLOADS_WHILE_RUNNING = _Sign("--upload-artifacts-while-running", File.RUN_TEST)
    QUANTIZATION_OPTION = _Sign("--exclude-quantization-tests", File.RUN_TEST)
    DEBUG_ASSERT_CHECK = _Sign("_crash_if_debug_asserts_fail")
    NUMBA_PATCH = _Sign("numba-cuda-13.patch")
    REMOVES_ONNXRUNTIME = _Sign("onnxruntime")
    REMOVES_DILL = _Sign("dill")
    SERIALIZATION_DEBUG = _Sign("TORCH_SERIALIZATION_DEBUG")
    DETECTS_CUDA_ARCH = _Sign("detect_cuda_arch")
    COMPILE_THREADS = _Sign("TORCHINDUCTOR_COMPILE_THREADS")
    COMPILE_WORKER_TIMEOUT = _Sign("TORCHINDUCTOR_COMPILE_WORKER_WAIT_TIMEOUT")

    # Only older trees have these.
    SPLIT_CUDA = _Sign("BUILD_SPLIT_CUDA", is_legacy=True)
    SKIPS_LEAK_CHECK = _Sign("PYTORCH_TEST_SKIP_CUDA_MEM_LEAK_CHECK", is_legacy=True)
    CONDA_CMAKE = _Sign("conda install -q -y cmake", is_legacy=True)
    PIP_NINJA = _Sign("pip_install --user ninja", is_legacy=True)


NEWEST = frozenset(feature for feature in Feature if not feature.value.is_legacy)
"""What the newest release has."""


def features_in(texts: Mapping[File, str | None]) -> frozenset[Feature]:
    """Return the features of a tree whose files have these texts; None is a missing file."""
    return frozenset(feature for feature in Feature if _is_in(feature, texts))


def _is_in(feature: Feature, texts: Mapping[File, str | None]) -> bool:
    text = texts[feature.value.file]
    return feature in NEWEST if text is None else feature.value.word in text
