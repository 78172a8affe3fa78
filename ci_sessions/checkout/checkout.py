"""Facts about a PyTorch tree that a plan depends on: its version, its scripts, its own files.

Reading a checkout starts no process and writes nothing. Where site-packages is, and what only the
running machine can answer, a plan leaves open (see ``plan/placeholders.py``).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from ci_sessions.checkout.features import NEWEST, Feature, File, features_in
from ci_sessions.errors import CheckoutError

__all__ = ["RECORDED", "Checkout", "locate_scripts", "read_checkout"]

SAMPLE_MARKER = ".ci-sessions-sample"
_SPEEDUPS = "benchmarks/dynamo/expected_ci_speedup_inductor_torchbench_cpu.csv"
_SPEEDUP_COLUMNS = 6
_SCRIPT_FOLDERS = (".ci/pytorch", ".jenkins/pytorch")  # newer trees, older trees


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """A PyTorch tree. ``root`` is None for the one on which the traces were recorded.

    ``scripts`` is the folder of test.sh, relative to the root. ``speedups`` are the rows of the CPU
    smoke test's target file: model, backend, data type, shape, wrapper, target. ``is_sample`` marks
    the miniature tree of this project, which has neither torch nor anything to install.
    """

    root: Path | None = None
    version: str = ""
    scripts: str = _SCRIPT_FOLDERS[0]
    is_sample: bool = False
    has_onnx_script: bool = False
    is_x86: bool = True
    has_hf_cache: bool = False
    speedups: tuple[tuple[str, ...], ...] = ()
    features: frozenset[Feature] = NEWEST

    @property
    def script(self) -> str:
        """The shell script that this tree's CI runs, relative to its root."""
        return f"{self.scripts}/test.sh"

    def has(self, feature: Feature) -> bool:
        """Tell whether the tree has a feature."""
        return feature in self.features

    def describe(self) -> str:
        """Return where the tree is and what it is."""
        what = "the sample checkout" if self.is_sample else "PyTorch"
        return f"{self.root or 'recorded'} ({what} {self.version or 'of unknown version'})"


RECORDED = Checkout(speedups=(("resnet50", "inductor", "float32", "static", "default", "2.0"),))
"""The tree and machine on which the traces were recorded."""


def locate_scripts(root: Path) -> Checkout:
    """Return where the scripts of the tree at ``root`` lie: all that the shell's route needs.

    No file is read, so nothing in a tree can keep a job from its own script.
    """
    folders = [name for name in _SCRIPT_FOLDERS if (root / name / "test.sh").is_file()]
    return Checkout(
        root=root,
        scripts=folders[0] if folders else _SCRIPT_FOLDERS[0],
        is_sample=(root / SAMPLE_MARKER).is_file(),
        has_onnx_script=(root / ".ci" / "onnx" / "test.sh").is_file(),
    )


def read_checkout(root: Path, *, machine: str, hf_cache: str = "") -> Checkout:
    """Read the facts of the tree at ``root`` for a machine (``x86_64``, ``aarch64``).

    Raises CheckoutError for a file that cannot be read or has not what it should.
    """
    located = locate_scripts(root)
    try:
        return replace(
            located,
            version=(_text(root / "version.txt") or "").strip(),
            is_x86=machine != "aarch64",
            has_hf_cache=bool(hf_cache) and Path(hf_cache).is_dir(),
            speedups=_read_speedups(root / _SPEEDUPS),
            features=NEWEST if located.is_sample else _read_features(root, located.scripts),
        )
    except (OSError, csv.Error) as error:
        raise CheckoutError(f"a file of {root} cannot be read: {error}.") from error


def _read_features(root: Path, scripts: str) -> frozenset[Feature]:
    found = [_text(path) or "" for path in sorted((root / scripts).glob("*.sh"))]
    return features_in(
        {
            File.RUN_TEST: _text(root / File.RUN_TEST.value),
            File.SCRIPTS: "\n".join(found) if found else None,
        }
    )


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _read_speedups(path: Path) -> tuple[tuple[str, ...], ...]:
    lines = (_text(path) or "").splitlines()
    rows = csv.reader(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    found = tuple(tuple(row) for row in rows)
    for row in found:
        if len(row) < _SPEEDUP_COLUMNS:
            raise CheckoutError(
                f"{path} has a row with {len(row)} of {_SPEEDUP_COLUMNS} columns: {','.join(row)}"
            )
    return found
