"""The commands in documents and the output that they show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from conftest import ROOT


def examples(path):
    """Yield each command of a console block with the output shown below it."""
    for block in re.findall(r"^```console\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def clone_of_the_tree(parent):
    """Return a copy of the working tree like a git clone."""
    folder = parent / "ci_sessions"
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for args in (["init", "-q"], ["add", "-A", "-f"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *args], cwd=folder, check=True)
    return folder


def plain_environment():
    """Return the environment without CI variables, and without coverage in subprocesses."""
    left_out = ("CI", "GITHUB_ACTIONS", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def pattern(output):
    """Turn shown output into a pattern: ``…`` matches anything, or any lines if alone on a line."""
    lines = [re.escape(line.rstrip()) for line in output.strip("\n").splitlines()]
    text = "\n".join(lines)
    text = re.sub(r"(^|\n)…(?=\n|$)", r"\1(?:.*\n)*?.*", text)
    return text.replace("…", ".*?")
