"""Locate the PyTorch checkout: the given one, the enclosing one, or the sample checkout."""

from __future__ import annotations

from pathlib import Path

from ci_sessions.checkout.files import reason_of
from ci_sessions.errors import CheckoutError
from ci_sessions.text import shown

__all__ = ["find_checkout", "is_checkout", "sample_checkout"]


def is_checkout(folder: Path) -> bool:
    """Return whether a folder is a PyTorch checkout: whether it has test/run_test.py."""
    return (folder / "test" / "run_test.py").is_file()


def sample_checkout() -> Path:
    """Return the sample checkout: next to the package in a clone, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    in_clone = package.parent / "examples" / "checkout"
    return in_clone if is_checkout(in_clone) else package / "resources" / "checkout"


def find_checkout(given: str | None, start: Path | None = None, *, sample: bool = True) -> Path:
    """Return the root of the given checkout, of the one that contains ``start``, or of the sample.

    ``start`` is the current folder by default.

    Raises CheckoutError if the given folder is not a PyTorch checkout, or if there is none and
    ``sample`` is false.
    """
    try:
        return _find(given, start, sample=sample)
    except (OSError, RuntimeError, ValueError) as error:  # no permission, ~nobody, a null byte
        what = "the current folder" if given is None else f"--checkout is {shown(given)}, which"
        raise CheckoutError(
            f"{what} cannot be read: {reason_of(error)}. Pass the root of a PyTorch checkout with "
            "--checkout."
        ) from error


def _find(given: str | None, start: Path | None, *, sample: bool) -> Path:
    if given is not None:
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise CheckoutError(
                f"--checkout is {shown(given)}, but there is no such folder: pass the root of a "
                "PyTorch checkout, or leave the option out."
            )
        if not is_checkout(folder):
            raise CheckoutError(
                f"--checkout is {shown(given)}, which has no test/run_test.py: pass the root of a "
                "PyTorch checkout."
            )
        return folder.resolve()
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if is_checkout(folder):
            return folder
    if not sample:
        raise CheckoutError(
            f"{start} is not in a PyTorch checkout: run this command in one, or pass its root with "
            "--checkout."
        )
    return sample_checkout()
