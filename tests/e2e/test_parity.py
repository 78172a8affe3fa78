"""Parity on a complete older release: the script and workflows of PyTorch 1.13.1.

Only the source tree is needed, so this runs wherever Debian's source package can be downloaded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from ci_sessions.checkout.checkout import read_checkout
from ci_sessions.cli.parity import planned_commands
from ci_sessions.job.job_json import job_variables
from ci_sessions.parity.pool import Cache, trace_jobs
from ci_sessions.parity.profile import read_profile
from ci_sessions.parity.staging import read_stage
from ci_sessions.parity.verdict import compare_job, compare_versions
from ci_sessions.records.verdict import JobVerdict

SCRIPT = ".jenkins/pytorch/test.sh"
GCC, CUDA, ASAN = (
    "linux-focal-py3.7-gcc7",
    "linux-bionic-cuda11.7-py3.10-gcc7",
    "linux-focal-py3.7-clang7-asan",
)
# The expected jobs of the workflows: 64 in matrices of Linux tests, and bazel's.
JOBS = {
    "": 1, "backwards_compat": 1, "crossref": 2, "default": 34, "distributed": 10, "docs_test": 1,
    "dynamo": 2, "functorch": 4, "jit_legacy": 2, "multigpu": 1, "nogpu_AVX512": 1,
    "nogpu_NO_AVX2": 1, "slow": 4, "xla": 1,
}  # fmt: skip


def parity(tree, cwd, *words):
    return subprocess.run(
        [sys.executable, "-m", "ci_sessions", "parity", "--checkout", str(tree), *words],
        cwd=cwd, env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_job_of_the_workflows_is_traced(source, tmp_path):
    done = parity(source, tmp_path, "--json")
    found = json.loads(done.stdout)
    print(parity(source, tmp_path).stdout)
    assert {config: sum(row.values()) for config, row in found["configs"].items()} == JOBS
    assert found["totals"]["untraceable"] == 0
    # This release is different, so most plans differ from its script, and each report says where.
    assert found["exit_code"] == done.returncode == 1
    # A condition of the script reads PR_NUMBER, which only a run knows: these may not be equal.
    unknown = [job for job in found["jobs"] if job["verdict"] == "unknown"]
    assert {job["job"]["config"] for job in unknown} == {
        *("jit_legacy", "docs_test", "distributed")
    }
    reads = {(one["name"], *one["lines"]) for job in unknown for one in job["unknown"]}
    assert reads == {("PR_NUMBER", ".jenkins/pytorch/test.sh:113")}
    assert found["configs"]["jit_legacy"] == {"unknown": 2}
    assert found["totals"]["equal"] == 0
    for job in found["jobs"]:
        if job["verdict"] == "different":
            first = job["differences"][0]
            assert first["lines"] or first["script"] is None
    assert all(job["commands"] > 3 for job in found["jobs"] if job["verdict"] == "equal")


def test_the_second_run_uses_the_cache(source, tmp_path):
    parity(source, tmp_path, "--json")
    found = json.loads(parity(source, tmp_path, "--json").stdout)
    assert found["cached"] == 64  # multigpu has its own script


# Change, old text, new text, affected job, expected line, expected field.
MUTATIONS = [
    ("a flag is added", "test_jit_fuser_legacy --verbose", "test_jit_fuser_legacy --verbose --new", "jit_legacy", GCC, 1, 196, "argv"),
    ("a flag is dropped", 'time python test/run_test.py --exclude-jit-executor --exclude-distributed-tests --shard "$1" "$NUM_TEST_SHARDS" --verbose\n\n', 'time python test/run_test.py --exclude-jit-executor --exclude-distributed-tests --shard "$1" "$NUM_TEST_SHARDS"\n\n', "default", GCC, 1, 206, "argv"),
    ("an argument changes", "python bench.py -n 1 -m 2", "python bench.py -n 1 -m 3", "default", GCC, 2, 492, "argv"),
    ("a shard is numbered wrongly", "test_python_shard 2\n  test_libtorch", "test_python_shard 1\n  test_libtorch", "default", GCC, 2, 706, "argv"),
    ("a test file is left out", "--include test_jit_legacy test_jit_fuser_legacy", "--include test_jit_legacy", "jit_legacy", GCC, 1, 196, "argv"),
    ("a command is dropped", "  python test_custom_ops.py -v\n", "", "default", GCC, 2, None, "missing"),
    ("two installs change found", "  install_torchvision\n  install_torchdynamo\n  test_python_shard 1\n", "  install_torchdynamo\n  install_torchvision\n  test_python_shard 1\n", "default", GCC, 1, 700, "missing"),
    ("an install moves past a test", "  install_torchdynamo\n  test_python_shard 1\n", "  test_python_shard 1\n  install_torchdynamo\n", "default", GCC, 1, 701, "order"),
    ("an export is dropped", "export VALGRIND=ON\n", "", "jit_legacy", GCC, 1, 196, "env"),
    ("an export changes", "export LANG=C.UTF-8", "export LANG=C", "docs_test", GCC, 1, 659, "env"),
    ("an export of CUDA is dropped", 'export PYTORCH_TESTING_DEVICE_ONLY_FOR="cuda"', ":", "jit_legacy", CUDA, 1, 196, "env"),
    ("an export of a sanitizer is dropped", "    export PYTORCH_TEST_WITH_UBSAN=1\n", "", "default", ASAN, 2, 206, "env"),
    ("a command's own variable is dropped", "OMP_NUM_THREADS=2 TORCH_CPP", "TORCH_CPP", "default", GCC, 2, 355, "env"),
    ("a branch is reordered", "elif [[ \"$TEST_CONFIG\" == 'jit_legacy' ]]; then\n  test_python_legacy_jit\n", "elif [[ \"$TEST_CONFIG\" == 'jit_legacy_' ]]; then\n  test_python_legacy_jit\n", "jit_legacy", GCC, 1, 675, "argv"),
    ("a condition turns", 'if [[ "${SHARD_NUMBER}" == 1 ]]; then\n    test_rpc', 'if [[ "${SHARD_NUMBER}" != 1 ]]; then\n    test_rpc', "distributed", GCC, 1, 437, "missing"),
    ("a check is dropped", '    (cd test && ! get_exit_code python -c "import torch; torch._C._crash_if_csrc_ubsan(0)")\n', "", "default", ASAN, 2, None, "missing"),
    ("a folder changes", "pushd benchmarks/overrides_benchmark", "pushd benchmarks", "default", GCC, 2, 492, "cwd"),
    ("a link is dropped", '    ln -sf "$TORCH_LIB_DIR"/libshm* "$TORCH_BIN_DIR"\n', "", "default", GCC, 2, None, "missing"),
    ("the script of the docs is another", "  .jenkins/pytorch/docs-test.sh", "  .jenkins/pytorch/docs-tests.sh", "docs_test", GCC, 1, 659, "argv"),
    ("a test is added", "  test_aot_compilation\n  test_custom_script_ops\n", "  test_aot_compilation\n  python new.py\n  test_custom_script_ops\n", "default", GCC, 2, None, "extra"),
    ("an install in the library changes", "git+https://github.com/pytorch/vision.git@", "git+https://github.com/pytorch/vision@", "default", GCC, 1, None, "argv"),
]  # fmt: skip


@pytest.fixture(scope="module")
def before(source):
    """The recordings of the unchanged script, by job."""
    profile = read_profile()
    stage = read_stage(source, SCRIPT, profile)
    lines = [line_of(*job) for job in sorted({m[3:6] for m in MUTATIONS})]
    found = trace_jobs([job_variables(line) for line in lines], stage, profile)
    return {tuple(line.values()): one for line, one in zip(lines, found, strict=True)}


def line_of(config, label, shard):
    total = {"default": 5 if label == ASAN else 2, "distributed": 2}.get(config, 1)
    return {"config": config, "build_environment": label, "shard": shard, "num_shards": total}


@pytest.mark.parametrize(
    ("old", "new", "config", "label", "shard", "number", "field"),
    [m[1:] for m in MUTATIONS],
    ids=[m[0] for m in MUTATIONS],
)
def test_a_change_of_the_script_is_detected_in_the_release(
    source, before, old, new, config, label, shard, number, field
):
    profile = read_profile()
    stage = read_stage(source, SCRIPT, profile)
    path = SCRIPT if old.encode() in stage.files[SCRIPT] else SCRIPT.replace("test", "common_utils")
    assert old.encode() in stage.files[path]
    changed = stage.files[path].replace(old.encode(), new.encode(), 1)
    overlay = {
        name: data for name, data in stage.files.items() if name.startswith(".jenkins/pytorch/")
    }
    overlay[path] = changed
    mutated = read_stage(source, SCRIPT, profile, overlay=overlay)
    line = line_of(config, label, shard)
    (after,) = trace_jobs([job_variables(line)], mutated, profile)
    result = compare_versions(line, before[tuple(line.values())], after)
    assert result.verdict is JobVerdict.DIFFERENT
    found = {
        (int(at.rpartition(":")[2]), one.field)
        for one in result.differences
        for side in (one.script, one.plan)
        if side
        for at in side.lines
    }
    if number is None:
        assert field in {name for _, name in found}
    else:
        assert (number, field) in found
    if config in ("jit_legacy", "docs_test"):  # it was equal to its plan before
        checkout = read_checkout(source, machine="x86_64")
        (plan,) = planned_commands([line], checkout, profile, Cache(None))
        assert compare_job(line, after, plan).verdict is JobVerdict.DIFFERENT


# Ten changes at once: of the script, of its library, and of a workflow.
LIBRARY, WORKFLOW = ".jenkins/pytorch/common_utils.sh", ".github/workflows/pull.yml"
TEN = [
    (SCRIPT, "export VALGRIND=ON\n", ""),
    (SCRIPT, "test_jit_fuser_legacy --verbose", "test_jit_fuser_legacy --verbose --new-option"),
    (SCRIPT, "python bench.py -n 1 -m 2", "python bench.py -n 1 -m 3"),
    (SCRIPT, 'if [[ "${SHARD_NUMBER}" == 1 ]]; then\n    test_rpc', 'if [[ "${SHARD_NUMBER}" == 2 ]]; then\n    test_rpc'),
    (SCRIPT, "  python test_custom_ops.py -v\n", ""),
    (SCRIPT, "  .jenkins/pytorch/docs-test.sh", "  .jenkins/pytorch/docs-test.sh --strict"),
    (SCRIPT, 'export PYTORCH_TESTING_DEVICE_ONLY_FOR="cuda"', 'export PYTORCH_TESTING_DEVICE_ONLY_FOR="cuda" CUDA_MODULE_LOADING=LAZY'),
    (SCRIPT, "    aten/tools/run_tests.sh", "    python tools/new_check.py\n    aten/tools/run_tests.sh"),
    (LIBRARY, "git+https://github.com/pytorch/vision.git@", "git+https://github.com/pytorch/vision@"),
    (WORKFLOW, '          { config: "functorch", shard: 1, num_shards: 1, runner: "linux.2xlarge" },\n', ""),
]  # fmt: skip
RPC = "`'$SITE/torch/bin/test_cpp_rpc' --gtest_output=xml:test/test-reports/cpp-rpc/test_rpc/test_cpp_rpc.xml` and 3 more commands are"
TEN_CAUSES = {
    "VALGRIND is no longer exported": 53,
    "`--new-option` is new": 2,
    "`2` before, `3` now": 17,
    f"{RPC} gone": 3,
    f"{RPC} new": 3,
    "`python test_custom_ops.py -v` is gone": 16,
    "`--strict` is new": 1,
    "CUDA_MODULE_LOADING is now exported": 37,
    "`python tools/new_check.py` is new": 15,
    "`git+https://github.com/pytorch/vision.git@PIN-vision` before, `git+https://github.com/pytorch/vision@PIN-vision` now": 33,
    "gone job": 1,
    # No change, but a fact: a condition of the script depends on the run.
    "reads PR_NUMBER, whose value is known only at run time": 63,
}  # fmt: skip


def test_ten_changes_at_once_are_reported_by_cause_each_once(source, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(source, tree, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for args in (["init", "-q"], ["add", "-A", "-f"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *args], cwd=tree, check=True)
    for name, old, new in TEN:
        text = (tree / name).read_text()
        assert old in text, old
        (tree / name).write_text(text.replace(old, new, 1))
    found = json.loads(parity(tree, tmp_path, "--since", "HEAD", "--json").stdout)
    assert {cause["text"]: len(cause["jobs"]) for cause in found["causes"]} == TEN_CAUSES
