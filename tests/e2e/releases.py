"""Two real releases of PyTorch on a plain machine: 1.13.1 from Debian 12, and 2.6.0.

- 1.13.1: Debian 12's packages, with the test binaries, and its source package.
- 2.6.0: the wheel from PyPI, test helpers of its time, and the source package of Debian 13, which
  has neither ``.ci`` nor ``.github``.

They are set up once, in a cache folder. Without apt and root, or on another system, the tests are
skipped with a reason.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ci-sessions-e2e"
SYSTEM_PYTHON = "/usr/bin/python3"
DEBIAN = ("python3-torch", "libtorch-test", "python3-venv")
HELPERS_1 = (
    "expecttest<0.2", "numpy<2", "pytest", "pytest-rerunfailures", "pytest-shard", "pytest-xdist",
    "pytest-flakefinder", "unittest-xml-reporting",
)  # fmt: skip
# With newer helpers, the tests of 2.6.0 fail before they start.
HELPERS_2 = (
    "torch==2.6.0", "pytest==7.3.2", "pytest-rerunfailures==14.0", "pytest-xdist==3.3.1",
    "pytest-shard==0.1.2", "pytest-flakefinder==1.1.0", "pytest-cpp==2.3.0", "expecttest==0.3.0",
    "hypothesis==6.56.4", "numpy==1.26.4", "scipy==1.13.1", "unittest-xml-reporting<3.2.1",
    "setuptools<80", "transformers==4.46.3", "z3-solver", "psutil", "pandas", "requests", "ninja",
    "xdoctest==1.1.0",
)  # fmt: skip
# PyTorch's own file ignores these too; Debian's source package does not have it.
IGNORED = "__pycache__/\n.pytest_cache/\n.hypothesis/\n/build/\n/test/test-reports/\n.pytorch-*\n"
WHO = ("-c", "user.name=e2e", "-c", "user.email=e2e@example.invalid", "-c", "gc.auto=0")
# The benchmark reads these configurations when it is imported. The default ones will do.
HUB = """\
import sys
from pathlib import Path
from transformers import (CamembertConfig, ConvBertConfig, FNetConfig, GPT2Config, LongformerConfig,
                          T5Config)
for name, config in {
    "allenai/longformer-base-4096": LongformerConfig, "t5-small": T5Config,
    "distilgpt2": GPT2Config, "google/fnet-base": FNetConfig,
    "YituTech/conv-bert-base": ConvBertConfig, "camembert-base": CamembertConfig,
}.items():
    folder = Path(sys.argv[1], "hub", "models--" + name.replace("/", "--"))
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("0" * 40)
    config().save_pretrained(folder / "snapshots" / ("0" * 40))
"""


class Release(NamedTuple):
    """The source tree of a release, and the variables with which its ``python`` is found."""

    root: Path
    variables: dict[str, str]

    @property
    def path(self):
        return self.variables["PATH"]


def sh(*words, check=True, **more):
    done = subprocess.run(words, check=False, capture_output=True, text=True, **more)
    if check and done.returncode:
        raise RuntimeError(f"{words} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done


def needs(*programs, root=False):
    missing = [name for name in programs if shutil.which(name) is None]
    if missing or (root and os.geteuid() != 0):
        pytest.skip(f"needs {' and '.join([*missing, *(['root'] if root else [])])}")


def read_1_13():
    """Return PyTorch 1.13.1, set up on first use."""
    install_packages()
    root = source_1_13()
    binaries = root / "build" / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    for path in Path("/usr/lib/libtorch-test").iterdir():
        (binaries / path.name).unlink(missing_ok=True)
        (binaries / path.name).symlink_to(path)
    folder = environment("venv", SYSTEM_PYTHON, HELPERS_1, "--system-site-packages")
    return Release(root, {"PATH": f"{folder}/bin:{os.environ['PATH']}"})


def read_2_6():
    """Return PyTorch 2.6.0, set up on first use: 6 GB, and some minutes."""
    root = source_tree("2.6.0", of_suite("trixie", system_sources()), ".gitignore")
    python = shutil.which("python3.11") or sys.executable
    folder = environment("venv-2.6.0", python, HELPERS_2)
    hub = CACHE / "hub-2.6.0"
    if not hub.is_dir():
        sh(str(folder / "bin" / "python"), "-c", HUB, str(hub))
    offline = {"HF_HOME": str(hub), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return Release(root, {"PATH": f"{folder}/bin:{os.environ['PATH']}", **offline})


def install_packages():
    done = sh(
        SYSTEM_PYTHON, "-c", "import torch; print(torch.__version__)", check=False, cwd="/"
    )  # fmt: skip
    if done.stdout.startswith("1.13") and Path("/usr/lib/libtorch-test").is_dir():
        return
    needs("apt-get", root=True)
    sh("apt-get", "update")
    if "Candidate: 1.13" not in sh("apt-cache", "policy", "python3-torch").stdout:
        pytest.skip("needs Debian 12, whose PyTorch is 1.13.1")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    sh("apt-get", "install", "-y", "--no-install-recommends", *DEBIAN, env=quiet)


def source_1_13():
    """Return the source tree of PyTorch 1.13.1, downloaded on first use."""
    return source_tree("1.13.1", system_sources())


def system_sources():
    """Return the files with the system's package sources, changed to source packages."""
    found = {}
    for path in Path("/etc/apt").rglob("*.sources"):
        text = re.sub(r"^Types:.*$", "Types: deb-src", path.read_text(), flags=re.MULTILINE)
        found.update({path.name: text} if "debian" in text else {})
    for path in Path("/etc/apt").rglob("*.list"):
        text = re.sub(r"^deb\s", "deb-src ", path.read_text(), flags=re.MULTILINE)
        found.update({path.name: text} if "debian" in text else {})
    return found


def of_suite(suite, sources):
    """Return package sources changed to another release of Debian, without its security updates."""
    found = {}
    for name, text in sources.items():
        parts = [part for part in re.split(r"\n\s*\n", text) if "-security" not in part]
        changed = re.sub(r"^Suites:.*$", f"Suites: {suite}", "\n\n".join(parts), flags=re.MULTILINE)
        line = r"^(deb-src\s+(?:\[[^\]]*\]\s+)?\S+)\s+\S+"
        found[name] = re.sub(line, rf"\1 {suite}", changed, flags=re.MULTILINE)
    return found


def source_tree(version, sources, missing=None):
    """Return a release's tree as a git repository. ``missing``: the upstream file it lacks."""
    root = CACHE / f"pytorch-{version}"
    if (root / ".git").is_dir():
        return root
    needs("apt-get", "git")
    apt = CACHE / f"apt-{version}"
    shutil.rmtree(apt, ignore_errors=True)
    for folder in ("parts", "lists/partial", "archive", "tree"):
        (apt / folder).mkdir(parents=True)
    for name, text in sources.items():
        (apt / "parts" / name).write_text(text)
    options = (
        "-oDir::Etc::sourcelist=/dev/null", f"-oDir::Etc::sourceparts={apt / 'parts'}",
        f"-oDir::State::lists={apt / 'lists'}", "-oAPT::Sandbox::User=root",
    )  # fmt: skip
    sh("apt-get", *options, "update")
    # Only the upstream archive is needed; a mirror may lack Debian's patches.
    download = ("source", "--download-only", "--tar-only", f"pytorch={candidate(options, version)}")
    sh("apt-get", *options, *download, cwd=apt / "archive")
    (archive,) = (apt / "archive").glob("*.orig.tar.*")
    with tarfile.open(archive) as package:
        package.extractall(apt / "tree", filter="data")
    tree = next((apt / "tree").iterdir())
    if missing:
        (tree / missing).write_text(IGNORED)
    sh("git", "init", "-q", cwd=tree)
    sh("git", "add", "-A", cwd=tree)
    sh("git", *WHO, "commit", "-qm", f"PyTorch {version}", cwd=tree)
    shutil.rmtree(root, ignore_errors=True)
    tree.rename(root)
    shutil.rmtree(apt)
    return root


def candidate(options, version):
    """Return the newest version of Debian's source package for a release, or skip."""
    found = sh("apt-cache", *options, "showsrc", "pytorch", check=False).stdout
    versions = re.findall(rf"^Version: ({re.escape(version)}\S*)", found, flags=re.MULTILINE)
    if not versions:
        pytest.skip(f"needs a Debian mirror with the source package of PyTorch {version}")
    return versions[-1]


def environment(name, python, packages, *options):
    """Return the folder of a virtual environment with these packages."""
    folder = CACHE / name
    if not (folder / "ready").exists():
        sh(python, "-m", "venv", "--clear", *options, str(folder))
        sh(str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *packages)
        (folder / "ready").touch()
    return folder
