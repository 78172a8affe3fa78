"""The default suite: PyTorch's Python tests, ATen's, and what single shards add to them.

test.sh spreads the suite over shards: the first two carry what must run once, all carry their part
of the Python tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.plan.builders import (
    BUILD_BIN,
    TORCH,
    TORCH_BIN,
    TORCH_LIB,
    UPLOAD,
    assert_clean,
    command,
    copy_tree,
    export,
    file_step,
    git,
    install,
    install_torchvision,
    link,
    make_folder,
    pip_install,
    replaces,
    run_test,
    source,
)
from ci_sessions.plan.placeholders import ask
from ci_sessions.plan.plan import Kind, Step

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Item, Test

_NOT_HERE = (
    "--exclude-jit-executor",
    "--exclude-distributed-tests",
    "--exclude-quantization-tests",
)
_FAKE_NUMPY = "import sys;sys.path.insert(0, 'fake_numpy');"
NUMPY_2_TESTS = (
    "dynamo/test_functions.py",
    "dynamo/test_unspec.py",
    "test_binary_ufuncs.py",
    "test_fake_tensor.py",
    "test_linalg.py",
    "test_numpy_interop.py",
    "test_tensor_creation_ops.py",
    "test_torch.py",
    "torch_np/test_basic.py",
)


def alone(job: Job, checkout: Checkout) -> list[Test]:
    """The Python tests with nothing installed first, whole or one shard."""
    if job.shard.is_split:
        return [replaces("test_python_shard", _shard_steps(job, checkout), name="test_python")]
    return [replaces("test_python", _whole_steps(job, checkout))]


def whole(job: Job, checkout: Checkout) -> list[Test]:
    """All Python tests in one job, with what they import."""
    needs = [*install_torchvision(job), pip_install("MonkeyType")]
    return [replaces("test_python", needs, _whole_steps(job, checkout))]


def shard(job: Job, checkout: Checkout) -> list[Test]:
    """One shard of the Python tests, with torchvision."""
    steps = _shard_steps(job, checkout)
    return [replaces("test_python_shard", install_torchvision(job), steps)]


def _whole_steps(job: Job, checkout: Checkout) -> list[Step]:
    words = (*_NOT_HERE, *job.exclude_words, *job.include_words, "--verbose")
    return [run_test(*words, *job.run_test_options), *assert_clean(job, checkout)]


def _shard_steps(job: Job, checkout: Checkout) -> list[Step]:
    part = ("--shard", str(job.shard.number), str(job.shard.total), "--verbose")
    words = (*_NOT_HERE, *job.exclude_words, *job.include_words, *part, *job.run_test_options)
    return [run_test(*words, UPLOAD), *assert_clean(job, checkout)]


def numpy_2(job: Job, checkout: Checkout) -> list[Test]:
    """The tests that touch numpy, with numpy 2 and the pandas version that was found."""
    pins = ("numpy==2.0.2", "scipy==1.13.1", "numba==0.60.0")
    pip = ("python", "-m", "pip", "install", "--pre")
    return [
        replaces(
            "numpy_2",
            install(*pip, *pins, ask("pandas_pin")),
            run_test("--include", *NUMPY_2_TESTS),
            name="test_numpy_2",
        )
    ]


def quantization(job: Job, checkout: Checkout) -> list[Test]:
    """The quantization tests, run as a program."""
    return [replaces("test_quantization", command("python", "test/test_quantization.py"))]


def openreg(job: Job, checkout: Checkout) -> list[Test]:
    """The reference back end for devices outside the tree."""
    module = git("submodule", "update", "--init", "--depth", "1", "third_party/googletest")
    test = run_test("--openreg", "--verbose")
    return [replaces("test_openreg", module, test, assert_clean(job, checkout))]


def tsan(job: Job, checkout: Checkout) -> list[Test]:
    """Data races, under an interpreter built with the sanitizer; its reports become one file."""
    report = "test/test-reports/tsan_toprint.log"
    merge = Step(
        kind=Kind.FILE,
        argv=("bash", "-c", f"cat {report}.* > {report} && rm -f {report}.*"),
        when="tsan reports exist",
        always=True,
    )
    test = command("python", "test/test_tsan.py", "-v")
    return [replaces("test_tsan", test, merge, assert_clean(job, checkout))]


def vulkan(job: Job, checkout: Checkout) -> list[Test]:
    """The Vulkan API on a software device."""
    tests = f"{TORCH}/test"
    swiftshader = "/var/lib/jenkins/swiftshader/swiftshader/build/Linux/"
    env = {"CPP_TESTS_DIR": tests, "LD_LIBRARY_PATH": swiftshader}
    return [
        replaces(
            "test_vulkan",
            link(tests, "libtorch*", "libc10*"),
            export(VK_ICD_FILENAMES=f"{swiftshader}vk_swiftshader_icd.json"),
            run_test("--cpp", "--verbose", "-i", "cpp/vulkan_api_test", env=env),
        )
    ]


def aten(job: Job, checkout: Checkout) -> list[Test]:
    """ATen's C++ tests, with torch's libraries linked in beside them.

    A wheel test hides the build folder, to show that nothing depends on it, and puts it back
    whatever happens.
    """
    folder = f"{TORCH}/test" if job.in_wheel_test else BUILD_BIN
    libraries = ("libc10*", "libcaffe2*", "libmkldnn*", "libnccl*", "libtorch*")
    hide = [file_step("mv", "build", "build_renamed")] if job.in_wheel_test else []
    restore = [file_step("mv", "build_renamed", "build", always=True)] if job.in_wheel_test else []
    return [
        replaces(
            "test_aten",
            hide,
            link(folder, *libraries, sudo=job.sudo),
            command("aten/tools/run_tests.sh", folder),
            restore,
            assert_clean(job, checkout),
        )
    ]


def vec256(job: Job, checkout: Checkout) -> list[Test]:
    """The vector instruction tests that were built, each on its own."""
    if job.build.is_rocm:
        return []
    report = "--gtest_output=xml:test/test-reports/vec256/{}.xml"
    each = Step(kind=Kind.TEST, argv=("{}", report), cwd=BUILD_BIN, each="vec256 tests")
    folder = make_folder("test/test-reports/vec256")
    return [replaces("test_vec256", folder, each, assert_clean(job, checkout))]


def lazy_tensor(job: Job, checkout: Checkout) -> list[Test]:
    """Lazy tensors without meta references."""
    off = {"TORCH_DISABLE_FUNCTIONALIZATION_META_REFERENCE": "1"}
    test = run_test("--include", "lazy/test_ts_opinfo.py", "--verbose", env=off)
    return [replaces("test_lazy_tensor_meta_reference_disabled", test)]


def without_numpy(job: Job, checkout: Checkout) -> list[Test]:
    """Torch where numpy cannot be imported."""
    refuses = (
        "from unittest import TestCase;import torch;x=torch.randn(3,3);"
        "TestCase().assertRaises(RuntimeError, lambda: x.numpy())"
    )
    nested = "import torch;print(torch.tensor([torch.tensor(0.), torch.tensor(1.)]))"
    compiled = "import torch;torch.compile(lambda x:print(x))('Hello World')"
    programs = [refuses, nested, "import torch; import torch.onnx"]
    if job.has("dynamo_wrapped"):
        programs.insert(2, compiled)
    steps = [
        command("python", "-c", _FAKE_NUMPY + program, cwd="$ROOT/.ci/pytorch")
        for program in programs
    ]
    return [replaces("test_without_numpy", steps)]


def xpu_bin(job: Job, checkout: Checkout) -> list[Test]:
    """Every XPU binary of the build."""
    if not job.build.is_xpu:
        return []
    report = "--gtest_output=xml:$ROOT/test/test-reports/{name}.xml"
    each = Step(kind=Kind.TEST, argv=("{}", report), each="xpu binaries")
    paths = export(LD_LIBRARY_PATH=f"{TORCH_LIB}:{{LD_LIBRARY_PATH}}")
    return [replaces("test_xpu_bin", make_folder(), paths, each)]


def libtorch(job: Job, checkout: Checkout) -> list[Test]:
    """The C++ API and the C++ JIT: on shards 1 and 2, or both; ``slow`` has neither."""
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
    env = {"OMP_NUM_THREADS": "2", "TORCH_CPP_TEST_MNIST_PATH": mnist}
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
    if not any(job.build.has(word) for word in ("android", "cuda", "asan", "s390x")):
        steps.append(export(CPP_TESTS_DIR=BUILD_BIN))  # this binary lies in the build folder
        steps.append(run_test("--cpp", "--verbose", "-i", "cpp/static_runtime_test"))
    return steps


def _libtorch_jit(job: Job) -> list[Step]:
    def models(verb: str, *, always: bool = False) -> Step:
        argv = ("python", "cpp/jit/tests_setup.py", verb)
        return Step(kind=Kind.INSTALL, argv=argv, cwd="$ROOT/test", always=always)

    both = ("-i", "cpp/test_jit", "cpp/test_lazy")
    if job.build.is_cuda and not job.has("nogpu"):
        test = run_test("--cpp", "--verbose", *both, env={"LTC_TS_CUDA": "1"})
    elif job.build.is_asan:  # test_jit times out under these sanitizers
        test = run_test("--cpp", "--verbose", "-i", "cpp/test_lazy", "-k", "not CUDA")
    else:
        test = run_test("--cpp", "--verbose", *both, "-k", "not CUDA")
    return [models("setup"), test, models("shutdown", always=True)]


def libtorch_profiler(job: Job, checkout: Checkout) -> list[Test]:
    """The profiler's C++ tests; the end-to-end one first, since it needs a fresh Kineto."""

    def cpp(name: str, *words: str) -> Step:
        return run_test("--cpp", "--verbose", "-i", f"cpp/{name}", *words)

    return [
        replaces(
            "test_libtorch_profiler",
            export(
                CPP_TESTS_DIR=TORCH_BIN,
                LD_LIBRARY_PATH=f"{TORCH_LIB}:{{LD_LIBRARY_PATH}}",
            ),
            cpp("test_privateuse1_profiler", "-k", "EndToEndProfiling"),
            cpp("test_privateuse1_profiler", "-k", "not EndToEndProfiling"),
            cpp("test_profiler_collection"),
            cpp("test_global_state_manager"),
        )
    ]


def aot_compilation(job: Job, checkout: Checkout) -> list[Test]:
    """Ahead-of-time compilation of mobile models, as far as its binaries were built."""
    words = ("python", "test/run_test.py", "--cpp", "--verbose", "-i", "cpp/test_mobile_nnc")
    binary = Step(
        kind=Kind.TEST,
        argv=words,
        env={"CPP_TESTS_DIR": TORCH_BIN},
        when="mobile nnc test is built",
    )
    script = source("test/mobile/nnc/test_aot_compile.sh", when="aot compiler test is built")
    return [
        replaces("test_aot_compilation", link(TORCH_BIN, "libc10*", "libtorch*"), binary, script)
    ]


def custom_script_ops(job: Job, checkout: Checkout) -> list[Test]:
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


def custom_backend(job: Job, checkout: Checkout) -> list[Test]:
    """A custom back end, from Python and from C++; the exported model is removed."""
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
    artifacts = job.artifact_dir or "$ROOT/build/custom_test_artifacts"
    return [
        copy_tree(f"{artifacts}/{build}", "build", cwd=cwd),
        *(command("python", *words, cwd=cwd) for words in python),
        command(binary, "./model.pt", cwd=cwd),
    ]


def torch_function_benchmark(job: Job, checkout: Checkout) -> list[Test]:
    """The cost of ``__torch_function__``."""
    classes = ("Tensor", "SubTensor", "WithTorchFunction", "SubWithTorchFunction")
    programs: list[tuple[str, ...]] = [("bench.py", "-n", "1", "-m", "2")]
    programs += [("pyspybench.py", name, "-n", "1") for name in classes]
    cwd = "$ROOT/benchmarks/overrides_benchmark"
    steps = [command("python", *words, cwd=cwd) for words in programs]
    return [replaces("test_torch_function_benchmark", steps, assert_clean(job, checkout))]
