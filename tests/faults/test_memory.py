"""Memory stays flat, whatever a test prints."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.measures

MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize(
    "output",
    [
        "head -c 100000000 /dev/zero | tr '\\0' x", "head -c 400000000 /dev/zero | tr '\\0' '\\r'", "head -c 100000000 /dev/zero",
        "yes | head -c 200000000", "head -c 100000000 /dev/urandom", "yes 'FAILED a::b - x' | head -c 100000000",
        "yes 'ERROR: test_a (a.b)' | head -c 100000000", "head -c 50000000 /dev/zero | tr '\\0' '\\n'",
    ],
)  # fmt: skip
def test_a_large_output_takes_little_memory(tree, output):
    """The script is small, so the largest process is ours."""
    tree.script(output)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, sys.executable, "-m", "ci_sessions", "dispatch"],
        cwd=tree.root,
        env=tree.environment("0", A_TOKEN="hunter22hunter22"),
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    code, peak = map(int, done.stdout.split())
    assert code == 0
    assert peak < 60_000, "kilobytes"
