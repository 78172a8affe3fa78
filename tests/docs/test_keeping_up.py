"""The page 'Keeping up with test.sh', followed literally for each kind of change.

The change of the script names exactly the affected jobs; it differs from the plans; and the change
of the catalogue makes them equal again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

CPU, CUDA = "linux-jammy-py3.10-gcc11", "linux-jammy-cuda13.0-py3.10-gcc11"
WORKFLOW = f"""
name: pull
on: [pull_request]
jobs:
  cpu:
    runs-on: x
    strategy:
      matrix:
        include:
          - {{config: jit_legacy}}
          - {{config: docs_test}}
          - {{config: distributed, shard: 1, num_shards: 2}}
          - {{config: distributed, shard: 2, num_shards: 2}}
          - {{config: inductor_cpp_wrapper}}
    env: {{BUILD_ENVIRONMENT: {CPU}}}
    steps:
      - env:
          TEST_CONFIG: ${{{{ matrix.config }}}}
          SHARD_NUMBER: ${{{{ matrix.shard || 1 }}}}
          NUM_TEST_SHARDS: ${{{{ matrix.num_shards || 1 }}}}
        run: .ci/pytorch/test.sh
  cuda:
    runs-on: x
    strategy: {{matrix: {{include: [{{config: jit_legacy}}, {{config: docs_test}}]}}}}
    env: {{BUILD_ENVIRONMENT: {CUDA}}}
    steps:
      - env: {{TEST_CONFIG: "${{{{ matrix.config }}}}"}}
        run: .ci/pytorch/test.sh
"""
DEVICE = """
if [[ $BUILD_ENVIRONMENT == *cuda* ]]; then
  export PYTORCH_TESTING_DEVICE_ONLY_FOR=cuda
  TORCH_CUDA_ARCH_LIST=$(nvidia-smi --query-gpu=compute_cap --format=csv | tail -n 1)
  export TORCH_CUDA_ARCH_LIST
fi

run_test() {"""

# Heading: the causes that the comment and then the check have, and the jobs of the comment's causes.
CHANGES = {
    "A new configuration": (
        {"new job": [f"jit_profiling, {CPU}, shard 1 of 1"]},
        1,
    ),
    "A new option": (
        {
            "`--upload-artifacts-while-running` is new": [
                f"jit_legacy, {CPU}, shard 1 of 1",
                f"jit_legacy, {CUDA}, shard 1 of 1",
            ]
        },
        1,
    ),
    "A new export for a device": (
        {
            "CUDA_MODULE_LOADING is now exported": [
                f"docs_test, {CUDA}, shard 1 of 1",
                f"jit_legacy, {CUDA}, shard 1 of 1",
            ]
        },
        1,
    ),
    "A moved install": (
        {
            "`install_spmd_types` has a different position now": [
                f"distributed, {CPU}, shard 1 of 2",
                f"distributed, {CPU}, shard 2 of 2",
            ]
        },
        1,
    ),
    "A changed shard condition": (
        {
            "`python test/run_test.py --cpp --verbose -i cpp/test_cpp_rpc` is gone": [
                f"distributed, {CPU}, shard 1 of 2"
            ],
            "`python test/run_test.py --cpp --verbose -i cpp/test_cpp_rpc` is new": [
                f"distributed, {CPU}, shard 2 of 2"
            ],
        },
        2,
    ),
}


def diffs(heading):
    """Return the script's and the catalogue's change below a heading of the page."""
    page = (ROOT / "docs" / "keeping-up.md").read_text()
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^```diff\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def apply(diff, root):
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        lines = body.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        text = (root / name).read_text()
        assert text.count(old) == 1, (name, old)
        (root / name).write_text(text.replace(old, new))


def compare(tree, package, *configs):
    """Compare plans and script; as the sample, whose plans need no torch, it has no workflows."""
    names = ["docs_test", "distributed", "inductor_cpp_wrapper", "jit_legacy", *configs]
    jobs = [("distributed", CPU, shard, 2) for shard in (1, 2)]
    jobs += [(name, CPU, 1, 1) for name in names]
    jobs += [(name, CUDA, 1, 1) for name in ("docs_test", "jit_legacy")]
    keys = ("config", "build_environment", "shard", "num_shards")
    path = package / "jobs.json"
    path.write_text(json.dumps([dict(zip(keys, job, strict=True)) for job in jobs]))
    mark = tree / ".ci-sessions-sample"
    shutil.copy(ROOT / "examples" / "checkout" / mark.name, mark)
    found = parity(tree, package, "--jobs", str(path))
    mark.unlink()
    return found["exit_code"], found["causes"]


def parity(tree, package, *words):
    env = {**os.environ, "PYTHONPATH": str(package)}
    command = [sys.executable, "-m", "ci_sessions", "parity", "--json", *words]
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def tree(tmp_path):
    """The sample checkout with a workflow of its own, committed."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "examples" / "checkout", tree)
    (tree / ".ci-sessions-sample").unlink()
    path = tree / ".github" / "workflows" / "pull.yml"
    path.parent.mkdir(parents=True)
    path.write_text(WORKFLOW)
    script = tree / ".ci" / "pytorch" / "test.sh"
    text = script.read_text()
    script.write_text(text.replace("\nrun_test() {", DEVICE, 1))
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for args in (["init", "-q"], ["add", "-A", "-f"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *args], cwd=tree, check=True)
    return tree


@pytest.mark.parametrize("heading", CHANGES)
def test_a_change_is_followed_from_the_comment_to_the_catalogue(tree, tmp_path, heading):
    in_script, in_catalogue = diffs(heading)
    expected, causes = CHANGES[heading]
    package = tmp_path / "package"
    shutil.copytree(ROOT / "ci_sessions", package / "ci_sessions")
    new = ["jit_profiling"] if heading == "A new configuration" else []
    assert compare(tree, package) == (0, [])

    apply(in_script, tree)
    comment = parity(tree, package, "--since", "HEAD")
    found = {cause["text"]: sorted(cause["jobs"]) for cause in comment["causes"]}
    for text, jobs in expected.items():
        assert found.pop(text) == sorted(f"{job}, GITHUB_ACTIONS=true" for job in jobs)
    # Links belong to the test that moved to another shard.
    assert all("ln -sf" in text for text in found), found
    code, found = compare(tree, package, *new)
    assert code == 1
    assert len(found) >= causes
    edited = set(re.findall(r"^--- (\S+)", in_catalogue, re.MULTILINE))
    named = {place.partition(":")[0] for cause in found for place in cause["places"]}
    assert named & edited or heading == "A new configuration", (named, edited)

    apply(in_catalogue, package)
    assert compare(tree, package, *new) == (0, [])


def test_each_change_of_the_page_is_tested():
    page = (ROOT / "docs" / "keeping-up.md").read_text()
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(CHANGES)
