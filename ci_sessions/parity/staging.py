"""The temporary copy in which a script is traced: its folder and the few files that it names.

A stage is read once, without side effects, and written again for each job. Files of pinned commits
contain a token instead (``PIN-vision``), so that traces and plans agree.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.checkout.files import read_regular
from ci_sessions.errors import CheckoutError
from ci_sessions.log import logger
from ci_sessions.parity.loops import stand_ins_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_sessions.parity.profile import Profile

__all__ = ["Stage", "places_below", "read_stage", "write_stage"]

_MAX_FILE_SIZE = 256 * 1024  # bytes; larger files are created empty
_MAX_SCRIPT_SIZE = 4 << 20  # bytes; larger scripts are an error
_MAX_MATCHES = 2000  # files from one folder or pattern
_WORD = re.compile(r"[\w.*?/+-]*[/.*][\w.*?/+-]*")
_LISTING = re.compile(r"\b(find|ls|for)\b")


@dataclass(frozen=True, slots=True)
class Stage:
    """The contents of a copy: files and folders by path in the checkout, and the script's path.

    ``scripts`` is the folder whose files the script may source. ``moved`` absolute paths are
    replaced in shell files. ``stand_ins`` are files in place of those that a build makes.
    """

    script: str
    scripts: str
    files: Mapping[str, bytes]
    folders: tuple[str, ...]
    moved: tuple[str, ...]
    stand_ins: tuple[str, ...] = ()

    @property
    def shell_files(self) -> dict[str, bytes]:
        """The shell files that the script may source, by path."""
        return _shell_files(self.files, self.scripts)

    @property
    def digest(self) -> str:
        """A hash of the whole stage."""
        digest = hashlib.sha256()
        for name, data in sorted(self.files.items()):
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
        digest.update("\0".join((self.script, *self.folders, *self.moved)).encode())
        digest.update("\0".join(("", *self.stand_ins)).encode())
        return digest.hexdigest()


def read_stage(
    root: Path, script: str, profile: Profile, *, overlay: Mapping[str, bytes] | None = None
) -> Stage:
    """Read everything that a trace of ``script`` (relative to ``root``) needs.

    ``overlay`` replaces the files in the script's folder, to use those of another revision.
    Where the script loops over files that a build makes, one file stands for them.
    Raises CheckoutError if there is no such script.
    """
    scripts = script.rpartition("/")[0]
    if overlay is not None:
        script_files = dict(overlay)
    else:
        script_files = dict(_read_files(root, _files_in(root / scripts)))
    if script not in script_files:
        raise CheckoutError(
            f"{root / script} does not exist: give the root of a PyTorch checkout, with test.sh "
            "in .ci/pytorch or .jenkins/pytorch."
        )
    shell_files = _shell_files(script_files, scripts)
    text = "\n".join(data.decode(errors="replace") for data in shell_files.values())
    paths, folders = _find_named(root, text)
    files = {
        name: data for name, data in _read_files(root, paths) if not name.startswith(f"{scripts}/")
    }
    files |= _pins(root, profile)
    return Stage(
        script=script,
        scripts=scripts,
        files=files | script_files,
        folders=tuple(sorted(folders)),
        moved=profile.moved,
        stand_ins=stand_ins_for(text, profile.built, profile.files),
    )


def _shell_files(files: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
    inside = (name for name in files if name.startswith(f"{folder}/") and name.endswith(".sh"))
    return {name: files[name] for name in inside}


def _files_in(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _read_files(root: Path, paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Read files of the checkout, except links that point outside of it."""
    real_root = root.resolve()
    for path in paths:
        if not path.resolve().is_relative_to(real_root):
            logger.warning("%s points outside the checkout and is not copied", path)
            continue
        is_copied = path.suffix == ".sh" or path.stat().st_size <= _MAX_FILE_SIZE
        try:
            data = read_regular(path, _MAX_SCRIPT_SIZE) if is_copied else b""
        except OSError as error:
            raise CheckoutError(f"{path} cannot be read: {error.strerror}.") from error
        yield path.relative_to(root).as_posix(), data


def _pins(root: Path, profile: Profile) -> dict[str, bytes]:
    found = (path for pattern in profile.pins for path in root.glob(pattern))
    return {
        path.relative_to(root).as_posix(): f"{profile.pin.replace('{}', path.stem)}\n".encode()
        for path in found
    }


def _find_named(root: Path, text: str) -> tuple[set[Path], set[str]]:
    """Find the files and folders of the checkout that are named in shell text."""
    paths: set[Path] = set()
    folders = {path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."}
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        is_listing = _LISTING.search(line) is not None
        for word in set(_WORD.findall(line)):
            name = word.lstrip("/").removeprefix("./").rstrip("/")
            if not name.strip("./*?") or name.startswith(".."):
                continue
            if re.search(r"[*?]", name):
                paths.update(islice(_glob(root, name), _MAX_MATCHES))
            elif (root / name).is_dir():
                folders.add(name)
                if is_listing:
                    paths.update(islice(_files_in(root / name), _MAX_MATCHES))
            elif (root / name).is_file():
                paths.add(root / name)
    return {path for path in paths if path.is_file()}, folders


def _glob(root: Path, pattern: str) -> Iterator[Path]:
    if "**" in pattern or pattern.startswith("*"):
        return iter(())  # not a pattern of files, or one that would read the whole tree
    return root.glob(pattern)


def places_below(base: Path) -> dict[str, str]:
    """Return the paths that $ROOT, $SITE etc. have during a trace, in a temporary folder."""
    paths = {"root": "tmp/checkout", "site": "site", "home": "home", "tmp": "tmp", "shims": "shims"}
    return {name: str(base / path) for name, path in paths.items()}


def write_stage(stage: Stage, profile: Profile, base: Path) -> None:
    """Write a stage, and the files and folders of the profile, into an empty folder."""
    places = places_below(base)
    root = Path(places["root"])
    for folder in (*places.values(), *(f"{root}/{name}" for name in stage.folders)):
        Path(folder).mkdir(parents=True, exist_ok=True)
    for name in profile.folders:
        Path(root, profile.locate(name, places)).mkdir(parents=True, exist_ok=True)
    extra = {**dict.fromkeys(stage.stand_ins, ""), **profile.files}
    for name, text in extra.items():
        path = Path(root, profile.locate(name, places))
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text.encode())
    moved = {name: profile.locate(name, places) for name in stage.moved}
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
    """Write an executable file. The sandbox does not allow a chmod later."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
