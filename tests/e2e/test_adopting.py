"""The patch in docs/adopting.md, on a workflow with the shape of PyTorch's, run by act.

The container is this machine: ``docker`` is a program that, like the real one, passes on only the
variables that its command line names.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from e2e.act import ROOT

PAGE = ROOT / "docs" / "adopting.md"
NAME = ".github/workflows/_linux-test.yml"
SHAPE = """name: shape
on:
  workflow_call:
    inputs:
      build-environment:
        required: true
        type: string
      sync-tag:
        required: false
        type: string
      test-matrix:
        required: true
        type: string
      use-arc:
        type: boolean
        default: false
permissions: {contents: read}
jobs:
  test:
    if: "!inputs.use-arc"
    strategy:
      matrix: ${{ fromJSON(inputs.test-matrix) }}
    runs-on: ${{ matrix.runner }}
    steps:
      - name: Check out
        uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683
      - name: Identify the job
        id: setup-linux
        run: echo "job-id=$RANDOM$RANDOM" >> "$GITHUB_OUTPUT"
      - name: Test
        id: test
        env:
          BUILD_ENVIRONMENT: ${{ inputs.build-environment }}
          TEST_CONFIG: ${{ matrix.config }}
          SHARD_NUMBER: ${{ matrix.shard }}
          NUM_TEST_SHARDS: ${{ matrix.num_shards }}
          TORCH_TPU: ${{ steps.check-tpu.outputs.has_tpu == 'true' && '1' || '' }}
          TORCH_TPU_TEXT_FILE: /var/lib/jenkins/workspace/.github/ci_commit_pins/torch_tpu.txt
        run: |
          TEST_COMMAND=.ci/pytorch/test.sh
          if [[ $TEST_CONFIG == multigpu ]]; then TEST_COMMAND=.ci/pytorch/multigpu-test.sh; fi

          # Leaving 1GB for the runner and other things
          container=$(docker run \\
            -e BUILD_ENVIRONMENT \\
            -e TEST_CONFIG \\
            -e SHARD_NUMBER \\
            -e NUM_TEST_SHARDS \\
            -e GITHUB_ACTIONS \\
            -e TORCH_TPU_TEXT_FILE \\
            ${TPU_DOCKER_FLAGS:-} \\
            an-image)
          docker exec -t "$container" sh -c "echo ready && ${TEST_COMMAND}"

      - name: Collect backtraces from coredumps (if any)
        if: always()
        run: echo none

  test-osdc:
    if: inputs.use-arc
    strategy:
      matrix: ${{ fromJSON(inputs.test-matrix) }}
    runs-on: ${{ matrix.runner }}
    steps:
      - name: Check out
        uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683
      - name: Test
        id: test
        env:
          BUILD_ENVIRONMENT: ${{ inputs.build-environment }}
          TEST_CONFIG: ${{ matrix.config }}
          SCCACHE_BUCKET: ossci-compiler-cache-circleci-v2
          SCCACHE_REGION: us-east-1
        run: |
          TEST_COMMAND=.ci/pytorch/test.sh

          # shellcheck disable=SC2046
          ${TEST_COMMAND}

      - name: Upload test artifacts
        uses: pytorch/pytorch/.github/actions/upload-test-artifacts@main
        if: always()
"""
CALLER = """name: caller
on: workflow_dispatch
permissions: {contents: read}
jobs:
  call:
    uses: ./.github/workflows/_linux-test.yml
    with:
      build-environment: linux-jammy-py3.10-gcc11
      use-arc: %s
      test-matrix: '{"include": [{"config": "%s", "shard": 1, "num_shards": 1, "runner": "ubuntu-latest"}]}'
"""
DOCKER = """
import json, os, subprocess, sys
from pathlib import Path
state = Path(os.environ["HOME"]) / "container.json"
command, *words = sys.argv[1:]
if command == "run":
    named = [name for option, name in zip(words, words[1:]) if option == "-e"]
    named += ["PATH", "HOME", "TMPDIR", *(name for name in os.environ if name.startswith("PIP_"))]  # the image's
    state.write_text(json.dumps({name: os.environ[name] for name in named if name in os.environ}))
    print("container")
else:
    sys.exit(subprocess.run(words[words.index("sh"):], env=json.loads(state.read_text())).returncode)
"""


def patch():
    (text,) = re.findall(r"^```diff\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return text


def apply(folder, *options):
    return subprocess.run(
        ["git", "apply", "-v", *options, "-"], cwd=folder, input=patch(), text=True,
        capture_output=True, check=False,
    )  # fmt: skip


@pytest.fixture
def adopted(act):
    """A repository with the patched workflow; ``start(config, flag)`` runs it."""
    act.write(NAME, SHAPE)
    act.commit()
    done = apply(act.root)
    assert done.returncode == 0, done.stderr
    (act.folder / "docker.py").write_text(DOCKER)
    act.command("docker", f'exec {sys.executable} {act.folder / "docker.py"} "$@"')
    other = act.folder / "pytorch" / ".github" / "actions" / "upload-test-artifacts"
    other.mkdir(parents=True)
    (other / "action.yml").write_text(
        "name: x\nruns: {using: composite, steps: [{shell: bash, run: echo}]}\n"
    )

    def start(config, flag, *, arc=False):
        act.write(".github/workflows/caller.yml", CALLER % (json.dumps(arc), config))
        options = ["--local-repository", f"pytorch/pytorch@main={act.folder / 'pytorch'}"]
        options += ["--var", f"USE_PYTHON_TEST_RUNNER={flag}"] if flag else []
        return act.run("caller.yml", *options)

    start.act = act
    return start


def test_adopted_and_empty(adopted):
    report = adopted("docs_test", "")
    assert (report.code, report.results) == (0, ["success"])
    assert report.records == []
    # These tests may run in an environment that nox made: its path is no sign of nox.
    assert "nox" not in report.output.replace("--nox", "").replace(sys.prefix, "")


@pytest.mark.parametrize("arc", [False, True], ids=["in a container", "on the runner"])
def test_adopted_and_on(adopted, arc):
    report = adopted("docs_test", "1", arc=arc)
    assert (report.code, report.results) == (0, ["success"])
    (record,) = report.records
    assert (record["runner"], record["outcome"]) == ("python", "passed")


def test_adopted_and_a_red_shadow(adopted):
    adopted.act.write("docs/broken.md", "x")
    adopted.act.write(".ci/pytorch/docs-test.sh", "#!/bin/bash\nexit 5\n", 0o755)
    report = adopted("docs_test", "shadow")
    assert (report.code, report.results) == (1, ["failure"])
    (record,) = report.records
    assert (record["runner"], record["route"]["reason"]) == ("shell", "shadow")


def test_adopted_and_multigpu_without_a_package_index(adopted):
    adopted.act.write(".ci/pytorch/multigpu-test.sh", "#!/bin/bash\necho devices\n", 0o755)
    adopted.act.env["PIP_FIND_LINKS"] = "/none"
    report = adopted("multigpu", "rollout")
    assert (report.code, report.results) == (0, ["success"])
    assert "devices" in report.output.splitlines()
    texts = [text for _, text in report.annotations("warning")]
    assert "the pinned dependencies could not be installed" in texts
    (record,) = report.records
    assert record["route"]["reason"] == "multigpu"


def test_the_patch_can_be_taken_back(act):
    act.write(NAME, SHAPE)
    act.commit()
    assert apply(act.root).returncode == 0
    done = apply(act.root, "-R")
    assert done.returncode == 0, done.stderr
    assert (act.root / NAME).read_text() == SHAPE


def test_each_place_of_the_patch_has_only_one_match():
    """So the line numbers need not be those of the reader's file."""
    for hunk in re.split(r"^@@.*\n", patch(), flags=re.MULTILINE)[1:]:
        context = "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] == " ")
        assert SHAPE.count(context) == 1, context
