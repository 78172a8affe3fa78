"""Facts about a PyTorch checkout that a plan depends on: its version, scripts and features.

Reading a checkout starts no process and writes nothing. Whatever only the machine that runs the
job knows, such as the location of site-packages, stays open in a plan (``plan/placeholders.py``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ci_sessions.checkout.features import NEWEST, Feature, File, features_in
from ci_sessions.checkout.files import read_regular
from ci_sessions.errors import CheckoutError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RECORDED", "Checkout", "is_sample", "locate_scripts", "read_checkout"]

SAMPLE_MARKER = ".ci-sessions-sample"
SPEEDUPS = "benchmarks/dynamo/expected_ci_speedup_inductor_torchbench_cpu.csv"
_SCRIPT_FOLDERS = (".ci/pytorch", ".jenkins/pytorch")  # newer trees, older trees


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """A PyTorch checkout. ``root`` is None for the one that the traces were recorded on.

    ``scripts`` is the folder of test.sh, relative to the root. ``speedups`` are the rows of the CPU
    smoke test's target file: model, backend, data type, shape, wrapper, target. ``is_sample`` marks
    this project's sample checkout, which has neither torch nor anything to install.
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
        """The shell script that CI runs for this checkout, relative to its root."""
        return f"{self.scripts}/test.sh"

    def has(self, feature: Feature) -> bool:
        """Return whether the checkout has a feature."""
        return feature in self.features

    def describe(self) -> str:
        """Return one line: the root, and the version of PyTorch."""
        what = "the sample checkout" if self.is_sample else "PyTorch"
        return f"{self.root or 'recorded'} ({what} {self.version or 'of unknown version'})"


RECORDED = Checkout(speedups=(("resnet50", "inductor", "float32", "static", "default", "2.0"),))
"""The checkout and machine that the traces were recorded on."""


def is_sample(root: Path) -> bool:
    """Return whether a checkout is this project's sample."""
    return (root / SAMPLE_MARKER).is_file()


def locate_scripts(root: Path) -> Checkout:
    """Return where the scripts of the checkout at ``root`` are: enough to run a job in the shell.

    Reads no file, so that no broken file can keep a job from running its script.
    """
    folders = [name for name in _SCRIPT_FOLDERS if (root / name / "test.sh").is_file()]
    return Checkout(
        root=root,
        scripts=folders[0] if folders else _SCRIPT_FOLDERS[0],
        is_sample=is_sample(root),
        has_onnx_script=(root / ".ci" / "onnx" / "test.sh").is_file(),
    )


def read_checkout(root: Path, *, machine: str, hf_cache: str = "") -> Checkout:
    """Read the facts of the checkout at ``root`` for a machine (``x86_64``, ``aarch64``).

    Raises CheckoutError if a file cannot be read or has an unexpected format.
    """
    located = locate_scripts(root)
    try:
        return replace(
            located,
            version=(_read_text(root / "version.txt") or "").strip(),
            is_x86=machine != "aarch64",
            has_hf_cache=bool(hf_cache) and os.path.isdir(hf_cache),  # noqa: PTH112 - never raises
            speedups=_read_speedups(root / SPEEDUPS),
            features=NEWEST if located.is_sample else _read_features(root, located.scripts),
        )
    except OSError as error:
        raise CheckoutError(f"the checkout {root} cannot be read: {error}.") from error


def _read_features(root: Path, scripts: str) -> frozenset[Feature]:
    found = [_read_text(path) or "" for path in sorted((root / scripts).glob("*.sh"))]
    return features_in(
        {
            File.RUN_TEST: _read_text(root / File.RUN_TEST.value),
            File.SCRIPTS: "\n".join(found) if found else None,
        }
    )


def _read_text(path: Path) -> str | None:
    """Return the text of a file, or None if there is no such regular file."""
    return read_regular(path).decode(errors="replace") if path.is_file() else None


def _read_speedups(path: Path) -> tuple[tuple[str, ...], ...]:
    lines = (line.strip() for line in (_read_text(path) or "").splitlines())
    return tuple(tuple(line.split(",")) for line in lines if line and not line.startswith("#"))
