"""Bad luck and attacks: each file is a class of faults, tried for real on the sample checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from integration.conftest import (  # noqa: F401 - fixtures
    checkout,
    ci,
    git,
    is_alive,
    plain_environment,
    wait_for,
    write_script,
)

__all__ = ["CPU", "DISPATCH_SH", "Tree", "ci", "git", "is_alive", "wait_for", "write_script"]

ROOT = Path(__file__).resolve().parents[2]
CPU = "linux-jammy-py3.10-gcc11"
DISPATCH_SH = ROOT / "ci_sessions" / "resources" / "dispatch.sh"


@dataclass
class Tree:
    """A checkout whose script and whose tests are given, and which counts how often they run."""

    root: Path
    config: str = "jit_legacy"

    def script(self, body: str) -> Tree:
        """Let test.sh be this line of bash, after it has noted that it runs."""
        write_script(
            self.root / ".ci" / "pytorch" / "test.sh", f"#!/bin/bash\necho script >> ran\n{body}\n"
        )
        return self

    def tests(self, body: str) -> Tree:
        """Let run_test.py be this Python code, after it has noted that it runs."""
        head = "import os, signal, subprocess, sys, time\nopen('ran', 'a').write('python\\n')\n"
        (self.root / "test" / "run_test.py").write_text(f"{head}{body}\n")
        return self

    @property
    def ran(self) -> list[str]:
        """What ran, in order."""
        path = self.root / "ran"
        return path.read_text().splitlines() if path.exists() else []

    def environment(self, flag: str = "0", **more: str) -> dict[str, str]:
        """Return the environment of the job; None removes a variable."""
        named = {
            "TEST_CONFIG": self.config,
            "BUILD_ENVIRONMENT": CPU,
            "USE_PYTHON_TEST_RUNNER": flag,
        }
        merged = {**os.environ, **named, **more}
        return {name: value for name, value in merged.items() if value is not None}

    def dispatch(self, *args, flag="0", timeout=90, text=True, **more):
        """Run ``dispatch`` and return the completed process."""
        return self.call(
            sys.executable, "-m", "ci_sessions", "dispatch", *map(str, args),
            flag=flag, timeout=timeout, text=text, **more,
        )  # fmt: skip

    def call(self, *argv, flag="0", timeout=90, text=True, **more):
        """Run any command in the checkout, as the job."""
        return subprocess.run(
            argv,
            cwd=self.root,
            env=self.environment(flag, **more),
            capture_output=True,
            text=text,
            errors="surrogateescape" if text else None,
            timeout=timeout,
            check=False,
        )

    def start(self, *args, flag="0", **more):
        """Start ``dispatch`` and return the running process."""
        return subprocess.Popen(
            [sys.executable, "-m", "ci_sessions", "dispatch", *args],
            cwd=self.root,
            env=self.environment(flag, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def records(self) -> list[dict]:
        """Return the last event of each run, oldest first, with the first one's route."""
        found = []
        for path in sorted((self.root / ".ci-sessions" / "runs").glob("*.jsonl")):
            if not path.is_file():
                continue  # a test put a folder there
            events = [json.loads(line) for line in path.read_text().splitlines()]
            if not events:
                continue  # its run has just started
            ended = [event for event in events if event["event"] == "run ended"]
            found.append({**events[0], **(ended[-1] if ended else {"outcome": "aborted"})})
        return sorted(found, key=lambda record: record["started"])


@pytest.fixture
def tree(checkout):  # noqa: F811 - the fixture
    """A checkout with a script and tests that pass; its own git ignores what these tests write."""
    with (checkout / ".gitignore").open("a") as ignored:
        ignored.write("ran\nnoxfile.py\npids\ntest/test-reports\n")
    (checkout / "noxfile.py").write_text("import ci_sessions.sessions\n")
    made = Tree(checkout)
    for name in ("multigpu-test.sh",):
        write_script(checkout / ".ci" / "pytorch" / name, "#!/bin/bash\necho multigpu >> ran\n")
    made.script("exit ${CODE:-0}").tests("sys.exit(int(os.environ.get('CODE', '0')))")
    git(checkout, "add", "-A", "-f")
    git(checkout, "commit", "-qm", "tree")
    return made
