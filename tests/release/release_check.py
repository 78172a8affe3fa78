"""Builds what a release would publish, and checks it: see docs/releases.md.

Usage: release_check.py [--all] [--python PATH]... [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
NEEDED = (  # how a name ends
    ".dist-info/licenses/LICENSE",
    "ci_sessions/py.typed",
    "ci_sessions/resources/checkout/test/run_test.py",
    "ci_sessions/resources/checkout/.ci-sessions-sample",
    "ci_sessions/resources/dispatch.sh",
    "ci_sessions/resources/rollout.toml",
    "ci_sessions/resources/schemas/record.schema.json",
    "ci_sessions/parity/recorder.bash",
)
UNWANTED = (".ci-sessions/", "__pycache__", "test-reports", "tests/", ".pyc")


def main() -> int:
    """Check everything; the first failure ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="install on every Python that is found")
    parser.add_argument("--python", action="append", default=[], help="install on this Python too")
    parser.add_argument("--keep", type=Path, help="copy what was built to this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, sdist = build_twice(folder)
        run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
        run(Path(sys.executable).with_name("check-wheel-contents"), wheel)
        check_contents(wheel)
        for python in [*(find_pythons() if options.all else [sys.executable]), *options.python]:
            install(python, wheel, folder)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for path in (wheel, sdist):
                shutil.copy2(path, options.keep)
    return 0


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    """Run a command and return its output; print that and exit if it fails."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def copy_of_the_tree(target: Path) -> Path:
    """Copy what git would have, without what runs left in the tree. Files get another date."""
    names = run("git", "ls-files", "-co", "--exclude-standard").splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def build_twice(folder: Path) -> tuple[Path, Path]:
    """Build the files in two copies of the tree, once the wheel from the sdist, and compare them."""
    epoch = run("git", "log", "-1", "--format=%ct").strip()
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    for name, kinds in (("first", ()), ("second", ("--sdist", "--wheel"))):
        tree = copy_of_the_tree(folder / name / "tree")
        run(*build, folder / name / "dist", *kinds, tree, SOURCE_DATE_EPOCH=epoch)
    built = sorted((folder / "first" / "dist").iterdir())
    for path in built:
        first, second = (
            hashlib.sha256((folder / name / "dist" / path.name).read_bytes()).hexdigest()
            for name in ("first", "second")
        )
        if first != second:
            sys.exit(f"{path.name} is not the same in two builds:\n  {first}\n  {second}")
        print(f"{path.name}  {path.stat().st_size:,} bytes, the same twice\n  sha256 {first}")
    wheel, sdist = (next(path for path in built if path.name.endswith(end)) for end in ENDS)
    return wheel, sdist


ENDS = (".whl", ".tar.gz")


def check_contents(wheel: Path) -> None:
    """Check and print what the wheel contains."""
    names = zipfile.ZipFile(wheel).namelist()
    missing = [end for end in NEEDED if not any(name.endswith(end) for name in names)]
    extra = [name for name in names for part in UNWANTED if part in name]
    if missing or extra:
        sys.exit(f"{wheel.name} lacks {missing}, and should not have {extra}")
    folders = Counter("/".join(name.split("/")[:2]) for name in names if "/" in name)
    print(f"{wheel.name}  {len(names)} files:")
    print("\n".join(f"  {number:4} {name}" for name, number in sorted(folders.items())))


def find_pythons() -> list[str]:
    """Return the newest Python of each supported version, on the PATH or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for version in VERSIONS:
        paths = [*sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
        path = next(map(str, paths), None) or shutil.which(f"python{version}")
        if path:
            found.append(path)
        else:
            print(f"Python {version}: not on this machine")
    return found


def install(python: str, wheel: Path, folder: Path) -> None:
    """Install the wheel into a new environment, and use it as somebody who has only that."""
    begin = time.monotonic()
    version = run(python, "-c", "import platform; print(platform.python_version())").strip()
    place = Path(tempfile.mkdtemp(dir=folder))
    run(python, "-m", "venv", place / "venv")
    programs = place / "venv" / "bin"
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel)
    run(programs / "python", "-m", "pip", "check")
    (place / "noxfile.py").write_text("import ci_sessions.sessions\n")
    shown = run(programs / "ci-sessions", "--version", cwd=place)
    listed = run(programs / "nox", "-l", cwd=place, PATH=path)
    ran = run(programs / "ci-sessions", "run", "jit_legacy", cwd=place, PATH=path)
    through_nox = run(programs / "nox", "-s", "ci(config='docs_test')", cwd=place, PATH=path)
    if shown.strip() not in wheel.name or "ci(config='jit_legacy')" not in listed:
        sys.exit(f"{shown}\n{listed}")
    if "PASSED  jit_legacy" not in ran or "PASSED  docs_test" not in through_nox:
        sys.exit(f"{ran}\n{through_nox}")
    print(f"Python {version}: installed, two jobs passed ({time.monotonic() - begin:.0f} s)")


if __name__ == "__main__":
    sys.exit(main())
