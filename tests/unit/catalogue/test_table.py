from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from conftest import make_job, make_plan
from hypothesis import given
from hypothesis import strategies as st

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import (
    TABLE,
    config_problem,
    find_row,
    listed_configs,
    native_names,
)
from ci_sessions.checkout.checkout import RECORDED, Checkout
from ci_sessions.checkout.features import Feature
from ci_sessions.cli.listing import config_tags
from ci_sessions.errors import InputError, UnknownConfigError
from ci_sessions.plan.plan import TestKind
from ci_sessions.plan.step import Kind

CPU = "linux-jammy-py3.10-gcc11"
CUDA = "linux-jammy-cuda13.0-py3.10-gcc11"
ROCM = "linux-noble-rocm-py3.12-mi300"
FIRST_RELEASE = {
    "smoke": ["test_smoke"],
    "docs_test": ["test_docs", "test_tutorials"],
    "python": ["test_python", "test_aten", "test_vec256"],
    "distributed": ["test_distributed", "test_c10d_nccl", "test_c10d_gloo"],
    "jit_legacy": ["test_jit", "test_jit_legacy"],
    "inductor_distributed": ["test_inductor", "test_inductor_distributed"],
    "inductor_cpp_wrapper": ["test_inductor", "test_inductor_cpp_wrapper"],
    "huggingface": ["test_benchmarks", "test_huggingface"],
    "torchbench": ["test_benchmarks", "test_torchbench"],
    "timm": ["test_benchmarks", "test_timm"],
}
TAGS = {
    "smoke": ("phase-1", "gpu", "smoke"), "docs_test": ("phase-2A", "cpu", "docs"),
    "python": ("phase-2A", "cpu", "python"), "distributed": ("phase-2C", "gpu", "distributed"),
    "jit_legacy": ("phase-2B", "cpu", "jit"), "inductor_distributed": ("phase-2C", "gpu", "inductor"),
    "inductor_cpp_wrapper": ("phase-2C", "gpu", "inductor"), "huggingface": ("phase-2B", "gpu", "benchmark"),
    "torchbench": ("phase-2B", "gpu", "benchmark"), "timm": ("phase-2B", "gpu", "benchmark"),
}  # fmt: skip
"""Phase, device and suite of the first release's configurations, which ``nox -l`` must show."""


@pytest.mark.parametrize("config", FIRST_RELEASE)
@pytest.mark.parametrize("build", [CPU, CUDA])
def test_the_first_release_runs_the_expected_tests(config, build):
    plan = make_plan(config, build)
    assert [test.name for test in plan.tests] == FIRST_RELEASE[config]
    assert config_tags(config) == tuple(dict.fromkeys([*TAGS[config], *FIRST_RELEASE[config]]))


def test_the_list_starts_with_the_first_release():
    assert list(listed_configs())[: len(FIRST_RELEASE)] == list(FIRST_RELEASE)


def test_native_configurations_are_listed_for_emergency(root):
    """Without the package, the names of native configurations come from dispatch.sh."""
    script = (root / "ci_sessions" / "resources" / "dispatch.sh").read_text()
    names = re.search(r"^native='\n(.*?)'", script, re.MULTILINE | re.DOTALL)[1].split()
    assert names == list(native_names()), "list the names of native rows in resources/dispatch.sh"
    for name in names:
        assert {test.kind for test in make_plan(name).tests} == {TestKind.NATIVE}


@pytest.mark.parametrize("name", [name for row in TABLE for name in row.match.names])
def test_every_name_in_the_table_can_be_planned_for_every_device(name):
    """The names come from the table, so a new row needs no entry here."""
    for build in (CPU, CUDA, ROCM, "linux-noble-xpu-py3.10", "linux-jammy-py3.12-pallas-tpu"):
        try:
            plan = make_plan(name, build)
        except InputError:  # a substring of the full name, such as torchtitan
            assert config_problem(f"{name}_test") is None
        else:
            assert plan.has_tests or plan.notices


def argv(plan, name):
    return [
        " ".join(s.argv)
        for t in plan.tests
        if t.name == name
        for s in t.steps
        if s.kind is Kind.TEST
    ]


def test_nccl_is_shown_and_skipped_without_cuda():
    nccl = make_plan("distributed").tests[1]
    assert nccl.skipped == "NCCL needs CUDA, and the build is for cpu"
    assert nccl.steps
    assert make_plan("distributed", CUDA).tests[1].skipped is None


def test_distributed_adapts_to_device_and_shard():
    assert "--multigpu-filter" not in argv(make_plan("distributed"), "test_distributed")[0]
    first = argv(make_plan("distributed", CUDA, "1/3"), "test_distributed")
    second = argv(make_plan("distributed", CUDA, "2/3"), "test_distributed")
    assert first[0].endswith("--multigpu-filter multigpu --shard 1 3 --verbose")
    assert len(first) == 10
    assert len(second) == 1
    rocm = argv(make_plan("distributed", ROCM, "1/3"), "test_distributed")
    assert not [line for line in rocm if "NCCL" in line]


def test_python_takes_shards_and_selections():
    whole = argv(make_plan("python", TESTS_TO_INCLUDE="test_a test_b"), "test_python")
    expected = (
        "python test/run_test.py --exclude-jit-executor --exclude-distributed-tests "
        "--exclude-quantization-tests --include test_a test_b --verbose"
    )
    assert whole == [expected]
    part = argv(make_plan("python", shard="2/4", TESTS_TO_EXCLUDE="x"), "test_python")
    assert "--exclude x --shard 2 4 --verbose --upload-artifacts-while-running" in part[0]


def test_a_wheel_test_hides_the_build_folder_and_always_restores_it():
    steps = make_plan("python", IN_WHEEL_TEST="1").tests[1].steps
    assert steps[0].argv == ("mv", "build", "build_renamed")
    assert (steps[-2].argv, steps[-2].policy.always) == (("mv", "build_renamed", "build"), True)
    assert "$SITE/torch/test" in steps[-3].argv


def test_only_builds_for_devices_need_devices():
    def needs(config, build):
        need = make_plan(config, build).needs
        return need.device, need.count

    assert needs("distributed", CUDA) == ("cuda", 2)
    assert needs("distributed", CPU) == ("cpu", 0)
    assert needs("nogpu_AVX512", CUDA) == ("cuda", 0)
    assert needs("einops", "linux-noble-xpu-n-py3.10") == ("xpu", 1)


def test_tpu_jobs_need_a_tpu():
    plan = make_plan("inductor-pallas-tpu", "linux-jammy-py3.12-gcc11-pallas-tpu")
    assert (plan.needs.device, plan.needs.count) == ("tpu", 1)
    assert plan.env["PYTORCH_TESTING_DEVICE_ONLY_FOR"] == "tpu"


def test_every_row_is_the_first_match_of_some_job():
    """A row that no job can reach is in the wrong position."""
    names = [name for row in TABLE for name in row.match.names]
    jobs = [
        replace(make_job("default", build, shard, **more), config=config)
        for config in (*names, "default")
        for build in (
            CPU,
            CUDA,
            ROCM,
            "linux-vulkan-jammy",
            "linux-libtorch",
            "linux-mobile-lightweight-dispatch",
        )
        for shard in ("1/1", "1/3", "2/3", "3/3")
        for more in ({}, {"TESTS_TO_INCLUDE": "test_x"})
    ]
    reached = {find_row(job).name for job in jobs}
    assert reached == {row.name for row in TABLE}


REACHING = [
    *FIRST_RELEASE, "default", "multigpu", "pr_time_benchmarks", "onnx", "numpy_2_x", "backwards_compat",
    "libtorch_agnostic_targetting", "xla", "vllm_x", "torchtitan_features", "executorch", "quantization",
    "cpu_operator_benchmark", "operator_microbenchmark_test", "attention_microbenchmark_test",
    "inductor-halide", "inductor-pallas-cpu", "inductor-triton-cpu", "inductor-micro-benchmark",
    "inductor_better_benchmark", "aoti_cross_compile_for_windows", "cachebench", "verify_cachebench",
    "inductor_core", "inductor", "einops", "dynamo_core", "dynamo_cpython", "dynamo_wrapped",
    "smoke_b200", "smoke_xpu", "dtensor", "h100_distributed", "h100-symm-mem", "h100-fabric",
    "b200-symm-mem", "h100_cutlass_backend", "openreg", "tsan",
]  # fmt: skip


@pytest.mark.parametrize("config", REACHING)
@pytest.mark.parametrize("build", [CPU, CUDA, ROCM, "linux-noble-xpu-py3.10"])
def test_every_configuration_can_be_planned_for_every_device(config, build):
    plan = make_plan(config, build)
    assert plan.has_tests or plan.notices


def test_an_unknown_config_is_an_error_with_suggestions():
    fault = config_problem("jit_legcy")
    assert fault == (
        "TEST_CONFIG is 'jit_legcy', which is not a known configuration: did you mean jit_legacy?"
    )
    assert config_problem("zzzz").endswith("`nox -l` lists configurations.")
    assert config_problem("default_retry_experiment") is None
    assert config_problem("nogpu_AVX10") is None
    assert config_problem("py_crossref") is None
    assert config_problem("inductor_timm_perf_new_chip") is None


@pytest.mark.parametrize("config", [row.match.names[0] for row in TABLE if not row.sharded])
def test_an_unsharded_config_rejects_shards(config):
    with pytest.raises(InputError, match="cannot be sharded"):
        make_plan(config, CPU, "1/2")


def test_a_job_without_tests_has_a_notice():
    plan = make_plan("default", "linux-jammy-cpu-libtorch-debug")
    assert plan.notices == (
        "libtorch-no-op: test.sh runs no tests for a libtorch build and passes",
    )
    assert make_plan("operator_benchmark_x", CUDA).notices[0].startswith("operator-benchmark-no-op")


def test_a_torchtitan_config_must_name_its_tests():
    with pytest.raises(UnknownConfigError, match="features or models"):
        make_plan("torchtitan_x", CUDA)


def test_a_nightly_channel_must_be_known():
    with pytest.raises(InputError, match="set BASELINE_INDEX_URL"):
        make_plan("operator_microbenchmark_mm_baseline", CPU)
    plan = make_plan("operator_microbenchmark_mm_baseline", CPU, BASELINE_INDEX_URL="file:///x")
    assert "file:///x" in plan.tests[0].steps[0].argv


def test_an_older_tree_has_its_scripts_elsewhere():
    old = Checkout(scripts=".jenkins/pytorch")
    docs = plan_job(make_job("docs_test"), old)
    assert docs.tests[0].steps[0].argv == (".jenkins/pytorch/docs-test.sh",)
    smoke = plan_job(make_job("smoke"), old)
    assert smoke.tests[0].steps[0].command.sources[0] == ".jenkins/pytorch/common_utils.sh"


def test_the_sample_installs_nothing():
    plan = plan_job(make_job("timm"), Checkout(is_sample=True))
    steps = [*plan.setup, *(s for t in plan.tests for s in t.steps)]
    assert {s.kind for s in steps if s.skipped} == {Kind.INSTALL, Kind.PREFLIGHT}
    assert not [s for s in steps if s.kind is Kind.INSTALL and not s.skipped]


def test_planning_is_a_pure_function():
    assert make_plan("default", CUDA, "1/5") == make_plan("default", CUDA, "1/5")
    assert plan_job(make_job(), RECORDED).tests[1].replaces == ("test_python_legacy_jit",)


# A check of the installation, and checks of what the shard itself has measured.
ON_EVERY_SHARD = re.compile(r"python\0(tools/dynamo/verify_dynamo|benchmarks/dynamo/check_\w+)\.py")


def shards_by_command(config, build, total):
    """Return each test command of all shards, with the shards that it names, or the counts of it.

    The shard's number in ``--shard 2 5`` and ``--partition-id 1`` is replaced by ``N``.
    """
    named, plain = defaultdict(list), Counter()
    for number in range(1, total + 1):
        for step in make_plan(config, build, f"{number}/{total}").without_added().steps():
            if not step.is_test:
                continue
            argv = "\0".join(step.argv)
            command, count = re.subn(
                f"(--shard\0){number}(\0{total}\\b)|(--partition-id\0){number - 1}\\b",
                r"\1\3N\2",
                argv,
            )
            where = (step.cwd, command)
            if count:
                named[where].append(number)
            else:
                plain[where] += 1
    return named, plain


@given(
    st.sampled_from(
        ["default", "slow", "crossref", "dynamo_wrapped", "distributed", "huggingface"]
    ),
    st.sampled_from([CPU, CUDA, ROCM, "linux-jammy-py3.10-clang18-asan"]),
    st.integers(2, 12),
)
def test_every_test_runs_on_exactly_one_shard(config, build, total):
    named, plain = shards_by_command(config, build, total)
    assert all(numbers == [*range(1, total + 1)] for numbers in named.values())
    assert named
    repeated = [argv for (_, argv), count in plain.items() if count != 1]
    assert [argv for argv in repeated if not ON_EVERY_SHARD.match(argv)] == []


def test_older_releases_do_without_helpers_that_they_lack():
    helpers = {"install_torchcomms", "install_spmd_types"}

    def calls(checkout, *job):
        return [step.argv for step in plan_job(make_job(*job), checkout).steps()]

    distributed = ("distributed", CPU, "2/3")
    assert helpers <= {argv[0] for argv in calls(RECORDED, *distributed)}
    features = {Feature.TORCHCOMMS, Feature.SPMD_TYPES, Feature.TORCH_TRACE}
    older = replace(RECORDED, features=RECORDED.features - features | {Feature.TORCHDYNAMO})
    assert not helpers & {argv[0] for argv in calls(older, *distributed)}
    assert any("pytorch/torchdynamo.git@" in argv[-1] for argv in calls(older, *distributed))
    traced = ("inductor_cpp_wrapper", CUDA, "1/2")
    assert "setup_torch_trace" in {argv[0] for argv in calls(RECORDED, *traced)}
    assert "setup_torch_trace" not in {argv[0] for argv in calls(older, *traced)}
