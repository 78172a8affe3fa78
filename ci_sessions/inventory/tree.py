"""What run_test.py reads of a checkout to select tests: a small copy, without side effects.

Of a test file only its name counts, so the copy has an empty one. The digest of the copy is the key
of cached answers.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions.checkout.files import read_regular, reason_of
from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["RUN_TEST", "TestTree", "read_tree"]

RUN_TEST = "test/run_test.py"
COMMON_UTILS = "torch/testing/_internal/common_utils.py"
_TOOLS = "tools"
_BINARIES = "build/bin"
_FOLDER = ".additional_ci_files"
_TIMES, _CLASS_TIMES = f"{_FOLDER}/test-times.json", f"{_FOLDER}/test-class-times.json"
_OLD_TIMES = ".pytorch-test-times.json"
_MAX_FILES = 50_000
_MAX_TOOL = 1 << 20  # bytes
_MAX_TIMES = 64 << 20  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class TestTree:
    """The copy. ``files`` are texts and ``empty`` names, by path in the checkout.

    ``test_files`` are the names of all test files, as run_test.py has them. ``times_of_build`` has
    the timing file of each build for older releases, which read one of a single build; ``times``
    are the times: build → configuration → file → seconds.
    """

    __test__ = False

    files: Mapping[str, str]
    empty: tuple[str, ...]
    times: Mapping[str, Any]
    times_of_build: Mapping[str, Mapping[str, str]]

    @property
    def run_test(self) -> str:
        """The text of run_test.py."""
        return self.files[RUN_TEST]

    @property
    def test_files(self) -> tuple[str, ...]:
        """The names of the files ``test_*.py`` below ``test/``, without the suffix."""
        names = (name.removeprefix("test/") for name in self.empty if name.startswith("test/"))
        return tuple(
            sorted(
                name.removesuffix(".py")
                for name in names
                if name.rpartition("/")[2].startswith("test_") and name.endswith(".py")
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what the worker needs, as JSON values."""
        return {
            "files": dict(self.files),
            "empty": list(self.empty),
            "times_of_build": {k: dict(v) for k, v in self.times_of_build.items()},
        }

    def with_binaries(self, names: Iterable[str]) -> TestTree:
        """Return the copy with C++ tests, named without ``cpp/``, if there is no build."""
        if any(name.startswith(f"{_BINARIES}/") for name in self.empty):
            return self
        more = {f"{_BINARIES}/{name}" for name in names}
        return replace(self, empty=tuple(sorted({*self.empty, *more})))

    @property
    def digest(self) -> str:
        """A hash of everything that is read."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def read_tree(root: Path, times: Path | None = None) -> TestTree:
    """Read what run_test.py reads of the checkout at ``root``.

    ``times`` replaces the checkout's timing file. Raises CheckoutError without a run_test.py, and
    InputError if ``times`` is not a timing file.
    """
    try:
        files = {RUN_TEST: _read(root / RUN_TEST, _MAX_TOOL * 4)}
    except OSError as error:
        raise CheckoutError(f"{root / RUN_TEST} cannot be read: {reason_of(error)}.") from error
    is_old = _FOLDER.rpartition("/")[2] not in "".join(
        [files[RUN_TEST], *(files.update(_tools(root)) or files).values()]
    )
    if (root / COMMON_UTILS).is_file() and "common_parser" in files[RUN_TEST]:
        files[COMMON_UTILS] = _read(root / COMMON_UTILS, _MAX_TOOL * 4)
    found, class_times = _find_times(root, times, is_old=is_old)
    if found and not is_old:
        files[_TIMES] = json.dumps(found)
    if class_times:
        files[_CLASS_TIMES] = class_times
    names = {*_names(root / "test"), *(f"{_BINARIES}/{name}" for name in _binaries(root))}
    return TestTree(
        files=files,
        empty=tuple(sorted(names - set(files))),
        times=found,
        times_of_build={b: {_OLD_TIMES: json.dumps(t)} for b, t in found.items()} if is_old else {},
    )


def _read(path: Path, most: int) -> str:
    return read_regular(path, most).decode(errors="replace")


def _tools(root: Path) -> dict[str, str]:
    """Return the Python files that run_test.py may import."""
    found = {}
    for path in sorted((root / _TOOLS).rglob("*.py")):
        if path.is_file() and path.stat().st_size <= _MAX_TOOL:
            found[path.relative_to(root).as_posix()] = _read(path, _MAX_TOOL)
    return found


def _names(folder: Path) -> Iterator[str]:
    """Yield the Python files below a folder, by path from its parent, also in linked folders."""
    count = 0
    for path, folders, files in os.walk(folder, followlinks=True):
        depth = len(Path(path).relative_to(folder).parts)
        folders[:] = [name for name in folders if name[0] != "." and depth < 12]  # noqa: PLR2004 - a link to a parent would never end
        for name in files:
            if name.endswith(".py"):
                count += 1
                if count > _MAX_FILES:
                    raise CheckoutError(f"{folder} has more than {_MAX_FILES:,} Python files.")
                yield Path(path, name).relative_to(folder.parent).as_posix()


def _binaries(root: Path) -> list[str]:
    folder = root / _BINARIES
    return [path.name for path in folder.iterdir() if not path.is_dir()] if folder.is_dir() else []


def _find_times(
    root: Path, given: Path | None, *, is_old: bool
) -> tuple[dict[str, Any], str | None]:
    """Return the times, and the text of the file with the times of test classes."""
    if given is not None:
        return _parse_times(given, f"--times {shown(str(given))}"), None
    path = root / (_OLD_TIMES if is_old else _TIMES)
    if not path.is_file():
        return {}, None
    found = _parse_times(path, str(path))
    classes = root / _CLASS_TIMES
    text = _read(classes, _MAX_TIMES) if classes.is_file() else None
    return found, text


def _parse_times(path: Path, source: str) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(_read(path, _MAX_TIMES))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{source} cannot be read: {reason_of(error)}.") from error
    is_valid = isinstance(data, dict) and all(
        isinstance(configs, dict)
        and all(
            isinstance(files, dict)
            and all(isinstance(s, (int, float)) and not isinstance(s, bool) for s in files.values())
            for files in configs.values()
        )
        for configs in data.values()
    )
    if not is_valid or "default" not in data:
        raise InputError(
            f"{source} is not a timing file: it maps builds, one of them 'default', to "
            "configurations, and those to test files with seconds."
        )
    return data
