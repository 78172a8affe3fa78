from __future__ import annotations

import pytest
from conftest import make_job, make_plan

from ci_sessions.catalogue.exports import job_exports
from ci_sessions.catalogue.questions import WORKSPACE_IS_JENKINS
from ci_sessions.catalogue.setup import setup_steps
from ci_sessions.checkout.checkout import RECORDED, Checkout
from ci_sessions.plan.step import Expect, Kind

ALWAYS = {
    "TERM": "vt100", "PYTHONUNBUFFERED": "1", "PATH": "$HOME/.local/bin:$PATH", "LANG": "C.UTF-8",
    "TORCH_SERIALIZATION_DEBUG": "1",
}  # fmt: skip


def flags(config="slow", build="linux-jammy-py3.10-gcc11", checkout=None, **variables):
    return job_exports(make_job(config, build, **variables), checkout or Checkout())


@pytest.mark.parametrize(
    ("config", "build", "more"),
    [
        ("einops", "linux-jammy-py3.11-gcc11", {"VALGRIND": "ON"}),
        ("slow", "linux-jammy-py3.11-gcc11", {"VALGRIND": "ON", "PYTORCH_TEST_WITH_SLOW": "1", "PYTORCH_TEST_SKIP_FAST": "1"}),
        ("default", "linux-jammy-aarch64-py3.10", {"VALGRIND": "OFF", "CUDA_VISIBLE_DEVICES": "0"}),
        ("crossref", "linux-s390x", {"VALGRIND": "OFF", "PYTORCH_TEST_WITH_CROSSREF": "1"}),
        ("nogpu_NO_AVX2", "linux-jammy-py3", {"VALGRIND": "ON", "ATEN_CPU_CAPABILITY": "default"}),
        ("nogpu_AVX512", "linux-jammy-py3", {"VALGRIND": "ON", "ATEN_CPU_CAPABILITY": "avx2"}),
        (
            "distributed",
            "linux-noble-rocm-py3.12-mi300",
            {
                "VALGRIND": "OFF", "HIP_PLATFORM": None, "PYTORCH_TEST_WITH_ROCM": "1",
                "HSA_FORCE_FINE_GRAIN_PCIE": "1", "TORCHINDUCTOR_COMPILE_WORKER_WAIT_TIMEOUT": "300",
                "TORCHINDUCTOR_COMPILE_THREADS": "16", "PYTORCH_TESTING_DEVICE_ONLY_FOR": "cuda",
                "HIP_VISIBLE_DEVICES": "0,1,2,3",
            },
        ),
        (
            "einops",
            "linux-noble-xpu-n-py3.10",
            {"VALGRIND": "OFF", "PYTORCH_TESTING_DEVICE_ONLY_FOR": "xpu", "PYTHON_TEST_EXTRA_OPTION": "--xpu", "NO_TEST_TIMEOUT": "True"},
        ),
        ("einops", "linux-jammy-py3.12-gcc11-pallas-tpu", {"VALGRIND": "ON", "PYTORCH_TESTING_DEVICE_ONLY_FOR": "tpu"}),
        (
            "einops",
            "linux-cuda13.0-py3-gcc11-slow-gradcheck",
            {
                "VALGRIND": "ON", "TORCH_CUDA_ARCH_LIST": "${ask:cuda_arch}", "PYTORCH_TESTING_DEVICE_ONLY_FOR": "cuda",
                "PYTORCH_TEST_WITH_SLOW_GRADCHECK": "1", "PYTORCH_TEST_CUDA_MEM_LEAK_CHECK": "1",
            },
        ),
    ],
)  # fmt: skip
def test_job_exports(config, build, more):
    assert flags(config, build) == {**ALWAYS, **more}


def test_sanitizers():
    asan = flags("einops", "linux-jammy-cuda13.0-py3-clang21-asan")
    assert asan["ASAN_OPTIONS"].endswith("debug=true:protect_shadow_gap=0")
    assert asan["LD_PRELOAD"] == "${ask:asan_runtime}"
    assert asan["VALGRIND"] == "OFF"
    tsan = flags("tsan", "linux-jammy-py3.14-clang21-tsan")
    assert tsan["PATH"].startswith("/opt/python/cp314-cp314t+tsan/bin:")
    assert tsan["PYTORCH_TEST_WITH_TSAN"] == "1"


def test_a_job_without_a_gpu_assumes_the_oldest_architecture():
    assert (
        flags("nogpu_AVX512", "linux-cuda13.0")["TORCH_CUDA_ARCH_LIST"] == "${ask:cuda_arch_or_8}"
    )


def test_threads_are_set_on_arc_unless_the_caller_sets_them():
    assert flags(USE_ARC="1")["OMP_NUM_THREADS"] == "${ask:quarter_of_cpus}"
    assert "OMP_NUM_THREADS" not in flags(USE_ARC="1", OMP_NUM_THREADS="3")


def test_the_model_cache_is_used_if_it_exists():
    there = Checkout(has_hf_cache=True)
    assert flags(checkout=there, HF_CACHE="/cache")["HF_HOME"] == "/cache"
    assert "HF_HOME" not in flags(HF_CACHE="/cache")
    assert "HF_HOME" not in flags("onnx", checkout=there, HF_CACHE="/cache")


def test_debug_builds_must_crash_and_others_must_not():
    def expected(build):
        steps = setup_steps(make_job("einops", build), RECORDED)
        return [s.policy.expect for s in steps if s.kind is Kind.PREFLIGHT]

    assert expected("linux-py3-debug")[0] is Expect.FAILURE
    assert expected("linux-py3") == [Expect.SUCCESS] * 3
    assert expected("linux-libtorch") == [Expect.SUCCESS]
    assert expected("linux-asan") == [Expect.SUCCESS, *[Expect.FAILURE] * 3, *[Expect.SUCCESS] * 3]


def test_packages_that_tests_must_not_find_are_removed():
    def removed(config, build):
        steps = setup_steps(make_job(config, build), RECORDED)
        return [s.argv[-1] for s in steps if s.argv[:2] == ("pip", "uninstall")]

    assert removed("einops", "linux-jammy-py3.10-gcc11") == ["onnxruntime", "dill"]
    assert removed("einops", "linux-jammy-py3.10-gcc11-build") == ["onnxruntime"]
    assert removed("onnx", "linux-jammy-py3.10-gcc11-onnx") == []


def test_cleanup_always_restores_the_owner_of_the_workspace():
    plan = make_plan()
    assert plan.cleanup[0].argv[:3] == ("sudo", "chown", "-R")
    assert plan.cleanup[0].when == plan.setup[0].when == WORKSPACE_IS_JENKINS


def test_core_dumps_are_off_if_runs_continue_after_crashes():
    assert make_plan(CONTINUE_THROUGH_ERROR="1").drops_core_dumps
    assert make_plan(PYTORCH_TEST_RERUN_DISABLED_TESTS="1").drops_core_dumps
    assert not make_plan().drops_core_dumps
