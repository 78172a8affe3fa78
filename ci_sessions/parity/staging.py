"""The throwaway copy in which a script is traced: its own folder, and the few files that it names.

Reading a stage touches nothing; the same stage is written afresh for each job. A file of a pinned
commit holds its token (``PIN-vision``) instead, so that a trace says what a plan says.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.errors import CheckoutError
from ci_sessions.log import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_sessions.parity.profile import Profile

__all__ = ["Stage", "places_below", "read_stage", "remove", "write_stage"]

_LARGEST = 256 * 1024  # bytes of a file that is copied whole; a larger one is there, but empty
_MOST = 2000  # names that one folder or pattern may bring
_WORD = re.compile(r"[\w.*?/+-]*[/.*][\w.*?/+-]*")
_LISTS = re.compile(r"\b(find|ls|for)\b")


@dataclass(frozen=True, slots=True)
class Stage:
    """A copy, as values: files and folders by their path in the checkout, and the script's path.

    ``scripts`` is the folder whose files the script may source. ``moved`` absolute paths are
    replaced in its texts.
    """

    script: str
    scripts: str
    files: Mapping[str, bytes]
    folders: tuple[str, ...]
    moved: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A hash of all that is in it."""
        total = hashlib.sha256()
        for name, data in sorted(self.files.items()):
            total.update(f"{name}\0{len(data)}\0".encode() + data)
        total.update("\0".join((self.script, *self.folders, *self.moved)).encode())
        return total.hexdigest()


def read_stage(
    root: Path, script: str, profile: Profile, *, overlay: Mapping[str, bytes] | None = None
) -> Stage:
    """Read what a trace of ``script`` (relative to ``root``) needs.

    ``overlay`` replaces the script folder's files, as another revision has them. Raises
    CheckoutError where there is no such script.
    """
    scripts = script.rpartition("/")[0]
    own = dict(overlay) if overlay is not None else dict(_contents(root, _below(root / scripts)))
    if script not in own:
        raise CheckoutError(
            f"{root / script} is not there: give the root of a PyTorch tree that has "
            "test.sh in .ci/pytorch or .jenkins/pytorch."
        )
    text = "\n".join(
        data.decode(errors="replace") for name, data in own.items() if name.endswith(".sh")
    )
    paths, folders = _named(root, text)
    files = {
        name: data for name, data in _contents(root, paths) if not name.startswith(f"{scripts}/")
    }
    files |= _pins(root, profile)
    return Stage(script, scripts, files | own, tuple(sorted(folders)), profile.moved)


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _contents(root: Path, paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Read files of the checkout; a link that leads out of it is left out."""
    real = root.resolve()
    for path in paths:
        if not path.resolve().is_relative_to(real):
            logger.warning("%s leads out of the checkout, and is not copied", path)
            continue
        is_whole = path.suffix == ".sh" or path.stat().st_size <= _LARGEST
        try:
            yield path.relative_to(root).as_posix(), path.read_bytes() if is_whole else b""
        except OSError as error:
            raise CheckoutError(f"{path} cannot be read: {error.strerror}.") from error


def _pins(root: Path, profile: Profile) -> dict[str, bytes]:
    found = (path for pattern in profile.pins for path in root.glob(pattern))
    return {
        path.relative_to(root).as_posix(): f"{profile.pin.format(path.stem)}\n".encode()
        for path in found
    }


def _named(root: Path, text: str) -> tuple[set[Path], set[str]]:
    """Find the files and folders of the checkout that a text names."""
    paths: set[Path] = set()
    folders = {path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."}
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        lists = _LISTS.search(line) is not None
        for word in set(_WORD.findall(line)):
            name = word.lstrip("/").removeprefix("./").rstrip("/")
            if not name.strip("./*?") or name.startswith(".."):
                continue
            if re.search(r"[*?]", name):
                paths.update(islice(_matches(root, name), _MOST))
            elif (root / name).is_dir():
                folders.add(name)
                if lists:
                    paths.update(islice(_below(root / name), _MOST))
            elif (root / name).is_file():
                paths.add(root / name)
    return {path for path in paths if path.is_file()}, folders


def _matches(root: Path, pattern: str) -> Iterator[Path]:
    if "**" in pattern or pattern.startswith("*"):
        return iter(())  # a pattern of words, or one that would read the whole tree
    return root.glob(pattern)


def places_below(base: Path) -> dict[str, str]:
    """Return where the places of a trace lie below a throwaway folder."""
    below = {"root": "tmp/checkout", "site": "site", "home": "home", "tmp": "tmp", "shims": "shims"}
    return {name: str(base / path) for name, path in below.items()}


def write_stage(stage: Stage, profile: Profile, base: Path) -> None:
    """Write a stage, and what the profile says is there, below an empty folder."""
    places = places_below(base)
    root = Path(places["root"])
    for folder in (*places.values(), *(f"{root}/{name}" for name in stage.folders)):
        Path(folder).mkdir(parents=True, exist_ok=True)
    for name in profile.folders:
        Path(root, profile.where(name, places)).mkdir(parents=True, exist_ok=True)
    for name, text in profile.files.items():
        path = Path(root, profile.where(name, places))
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text.encode())
    moved = {name: profile.where(name, places) for name in stage.moved}
    pattern = re.compile(rf"(?<![\w.$}}~/])({'|'.join(map(re.escape, moved))})(?![\w.-])")
    for name, data in stage.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith(".sh"):
            _write(path, data)
            continue
        text = data.decode(errors="surrogateescape")
        text = pattern.sub(lambda match: moved[match[1]], text) if moved else text
        _write(path, text.encode(errors="surrogateescape"))


def _write(path: Path, data: bytes) -> None:
    """Write a file that may be executed: in the sandbox no rights can be changed later."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def remove(folder: Path) -> None:
    """Remove a throwaway folder, also one whose script took its own rights to it away."""
    for path, folders, _ in os.walk(folder):
        for name in folders:
            below = Path(path, name)
            if not below.is_symlink():
                with suppress(OSError):
                    below.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
