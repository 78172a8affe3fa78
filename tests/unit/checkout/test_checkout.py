from __future__ import annotations

import pytest
from conftest import make_job

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.checkout.checkout import Checkout, read_checkout
from ci_sessions.checkout.features import NEWEST, Feature
from ci_sessions.checkout.locate import find_checkout, sample_checkout
from ci_sessions.errors import CheckoutError
from ci_sessions.plan.step import Kind


@pytest.fixture
def tree(tmp_path):
    """A minimal PyTorch checkout."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "run_test.py").write_text("")
    return tmp_path


def speedups(tree, text):
    folder = tree / "benchmarks" / "dynamo"
    folder.mkdir(parents=True)
    (folder / "expected_ci_speedup_inductor_torchbench_cpu.csv").write_text(text)


def test_the_sample_is_a_checkout_and_says_so():
    found = read_checkout(sample_checkout(), machine="x86_64")
    assert found.is_sample
    assert found.version == "2.13.0"
    assert found.script == ".ci/pytorch/test.sh"
    assert "the sample checkout 2.13.0" in found.describe()


def test_a_checkout_that_contains_the_current_folder_is_found(tree):
    (tree / "a" / "b").mkdir(parents=True)
    assert find_checkout(None, tree / "a" / "b") == tree.resolve()
    assert find_checkout(str(tree), tree) == tree.resolve()
    assert find_checkout(None, tree.parent.parent) == sample_checkout()


def test_facts_of_a_minimal_checkout(tree):
    found = read_checkout(tree, machine="aarch64", hf_cache=str(tree))
    assert (found.version, found.is_x86, found.has_hf_cache, found.speedups) == (
        "",
        False,
        True,
        (),
    )
    assert found.features == NEWEST - {
        Feature.UPLOADS_WHILE_RUNNING,
        Feature.QUANTIZATION_OPTION,
        Feature.CASE_EXPRESSION,
    }
    assert "of unknown version" in found.describe()


def test_the_speed_up_targets_become_steps(tree):
    speedups(
        tree,
        "# model,...\nresnet50,inductor,float32,static,default,2.0\nbert,inductor,amp,dynamic,cpp,1.5\n\n",
    )
    checkout = read_checkout(tree, machine="x86_64")
    plan = plan_job(make_job("inductor_torchbench_cpu_smoketest_perf"), checkout)
    runs = [s for s in plan.tests[0].steps if "--only" in s.argv]
    assert [s.env.get("TORCHINDUCTOR_CPP_WRAPPER") for s in runs] == [None, "1"]
    assert "--dynamic-shapes" in runs[1].argv
    assert "--dynamic-shapes" not in runs[0].argv
    checks = [s.argv for s in plan.tests[0].steps if "-t" in s.argv]
    assert [argv[argv.index("-t") + 1] for argv in checks] == ["2.0", "1.5"]


def test_a_target_file_with_too_few_columns_is_named(tree):
    speedups(tree, "resnet50,inductor\n")
    checkout = read_checkout(tree, machine="x86_64")
    with pytest.raises(CheckoutError, match="has a row with 2 of 6 columns: 'resnet50,inductor'"):
        plan_job(make_job("inductor_torchbench_cpu_smoketest_perf"), checkout)
    assert plan_job(make_job("jit_legacy"), checkout).has_tests, "other jobs do not need the file"


def test_an_older_checkout_has_no_newer_features(tree):
    folder = tree / ".jenkins" / "pytorch"
    folder.mkdir(parents=True)
    (folder / "test.sh").write_text("#!/bin/bash\n")
    checkout = read_checkout(tree, machine="x86_64")
    assert checkout.scripts == ".jenkins/pytorch"
    assert not checkout.has(Feature.DEBUG_ASSERT_CHECK)
    plan = plan_job(make_job("python", shard="1/2"), checkout)
    assert "--upload-artifacts-while-running" not in plan.tests[0].steps[0].argv
    assert len([s for s in plan.setup if s.kind is Kind.PREFLIGHT]) == 2
    assert "TORCH_SERIALIZATION_DEBUG" not in plan.env
    assert not [s for s in plan.setup if s.kind is Kind.INSTALL]


def test_an_older_checkout_has_the_features_of_its_own_scripts(tree):
    folder = tree / ".jenkins" / "pytorch"
    folder.mkdir(parents=True)
    (folder / "test.sh").write_text(
        "export BUILD_SPLIT_CUDA=ON PYTORCH_TEST_SKIP_CUDA_MEM_LEAK_CHECK=0\n"
        "pip_install --user ninja\n"
    )
    (folder / "common.sh").write_text("conda install -q -y cmake\n")
    checkout = read_checkout(tree, machine="x86_64")

    def done(build):
        plan = plan_job(make_job("jit_legacy", build), checkout)
        installs = [s.argv[0] for s in plan.setup if s.kind is Kind.INSTALL]
        split = plan.env.get("BUILD_SPLIT_CUDA")
        return installs, split, plan.env["PYTORCH_TEST_SKIP_CUDA_MEM_LEAK_CHECK"]

    assert done("linux-bionic-cuda11.7-py3.10-gcc7") == (["conda", "pip"], "ON", "0")
    assert done("linux-jammy-cuda12.1-py3.10-gcc9") == (["pip"], None, "0")
    assert (
        "TORCH_CUDA_ARCH_LIST"
        not in plan_job(make_job("jit_legacy", "linux-jammy-cuda12.1-py3.10-gcc9"), checkout).env
    )


def test_arm_has_no_intel_openmp():
    plan = plan_job(make_job("inductor-micro-benchmark-cpu-x86"), Checkout(is_x86=False))
    env = plan.tests[0].steps[-1].env
    assert "KMP_AFFINITY" not in env
    assert env["LD_PRELOAD"] == "${ask:jemalloc}:"
