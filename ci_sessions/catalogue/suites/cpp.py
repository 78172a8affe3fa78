"""Tests of the C++ API, the C++ JIT, and custom operators and backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.commands import (
    BUILD_BIN,
    TORCH,
    TORCH_BIN,
    TORCH_LIB,
    assert_clean,
    link,
    make_folder,
    run_test,
)
from ci_sessions.catalogue.devices import CUDA, XPU
from ci_sessions.job.variables import (
    CUSTOM_TEST_ARTIFACT_BUILD_DIR,
    LD_LIBRARY_PATH,
    OMP_NUM_THREADS,
)
from ci_sessions.plan.builders import (
    command,
    copy_tree,
    export,
    file_step,
    install,
    replaces,
    source,
)
from ci_sessions.plan.step import ForEach, Kind, Policy, Step

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft, Item


def vulkan(job: Job, checkout: Checkout) -> list[Draft]:
    """The Vulkan API on a software device."""
    tests = f"{TORCH}/test"
    swiftshader = "/var/lib/jenkins/swiftshader/swiftshader/build/Linux/"
    env = {"CPP_TESTS_DIR": tests, LD_LIBRARY_PATH.name: swiftshader}
    return [
        replaces(
            "test_vulkan",
            link(tests, "libtorch*", "libc10*"),
            export(VK_ICD_FILENAMES=f"{swiftshader}vk_swiftshader_icd.json"),
            run_test("--cpp", "--verbose", "-i", "cpp/vulkan_api_test", env=env),
        )
    ]


def xpu_bin(job: Job, checkout: Checkout) -> list[Draft]:
    """Every XPU binary of the build."""
    if not XPU.is_in(job.build):
        return []
    report = "--gtest_output=xml:$ROOT/test/test-reports/${each:name}.xml"
    binaries = ForEach(q.XPU_BINARIES, ("${each}", report))
    each = Step(kind=Kind.TEST, command=binaries, is_test=True)
    paths = export(LD_LIBRARY_PATH=f"{TORCH_LIB}:${{before:LD_LIBRARY_PATH}}")
    return [replaces("test_xpu_bin", make_folder(), paths, each)]


def libtorch(job: Job, checkout: Checkout) -> list[Draft]:
    """The C++ API on shard 1 and the C++ JIT on shard 2, both if unsharded; ``slow`` runs none."""
    part = job.shard.number if job.shard.is_split else None
    if job.config == "slow":
        return []
    libraries = (
        "libbackend_with_compiler.so",
        "libjitbackend_test.so",
        "libcaffe2_nvrtc.so",
        "libc10*",
        "libshm*",
        "libtorch*",
        "libnvfuser*",
    )
    return [
        replaces(
            "test_libtorch",
            link(TORCH_BIN, *libraries),
            export(CPP_TESTS_DIR=TORCH_BIN),
            _libtorch_api(job) if part in (None, 1) else [],
            _libtorch_jit(job) if part in (None, 2) else [],
            assert_clean(job, checkout),
        )
    ]


def _libtorch_api(job: Job) -> list[Item]:
    mnist = "$ROOT/test/cpp/api/mnist"
    env = {OMP_NUM_THREADS.name: "2", "TORCH_CPP_TEST_MNIST_PATH": mnist}
    steps: list[Item] = [
        command("python", "tools/download_mnist.py", "--quiet", "-d", mnist),
    ]
    if job.build.is_asan or job.build.has("slow-gradcheck"):
        reports = "test/test-reports/cpp-unittest/test_libtorch"
        report = f"--gtest_output=xml:{reports}/test_api.xml"
        binary = f"{TORCH_BIN}/test_api"
        steps.append(make_folder(reports))
        steps.append(command(binary, "--gtest_filter=-IMethodTest.*", report, env=env))
    else:
        api = ("-i", "cpp/test_api", "-k", "not IMethodTest")
        steps.append(run_test("--cpp", "--verbose", *api, env=env))
    if not any(job.build.has(name) for name in ("android", "cuda", "asan", "s390x")):
        steps.append(export(CPP_TESTS_DIR=BUILD_BIN))  # this binary is in the build folder
        steps.append(run_test("--cpp", "--verbose", "-i", "cpp/static_runtime_test"))
    return steps


def _libtorch_jit(job: Job) -> list[Step]:
    def models(verb: str, *, always: bool = False) -> Step:
        argv = ("python", "cpp/jit/tests_setup.py", verb)
        return install(*argv, cwd="$ROOT/test", policy=Policy(always=always))

    tests = ("-i", "cpp/test_jit", "cpp/test_lazy")
    if CUDA.is_in(job.build) and not job.has("nogpu"):
        test = run_test("--cpp", "--verbose", *tests, env={"LTC_TS_CUDA": "1"})
    elif job.build.is_asan:  # test_jit times out under these sanitizers
        test = run_test("--cpp", "--verbose", "-i", "cpp/test_lazy", "-k", "not CUDA")
    else:
        test = run_test("--cpp", "--verbose", *tests, "-k", "not CUDA")
    return [models("setup"), test, models("shutdown", always=True)]


def libtorch_profiler(job: Job, checkout: Checkout) -> list[Draft]:
    """The profiler's C++ tests; the end-to-end test is first because it needs a fresh Kineto."""

    def cpp(name: str, *args: str) -> Step:
        return run_test("--cpp", "--verbose", "-i", f"cpp/{name}", *args)

    return [
        replaces(
            "test_libtorch_profiler",
            export(
                CPP_TESTS_DIR=TORCH_BIN,
                LD_LIBRARY_PATH=f"{TORCH_LIB}:${{before:LD_LIBRARY_PATH}}",
            ),
            cpp("test_privateuse1_profiler", "-k", "EndToEndProfiling"),
            cpp("test_privateuse1_profiler", "-k", "not EndToEndProfiling"),
            cpp("test_profiler_collection"),
            cpp("test_global_state_manager"),
        )
    ]


def aot_compilation(job: Job, checkout: Checkout) -> list[Draft]:
    """Ahead-of-time compilation of mobile models, if its binaries were built."""
    binary = run_test(
        *("--cpp", "--verbose", "-i", "cpp/test_mobile_nnc"),
        env={"CPP_TESTS_DIR": TORCH_BIN},
        when=q.MOBILE_NNC_IS_BUILT,
    )
    script = source("test/mobile/nnc/test_aot_compile.sh", when=q.AOT_COMPILER_IS_BUILT)
    return [
        replaces("test_aot_compilation", link(TORCH_BIN, "libc10*", "libtorch*"), binary, script)
    ]


def custom_script_ops(job: Job, checkout: Checkout) -> list[Draft]:
    """Custom operators, from Python and from C++."""
    if job.build.has("s390x"):
        return []
    return [
        replaces(
            "test_custom_script_ops",
            _exported_model(
                job,
                folder="custom_operator",
                build="custom-op-build",
                python=(
                    ("test_custom_ops.py", "-v"),
                    ("model.py", "--export-script-module=model.pt"),
                ),
                binary="build/test_custom_ops",
            ),
            assert_clean(job, checkout),
        )
    ]


def custom_backend(job: Job, checkout: Checkout) -> list[Draft]:
    """A custom backend, from Python and from C++. The exported model is removed."""
    folder = "$ROOT/test/custom_backend"
    return [
        replaces(
            "test_custom_backend",
            _exported_model(
                job,
                folder="custom_backend",
                build="custom-backend-build",
                python=(
                    ("test_custom_backend.py", "-v"),
                    ("backend.py", "--export-module-to=model.pt"),
                ),
                binary="build/test_custom_backend",
            ),
            file_step("rm", "-f", "./model.pt", cwd=folder, always=True),
            assert_clean(job, checkout),
        )
    ]


def _exported_model(
    job: Job, *, folder: str, build: str, python: tuple[tuple[str, ...], ...], binary: str
) -> list[Step]:
    cwd = f"$ROOT/test/{folder}"
    artifacts = job[CUSTOM_TEST_ARTIFACT_BUILD_DIR] or "$ROOT/build/custom_test_artifacts"
    return [
        copy_tree(f"{artifacts}/{build}", "build", cwd=cwd),
        *(command("python", *args, cwd=cwd) for args in python),
        command(binary, "./model.pt", cwd=cwd),
    ]
