"""Facts about a PyTorch tree that a plan depends on: where it is, its version, its own files.

Reading a checkout starts no process and writes nothing. Where site-packages is, and what only the
running machine can answer, is left to tokens (see ``tokens``).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from ci_sessions.errors import CheckoutError

__all__ = ["RECORDED", "Checkout", "find_checkout", "look_at", "read_checkout", "sample_checkout"]

SAMPLE_MARKER = ".ci-sessions-sample"
_SPEEDUPS = "benchmarks/dynamo/expected_ci_speedup_inductor_torchbench_cpu.csv"
_SPEEDUP_COLUMNS = 6
SCRIPT_FOLDERS = (".ci/pytorch", ".jenkins/pytorch")
_RUN_TEST, _SCRIPTS = "test/run_test.py", "the scripts"
NEWER = {
    "--upload-artifacts-while-running": _RUN_TEST,
    "--exclude-quantization-tests": _RUN_TEST,
    "_crash_if_debug_asserts_fail": _SCRIPTS,
    "numba-cuda-13.patch": _SCRIPTS,
    "onnxruntime": _SCRIPTS,
    "dill": _SCRIPTS,
    "TORCH_SERIALIZATION_DEBUG": _SCRIPTS,
    "detect_cuda_arch": _SCRIPTS,
    "TORCHINDUCTOR_COMPILE_THREADS": _SCRIPTS,
    "TORCHINDUCTOR_COMPILE_WORKER_WAIT_TIMEOUT": _SCRIPTS,
}
"""Words that only newer trees know, and what tells: run_test.py, or the scripts beside test.sh. An
older tree's plan goes without."""

OLDER = (
    "BUILD_SPLIT_CUDA",
    "PYTORCH_TEST_SKIP_CUDA_MEM_LEAK_CHECK",
    "conda install -q -y cmake",
    "pip_install --user ninja",
)
"""Words of scripts that are no longer in today's: an older tree's plan does as they say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """A PyTorch tree. ``root`` is None for the one on which the traces were recorded.

    ``speedups`` are the rows of the CPU smoke test's target file: model, backend, data type,
    shape, wrapper, target. ``lacks`` are the words of ``NEWER`` that the tree's own files do not
    know, ``keeps`` those of ``OLDER`` that its scripts still have. ``script_folder`` is where
    test.sh lies; ``is_sample`` marks the miniature tree of this project, which has neither torch
    nor anything to install.
    """

    root: Path | None = None
    version: str = ""
    script_folder: str = SCRIPT_FOLDERS[0]
    is_sample: bool = False
    has_onnx_script: bool = False
    is_x86: bool = True
    has_hf_cache: bool = False
    speedups: tuple[tuple[str, ...], ...] = ()
    lacks: frozenset[str] = frozenset()
    keeps: frozenset[str] = frozenset()

    @property
    def script(self) -> str:
        """The shell script that this tree's CI runs, relative to its root."""
        return f"{self.script_folder}/test.sh"

    def describe(self) -> str:
        """Return where the tree is and what it is."""
        what = "the sample checkout" if self.is_sample else "PyTorch"
        return f"{self.root or 'recorded'} ({what} {self.version or 'of unknown version'})"


RECORDED = Checkout(speedups=(("resnet50", "inductor", "float32", "static", "default", "2.0"),))
"""The tree and machine on which the traces were recorded."""


def is_checkout(folder: Path) -> bool:
    """Tell whether a folder is a PyTorch tree: it has test/run_test.py."""
    return (folder / "test" / "run_test.py").is_file()


def sample_checkout() -> Path:
    """Return the sample checkout: beside the package in a clone, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    beside = package.parent / "examples" / "checkout"
    return beside if is_checkout(beside) else package / "resources" / "checkout"


def find_checkout(named: str | None, start: Path) -> Path:
    """Return the tree that was named, or the one around ``start``, or the sample.

    Raises ``CheckoutError`` when the named folder is no PyTorch tree.
    """
    if named is not None:
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise CheckoutError(
                f"--checkout is {named!r}, and there is no such folder: give the root of a "
                "PyTorch tree, or leave it out to use the sample checkout."
            )
        if not is_checkout(folder):
            raise CheckoutError(
                f"--checkout is {named!r}, which has no test/run_test.py: give the root of a "
                "PyTorch tree."
            )
        return folder.resolve()
    start = start.resolve()
    for folder in (start, *start.parents):
        if is_checkout(folder):
            return folder
    return sample_checkout()


def look_at(root: Path) -> Checkout:
    """Return where the scripts of the tree at ``root`` lie: all that the shell's route needs.

    No file is read, so nothing in a tree can keep a job from its own script.
    """
    folders = [name for name in SCRIPT_FOLDERS if (root / name / "test.sh").is_file()]
    return Checkout(
        root=root,
        script_folder=folders[0] if folders else SCRIPT_FOLDERS[0],
        is_sample=(root / SAMPLE_MARKER).is_file(),
        has_onnx_script=(root / ".ci" / "onnx" / "test.sh").is_file(),
    )


def read_checkout(root: Path, *, machine: str, hf_cache: str = "") -> Checkout:
    """Read the facts of the tree at ``root`` for a machine (``x86_64``, ``aarch64``)."""
    version_file = root / "version.txt"
    seen = look_at(root)
    return replace(
        seen,
        version=version_file.read_text(encoding="utf-8").strip() if version_file.is_file() else "",
        is_x86=machine != "aarch64",
        has_hf_cache=bool(hf_cache) and Path(hf_cache).is_dir(),
        speedups=_read_speedups(root / _SPEEDUPS),
        lacks=_read_lacks(root, seen),
        keeps=_read_keeps(root, seen),
    )


def _read_lacks(root: Path, seen: Checkout) -> frozenset[str]:
    """Return the newer words that a tree's own files do not have; a missing file tells nothing."""
    if seen.is_sample:
        return frozenset()
    texts = {_RUN_TEST: _text(root / _RUN_TEST), _SCRIPTS: _scripts(root, seen)}
    return frozenset(
        word
        for word, where in NEWER.items()
        if (text := texts[where]) is not None and word not in text
    )


def _read_keeps(root: Path, seen: Checkout) -> frozenset[str]:
    """Return the older words that a tree's scripts still have."""
    text = "" if seen.is_sample else _scripts(root, seen) or ""
    return frozenset(word for word in OLDER if word in text)


def _scripts(root: Path, seen: Checkout) -> str | None:
    found = [_text(path) or "" for path in sorted((root / seen.script_folder).glob("*.sh"))]
    return "\n".join(found) if found else None


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _read_speedups(path: Path) -> tuple[tuple[str, ...], ...]:
    if not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = csv.reader(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    found = tuple(tuple(row) for row in rows)
    for row in found:
        if len(row) < _SPEEDUP_COLUMNS:
            raise CheckoutError(
                f"{path} has a row with {len(row)} of {_SPEEDUP_COLUMNS} columns: {','.join(row)}"
            )
    return found
