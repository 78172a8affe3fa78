"""A real PyTorch 1.13.1 from Debian 12: binaries, the full source tree, and an environment for both.

It is set up once, in a cache folder that is reused. Without apt and root, or on another system, the
tests are skipped with a reason.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest
from e2e.act import Act, table

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ci-sessions-e2e"
PACKAGES = ("python3-torch", "libtorch-test", "python3-venv")
NEEDS = (
    "expecttest<0.2", "numpy<2", "pytest", "pytest-rerunfailures", "pytest-shard", "pytest-xdist",
    "pytest-flakefinder", "unittest-xml-reporting",
)  # fmt: skip
SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture
def act(request, tmp_path):
    """act, in a repository with the sample checkout and a copy of the package; or skip."""
    return Act.with_sample(tmp_path, request.node.name.removeprefix("test_"))


def pytest_terminal_summary(terminalreporter):
    """Print what act said about each workflow that it ran."""
    if rows := table():
        terminalreporter.section("workflows run by act")
        terminalreporter.line("| case | act's exit code | jobs | artifacts | errors / warnings |")
        terminalreporter.line("| --- | --- | --- | --- | --- |")
        for row in rows:
            terminalreporter.line(row)


class RealPyTorch(NamedTuple):
    """The source tree, and a PATH that starts with its ``python``."""

    root: Path
    path: str


def sh(*words, check=True, **more):
    return subprocess.run(words, check=check, capture_output=True, text=True, **more)


def has_torch():
    line = "import torch; print(torch.__version__)"
    done = sh(SYSTEM_PYTHON, "-c", line, check=False, cwd="/")
    return done.stdout.startswith("1.13")


def install_binaries():
    if has_torch() and Path("/usr/lib/libtorch-test").is_dir():
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        pytest.skip("needs apt-get and root, to install Debian's PyTorch packages")
    sh("apt-get", "update")
    found = sh("apt-cache", "policy", "python3-torch").stdout
    if "Candidate: 1.13" not in found:
        pytest.skip("needs Debian 12, whose PyTorch is 1.13.1")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    sh("apt-get", "install", "-y", "--no-install-recommends", *PACKAGES, env=quiet)


def source_lists(folder):
    """Copy the system's package sources and enable source packages in the copy."""
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    for path in Path("/etc/apt").rglob("*.sources"):
        text = re.sub(r"^Types:.*$", "Types: deb-src", path.read_text(), flags=re.MULTILINE)
        if "debian" in text:
            (parts / path.name).write_text(text)
    for path in Path("/etc/apt").rglob("*.list"):
        text = re.sub(r"^deb\s", "deb-src ", path.read_text(), flags=re.MULTILINE)
        if "debian" in text:
            (parts / path.name).write_text(text)
    return (
        "-oDir::Etc::sourcelist=/dev/null", f"-oDir::Etc::sourceparts={parts}",
        f"-oDir::State::lists={folder / 'lists'}", "-oAPT::Sandbox::User=root",
    )  # fmt: skip


def source_tree():
    root = CACHE / "pytorch-1.13.1"
    if (root / ".git").is_dir():
        return root
    if shutil.which("apt-get") is None:
        pytest.skip("needs apt-get, to download Debian's source package of PyTorch")
    CACHE.mkdir(parents=True, exist_ok=True)
    options = source_lists(CACHE / "apt")
    sh("apt-get", *options, "update")
    # Only the upstream tarball is needed; a mirror may lack Debian's patches.
    done = sh("apt-get", *options, "source", "--download-only", "pytorch", check=False, cwd=CACHE)
    archives = sorted(CACHE.glob("pytorch_1.13.1*.orig.tar.*"))
    assert archives, done.stderr
    partial = CACHE / "unpacking"
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(archives[0]) as archive:
        archive.extractall(partial, filter="data")
    shutil.rmtree(root, ignore_errors=True)
    next(partial.iterdir()).rename(root)
    who = ("-c", "user.name=e2e", "-c", "user.email=e2e@example.invalid", "-c", "gc.auto=0")
    sh("git", "init", "-q", cwd=root)
    sh("git", "add", "-A", cwd=root)
    sh("git", *who, "commit", "-qm", "PyTorch 1.13.1", cwd=root)
    return root


def environment():
    folder = CACHE / "venv"
    if not (folder / "ready").exists():
        sh(SYSTEM_PYTHON, "-m", "venv", "--clear", "--system-site-packages", str(folder))
        sh(str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *NEEDS)
        (folder / "ready").touch()
    return folder / "bin"


@pytest.fixture(scope="session")
def source():
    """Return the full source tree of PyTorch 1.13.1, downloaded on first use."""
    return source_tree()


@pytest.fixture(scope="session")
def pytorch(source):
    """Return the real PyTorch, set up on first use."""
    install_binaries()
    root = source
    binaries = root / "build" / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    for path in Path("/usr/lib/libtorch-test").iterdir():
        (binaries / path.name).unlink(missing_ok=True)
        (binaries / path.name).symlink_to(path)
    return RealPyTorch(root, f"{environment()}:{os.environ['PATH']}")
