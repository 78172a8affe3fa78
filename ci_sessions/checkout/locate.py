"""Where a PyTorch tree is: the one that was named, the one around a folder, or the sample."""

from __future__ import annotations

from pathlib import Path

from ci_sessions.errors import CheckoutError

__all__ = ["find_checkout", "is_checkout", "sample_checkout"]


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
