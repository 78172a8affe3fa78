"""The tutorial works as it is written: one shell runs its commands in order, in a new clone."""

from __future__ import annotations

import re
import subprocess
import time

from conftest import ROOT
from console_examples import clone_of_the_tree, examples, pattern, plain_environment

PAGE = ROOT / "docs" / "tutorial.md"
_MARK = "\x1e"
_FAILS = re.compile(r"^FAILED |different [1-9]", re.MULTILINE)


def follow(commands, folder):
    """Run commands in one shell; yield the output and the exit code of each."""
    script = "".join(f"{command}\nprintf '{_MARK}%d{_MARK}' $?\n" for command in commands)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    parts = done.stdout.split(_MARK)
    return list(zip(parts[::2], map(int, parts[1::2]), strict=False))


def test_the_tutorial_works_literally_and_in_its_ten_minutes(tmp_path):
    steps = list(examples(PAGE))
    begin = time.monotonic()
    results = follow([command for command, _ in steps], clone_of_the_tree(tmp_path))
    seconds = time.monotonic() - begin
    assert len(results) == len(steps) > 10
    for (command, shown), (printed, code) in zip(steps, results, strict=True):
        assert code == (1 if _FAILS.search(shown) else 0), f"{command}\n{printed}"
        lines = "\n".join(line.rstrip() for line in printed.splitlines())
        assert re.search(pattern(shown), lines), f"{command}\n{printed}"
    print(f"{seconds:.0f} s")
    assert seconds < 300  # half of it is for reading
