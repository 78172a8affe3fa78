"""Pairs on a real PyTorch 1.13.1: its own script and Python run the same jobs in turn.

The only thing changed is what the script installs from GitHub, torchdynamo: a local repository with
an empty package stands in for it, for both runners.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

import pytest
from e2e.releases import WHO, sh

from ci_sessions.gate.pairs import find_pairs, flaky_cases
from ci_sessions.gate.statistics import bootstrap_median
from ci_sessions.records.details import read_details
from ci_sessions.records.query import read_summaries

BUILD = "linux-bookworm-py3.11-gcc12"
# Which test files a shard has depends only on their names. These need no GPU. Two of the jobs are
# red: fsdp/test_utils does not fit Python 3.11, and Debian lacks libraries that the JIT tests load.
JOBS = {
    "short": ("distributed", "30", "40"),  # elastic/metrics/api_test, fsdp/test_utils, test_nccl
    "distributed": ("distributed", "32", "40"),  # timer/api_test, test_instantiator, test_store
    "jit_legacy": ("jit_legacy", "1", "1"),
}
PAIRS = int(os.environ.get("E2E_PAIRS", "5"))
SETUP = "from setuptools import setup\nsetup(name='torchdynamo', version='0', py_modules=[])\n"


@pytest.fixture
def tree(pytorch, tmp_path):
    """Return a clone of the tree whose torchdynamo is local, and the variables to use it."""
    mirror, clone, home = (tmp_path / name for name in ("mirror", "pytorch", "home"))
    mirror.mkdir()
    home.mkdir()
    (mirror / "setup.py").write_text(SETUP)
    for line in (["init", "-q"], ["add", "-A"], [*WHO, "commit", "-qm", "Empty package"]):
        sh("git", *line, cwd=mirror)
    commit = sh("git", "rev-parse", "HEAD", cwd=mirror).stdout
    url = "https://github.com/pytorch/torchdynamo.git"
    (home / ".gitconfig").write_text(f'[url "file://{mirror}"]\n\tinsteadOf = {url}\n')
    sh("git", "clone", "-q", "--shared", str(pytorch.root), str(clone))
    (clone / ".github" / "ci_commit_pins" / "torchdynamo.txt").write_text(commit)
    sh("git", *WHO, "commit", "-qam", "Pin the empty package", cwd=clone)
    (clone / "build").mkdir()  # the script needs it
    return clone, {**pytorch.variables, "HOME": str(home)}


@pytest.mark.long
@pytest.mark.parametrize("names", [("jit_legacy",), ("short", "distributed")], ids="-".join)
def test_the_script_and_python_agree_case_by_case(tree, tmp_path, names):
    root, variables = tree
    records = tmp_path / "records"
    for number in range(PAIRS):
        for name in names:
            for flag in ("01", "10")[number % 2]:
                dispatch(root, variables, records, flag, *JOBS[name])
    summaries = list(read_summaries(sorted((records / "runs").glob("*.jsonl"))))
    pairs = find_pairs(summaries, read_details(summaries))
    assert len(pairs) == len(names) * PAIRS
    for name in names:
        config, shard, total = JOBS[name]
        found = [pair for pair in pairs if pair.python.job.endswith(f"{config}.{shard}of{total}")]
        print(row(name, found))
        assert len(found) == PAIRS
        for pair in found:
            assert pair.difference == ""
            assert pair.python_details.total == pair.shell_details.total > 0
            assert pair.python.is_pass == pair.shell.is_pass
        for case in flaky_cases(found, {}):  # some depend on the load of the machine
            print(f"flaky: {case.name}: {len(case.python)} x Python, {len(case.shell)} x shell")
            assert not case.is_suspect
    verdict = ci_sessions(variables, "rollout", "--records", str(records / "runs" / "*.jsonl"))
    print(verdict.stdout)
    assert verdict.returncode == 0, verdict.stderr
    assert "the runners differ" not in verdict.stdout


def dispatch(root, variables, records, flag, config, shard, total):
    job = {
        "CI": "true",
        "BUILD_ENVIRONMENT": BUILD,
        "TEST_CONFIG": config,
        "SHARD_NUMBER": shard,
        "NUM_TEST_SHARDS": total,
        "SHA1": sh("git", "rev-parse", "HEAD", cwd=root).stdout.strip(),
        "USE_PYTHON_TEST_RUNNER": flag,
    }
    options = ("--checkout", str(root), "--records", str(records))
    return ci_sessions({**variables, **job}, "dispatch", *options)


def ci_sessions(variables, *words):
    env = {name: value for name, value in os.environ.items() if name != "GITHUB_ACTIONS"}
    command = [sys.executable, "-m", "ci_sessions", *words]
    return subprocess.run(
        command, env={**env, **variables}, capture_output=True, text=True, check=False,
        errors="replace",
    )  # fmt: skip


def row(name, pairs):
    """Return a row of the table: job, pairs, cases, differing cases, ratios with intervals."""
    details = [pair.python_details for pair in pairs]
    differing = {case for pair in pairs for case in pair.only_in_python | pair.only_in_shell}
    ratios = [
        describe([pair.python.wall / pair.shell.wall for pair in pairs]),
        describe([pair.python_details.cpu / pair.shell_details.cpu for pair in pairs]),
        describe([pair.python_details.peak / pair.shell_details.peak for pair in pairs]),
    ]
    outcome = "passed" if pairs[0].python.is_pass else "failed alike"
    cases = f"{details[0].total:,} ({details[0].skipped} skipped, {len(details[0].failed)} failed)"
    return (
        f"| {name} | {len(pairs)} | {cases} | {len(differing)} | {' | '.join(ratios)} | {outcome} |"
    )


def describe(ratios):
    limits = bootstrap_median(ratios)
    return f"{statistics.median(ratios):.3f} ({limits.low:.3f} to {limits.high:.3f})"
