"""Locate the PyTorch checkout: the given one, the enclosing one, or the sample checkout."""

from __future__ import annotations

from pathlib import Path

from ci_sessions.errors import CheckoutError

__all__ = ["find_checkout", "is_checkout", "sample_checkout"]


def is_checkout(folder: Path) -> bool:
    """Return whether a folder is a PyTorch checkout: whether it has test/run_test.py."""
    return (folder / "test" / "run_test.py").is_file()


def sample_checkout() -> Path:
    """Return the sample checkout: next to the package in a clone, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    in_clone = package.parent / "examples" / "checkout"
    return in_clone if is_checkout(in_clone) else package / "resources" / "checkout"


def find_checkout(given: str | None, start: Path) -> Path:
    """Return the root of the given checkout, of the one that contains ``start``, or of the sample.

    Raises CheckoutError if the given folder is not a PyTorch checkout.
    """
    if given is not None:
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise CheckoutError(
                f"--checkout is {given!r}, but there is no such folder: pass the root of a "
                "PyTorch checkout, or leave the option out."
            )
        if not is_checkout(folder):
            raise CheckoutError(
                f"--checkout is {given!r}, which has no test/run_test.py: pass the root of a "
                "PyTorch checkout."
            )
        return folder.resolve()
    start = start.resolve()
    for folder in (start, *start.parents):
        if is_checkout(folder):
            return folder
    return sample_checkout()
