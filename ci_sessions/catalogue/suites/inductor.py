"""The compiler's unit tests: inductor alone, distributed, with the C++ wrapper, by backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue.commands import (
    BUILD_BIN,
    REPORTS,
    TORCH_LIB,
    assert_clean,
    install_torchvision,
    make_folder,
    run_test,
    shard_args,
    shell_function,
    upload_args,
)
from ci_sessions.catalogue.devices import ROCM, XPU
from ci_sessions.job.variables import LD_LIBRARY_PATH
from ci_sessions.plan.builders import added, command, export, install, replaces

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft, Item
    from ci_sessions.plan.step import Step

_FSDP = "distributed/_composable/fsdp"
DISTRIBUTED_TESTS = (
    ("inductor/test_aot_inductor.py", "test_replicate_on_devices"),
    ("inductor/test_aot_inductor.py", "test_on_gpu_device1"),
    ("inductor/test_aot_inductor.py", "test_non_default_gpu_device"),
    ("inductor/test_aot_inductor.py", "test_load_package_multiple_gpus"),
    ("distributed/test_c10d_functional_native.py", None),
    ("distributed/tensor/test_dtensor_compile.py", None),
    ("distributed/tensor/parallel/test_micro_pipeline_tp.py", None),
    ("distributed/_composable/test_replicate_with_compiler.py", None),
    (f"{_FSDP}/test_fully_shard_comm.py", None),
    (f"{_FSDP}/test_fully_shard_training.py", "test_train_parity_multi_group"),
    (f"{_FSDP}/test_fully_shard_training.py", "test_train_parity_with_activation_checkpointing"),
    (f"{_FSDP}/test_fully_shard_training.py", "test_train_parity_hsdp"),
    (
        f"{_FSDP}/test_fully_shard_training.py",
        "test_train_parity_2d_transformer_checkpoint_resume",
    ),
    (f"{_FSDP}/test_fully_shard_training.py", "test_gradient_accumulation"),
    (f"{_FSDP}/test_fully_shard_state_dict.py", "test_dp_state_dict_save_load"),
    (f"{_FSDP}/test_fully_shard_frozen.py", None),
    (f"{_FSDP}/test_fully_shard_mixed_precision.py", "test_compute_dtype"),
    (f"{_FSDP}/test_fully_shard_mixed_precision.py", "test_reduce_dtype"),
    (f"{_FSDP}/test_fully_shard_clip_grad_norm_.py", "test_clip_grad_norm_2d"),
    (f"{_FSDP}/test_fully_shard_compile.py", None),
    ("distributed/fsdp/test_fsdp_tp_integration.py", "test_fsdp_tp_integration"),
)
ANY_NUMBER_OF_DEVICES = (
    "distributed/test_dynamo_distributed",
    "distributed/test_inductor_collectives",
    "distributed/test_aten_comm_compute_reordering",
    "distributed/test_compute_comm_reordering",
)
NOT_IN_CORE = (
    "test_benchmark_fusion",
    "test_cutlass_backend",
    "test_flex_attention",
    "test_max_autotune",
    "test_aot_inductor_arrayref",
    "test_aot_inductor_arrayref",  # listed twice in test.sh too
    "test_compiled_autograd",
    "test_compile_subprocess",
    "test_cpu_cpp_wrapper",
    "test_cpu_repro",
    "test_cpu_select_algorithm",
    "test_torchinductor_dynamic_shapes",
    "test_torchinductor",
    "test_mkldnn_pattern_matcher",
    "test_torchinductor_codegen_dynamic_shapes",
)
SHARDED_UNIT_TESTS = (
    "inductor/test_torchinductor",
    "inductor/test_torchinductor_opinfo",
    "inductor/test_aot_inductor",
    "inductor/test_cpu_select_algorithm",
)
WRAPPER_TESTS = (
    "inductor/test_torchinductor",
    "inductor/test_max_autotune",
    "inductor/test_cpu_repro",
    "inductor/test_triton_kernels",
    "inductor/test_combo_kernels",
)
AOTI_CPP_TESTS = (
    "cpp/test_aoti_abi_check",
    "cpp/test_shim",
    "cpp/test_aoti_inference",
    "cpp/test_vec_half_AVX2",
)
TORCHBENCH_PATH = {"PYTHONPATH": "/torchbench"}


def _unit_tests() -> Draft:
    """Inductor's main test file, which inductor_distributed and inductor_cpp_wrapper both add."""
    return added("test_inductor", run_test("--include", "inductor/test_torchinductor", "--verbose"))


def _traced(*steps: Item | list[Step] | list[Item]) -> list[Item]:
    """Wrap steps in the compiler trace set up by the checkout's torch_trace.sh."""
    flat: list[Item] = []
    for step in steps:
        flat.extend(step if isinstance(step, list) else [step])
    return [shell_function("setup_torch_trace"), *flat, shell_function("collect_tlparse_output")]


def _shard(job: Job) -> tuple[str, ...]:
    return (*shard_args(job), "--verbose")


def inductor_distributed(job: Job, checkout: Checkout) -> list[Draft]:
    """Tests of compiled programs on several devices."""
    selected = [
        run_test("-i", file, *(("-k", only) if only else ()), "--verbose")
        for file, only in DISTRIBUTED_TESTS
    ]
    rest = run_test("--include", *ANY_NUMBER_OF_DEVICES, "--verbose")
    return [
        _unit_tests(),
        replaces(
            "test_inductor_distributed",
            shell_function("install_torchcomms"),
            _traced(selected, rest, assert_clean(job, checkout)),
        ),
    ]


def inductor_cpp_wrapper(job: Job, checkout: Checkout) -> list[Draft]:
    """Unit tests with the C++ wrapper; on the first shard, also the C++ tests of AOTInductor."""
    first = job.is_first_shard
    functions = ["test_inductor_cpp_wrapper_shard", *(["test_inductor_aoti_cpp"] if first else [])]
    return [
        _unit_tests(),
        replaces(
            " ".join(functions),
            install_torchvision(job),
            _traced(
                export(TORCHINDUCTOR_CPP_WRAPPER="1"),
                make_folder(),
                _wrapper_tests(job),
                _aoti_cpp(job) if first else [],
            ),
            name="test_inductor_cpp_wrapper",
        ),
    ]


def _wrapper_tests(job: Job) -> list[Step]:
    shard = _shard(job)
    autotune = {"TORCHINDUCTOR_AUTOTUNE_AT_COMPILE_TIME": "1", **TORCHBENCH_PATH}
    compile_time = (
        "inductor/test_torchinductor",
        "inductor/test_triton_kernels",
        "inductor/test_max_autotune",
    )
    opinfo = ("inductor/test_torchinductor_opinfo", "-k")
    steps = [
        run_test(
            "--include",
            *opinfo,
            "linalg or to_sparse or TestInductorOpInfoCPU",
            *shard,
            env=TORCHBENCH_PATH,
        ),
        run_test("--include", *WRAPPER_TESTS, *shard, env=TORCHBENCH_PATH),
        run_test(
            "--inductor", "--include", "test_torch", "-k", "take", *shard, env=TORCHBENCH_PATH
        ),
        run_test("--include", *compile_time, *shard, env=autotune),
    ]
    if XPU.is_in(job.build):
        patterns = ("inductor/test_mkldnn_pattern_matcher", "-k", "xpu")
        steps.append(run_test("--include", *patterns, *shard, env=TORCHBENCH_PATH))
    return steps


def _aoti_cpp(job: Job) -> list[Step]:
    hipify = [install("python3", "tools/amd_build/build_amd.py")] if ROCM.is_in(job.build) else []
    paths = {"CPP_TESTS_DIR": BUILD_BIN, LD_LIBRARY_PATH.name: TORCH_LIB}
    args = ("--cpp", "--verbose", "-i", *AOTI_CPP_TESTS, "-dist=loadfile")
    return [*hipify, run_test(*args, env=paths)]


def inductor_core(job: Job, checkout: Checkout) -> list[Draft]:
    """Inductor's core tests, without the files that have their own jobs."""
    excluded = tuple(f"inductor/{name}" for name in NOT_IN_CORE)
    args = (
        "--include-inductor-core-tests",
        "--exclude",
        *excluded,
        "--verbose",
        *upload_args(checkout),
    )
    return [replaces("test_inductor_core", _traced(run_test(*args), assert_clean(job, checkout)))]


def inductor_shard(job: Job, checkout: Checkout) -> list[Draft]:
    """Operators and modules compiled with inductor, then inductor's unit tests."""
    operators = ("test_modules", "test_ops", "test_ops_gradients", "test_torch")
    # The unit tests run without --inductor: nested compiler state breaks them.
    steps = [
        command("python", "tools/dynamo/verify_dynamo.py"),
        run_test("--inductor", "--include", *operators, *_shard(job)),
        run_test("--include", *SHARDED_UNIT_TESTS, *_shard(job)),
    ]
    if ROCM.is_in(job.build) and job.is_first_shard:
        tuned = {"TORCHINDUCTOR_MAX_AUTOTUNE": "1", "TORCHINDUCTOR_ORIGAMI": "1"}
        steps.append(run_test("--include", "inductor/test_origami", "--verbose", env=tuned))
    return [replaces("test_inductor_shard", install_torchvision(job), _traced(steps))]


def halide(job: Job, checkout: Checkout) -> list[Draft]:
    """The Halide backend."""
    return _backend(job, checkout, "test_inductor_halide", "inductor/test_halide.py")


def pallas(job: Job, checkout: Checkout) -> list[Draft]:
    """The Pallas backend."""
    return _backend(job, checkout, "test_inductor_pallas", "inductor/test_pallas.py")


def triton_cpu(job: Job, checkout: Checkout) -> list[Draft]:
    """Triton on the CPU."""
    files = ("test_triton_cpu_backend.py", "test_torchinductor_strided_blocks.py")
    paths = [f"inductor/{name}" for name in files]
    return _backend(job, checkout, "test_inductor_triton_cpu", *paths)


def _backend(job: Job, checkout: Checkout, function: str, *files: str) -> list[Draft]:
    tests = run_test("--include", *files, "--verbose")
    return [replaces(function, tests, assert_clean(job, checkout))]


def aoti_windows(job: Job, checkout: Checkout) -> list[Draft]:
    """Ahead-of-time cross-compilation for Windows."""
    wheel = "$ROOT/win-torch-wheel-extracted"
    folders = ("--package-dir", REPORTS, "--win-torch-lib-dir", f"{wheel}/torch/lib")
    test = "test/inductor/test_aoti_cross_compile_windows.py"
    return [
        replaces(
            "test_inductor_aoti_cross_compile_for_windows",
            make_folder(),
            export(WINDOWS_CUDA_HOME=wheel),
            command("python", test, "-k", "compile", *folders),
        )
    ]
