"""Other projects' tests against this PyTorch, run by those projects' own runners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.commands import (
    SHELL_FILES,
    assert_clean,
    install_pinned_commit,
    install_torchvision,
    pip_install,
    shell_function,
)
from ci_sessions.catalogue.devices import CUDA
from ci_sessions.errors import UnknownConfigError
from ci_sessions.job.variables import BASE_SHA, RUNNER_TEMP, SHA1, TEST_CONFIG
from ci_sessions.plan.builders import (
    bash,
    command,
    export,
    file_step,
    git,
    install,
    probe,
    replaces,
    source,
)
from ci_sessions.plan.placeholders import ANY
from ci_sessions.plan.step import Expect, Kind, Policy, Program, Step

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Draft, Item

_XLA_FILES = (*SHELL_FILES, "$SCRIPTS/common-build.sh", "xla/.circleci/common.sh")


def onnx(job: Job, checkout: Checkout) -> list[Draft]:
    """The ONNX exporter's test script."""
    script = "$ROOT/$SCRIPTS/../../scripts/onnx/test.sh"
    return [replaces("onnx", install_torchvision(job), command(script), name="test_onnx")]


def vllm(job: Job, checkout: Checkout) -> list[Draft]:
    """VLLM's test plans, run with PyTorch's CLI for external projects."""
    shard = ("--shard-id", str(job.shard.number), "--num-shards", str(job.shard.total))
    runner = ("python", "-m", "cli.run", "test", "external", "vllm", "--test-plan", job.config)
    lumen = install("python", "-m", "pip", "install", "-e", ".", cwd="$ROOT/.ci/lumen_cli")
    return [replaces("vllm", lumen, command(*runner, *shard), name="test_vllm")]


def torchtitan(job: Job, checkout: Checkout) -> list[Draft]:
    """Torchtitan's feature or model tests at the pinned commit, on eight GPUs."""
    here = "$ROOT/torchtitan"
    missing = q.TORCHTITAN_IS_NOT_CLONED
    kind = next((f"{name[:-1]}_tests" for name in ("features", "models") if job.has(name)), None)
    if kind is None:
        raise UnknownConfigError(
            f"{TEST_CONFIG.name} is {job.config!r}, but the name of a torchtitan configuration "
            "must contain features or models."
        )
    upload = f"{job[RUNNER_TEMP]}/artifacts-to-be-uploaded"
    packages = ("get_pkg_versions", "torch", "torchao", "torchcomms")
    before, after = "$TMP/packages.before", "$TMP/packages.after"
    return [
        replaces(
            "test_torchtitan",
            install_pinned_commit("ao", "ao", "torchao"),
            shell_function("install_torchcomms"),
            git("clone", "--quiet", "https://github.com/pytorch/torchtitan.git", when=missing),
            git("checkout", "${pin:torchtitan}", cwd=here, when=missing),
            shell_function(*packages, stdout=before),
            pip_install("helion"),
            pip_install("-e", ".", cwd=here),
            # Neither install may have replaced the packages that CI built.
            shell_function(*packages, cwd=here, stdout=after),
            probe("diff", before, after),
            export(NGPU="8", **({"OUTPUT_DIR": upload} if job[RUNNER_TEMP] else {})),
            command("scripts/ci/pytorch_ci_test_runner.sh", kind, cwd=here),
        )
    ]


def executorch(job: Job, checkout: Checkout) -> list[Draft]:
    """ExecuTorch's unit tests, and one model run with its own script."""
    here = "/executorch"
    llvm = {"LLVM_PROFDATA": "llvm-profdata-12", "LLVM_COV": "llvm-cov-12"}
    model = ("mv3", "cmake", "xnnpack-quantization-delegation", "")
    setup = ("$ROOT/.ci/docker/common/install_executorch.sh", "setup_executorch")
    return [
        replaces(
            "test_executorch",
            install_torchvision(job),
            install_pinned_commit("audio", "audio", "audio"),
            command(*setup, cwd=here),
            command("pytest", "-v", "-n", "auto", cwd=here),
            command("bash", "test/run_oss_cpp_tests.sh", cwd=here, env=llvm),
            source(".ci/scripts/test_model.sh", *model, cwd=here),
            assert_clean(job, checkout),
        )
    ]


def xla(job: Job, checkout: Checkout) -> list[Draft]:
    """PyTorch/XLA at the pinned commit, built against this PyTorch with its own functions."""
    missing = q.XLA_IS_NOT_CLONED
    here = "$ROOT/xla"
    copy = (
        "import os, torch, shutil; shutil.copytree("
        "os.path.join(os.path.dirname(torch.__file__), 'include'), "
        "'workspace/torch/include', dirs_exist_ok=True)"
    )
    prefix = {"CMAKE_PREFIX_PATH": "$SITE/torch:"}

    def function(*argv: str, **env: str) -> Step:
        is_test = argv[0] == "run_torch_xla_tests"
        return shell_function(*argv, sources=_XLA_FILES, env=env, is_test=is_test)

    build = [
        Step(kind=Kind.PREFLIGHT, command=Program(("python", "-c", copy)), cwd="$ROOT/.."),
        git("clone", "--recursive", "--quiet", "https://github.com/pytorch/xla.git", when=missing),
        git("checkout", "${pin:xla}", cwd=here, when=missing),
        git("submodule", "sync", cwd=here, when=missing),
        git("submodule", "update", "--init", "--recursive", cwd=here, when=missing),
        file_step("rm", "-f", "xla/torch_patches/.torch_pin"),
        function("apply_patches"),
        function("install_pre_deps_pytorch_xla", "xla", "1"),
        function("build_torch_xla", "xla", XLA_SANDBOX_BUILD="1", **prefix),
    ]
    conda = export(LD_LIBRARY_PATH="/opt/conda/lib/:${before:LD_LIBRARY_PATH}")
    run = function("run_torch_xla_tests", "$ROOT", here, XLA_SKIP_MP_OP_TESTS="1", **prefix)
    vision = install_torchvision(job)
    return [replaces("test_xla", vision, build, conda, run, assert_clean(job, checkout))]


def backwards_compatibility(job: Job, checkout: Checkout) -> list[Draft]:
    """Old and new builds load each other's models; the public API test detects broken APIs.

    The checkout is reset to the base commit and back, so the first step rejects a dirty tree.
    """
    return [
        replaces(
            "test_forward_backward_compatibility",
            _reject_dirty_tree(),
            _public_api_checks(),
            _old_and_new_models(job),
            assert_clean(job, checkout),
        )
    ]


def _reject_dirty_tree() -> Step:
    argv = ("git", "status", "--porcelain", "--untracked-files=no")
    return probe(*argv, expect=Expect.NO_OUTPUT)


_BAD_FUNCTION = (
    "def new_public_func():\\n  pass\\n\\n"
    "# valid public API functions have __module__ set correctly\\n"
    "new_public_func.__module__ = None\\n"
)


def _public_api_checks() -> list[Step]:
    """Break the public API in three ways, each of which the test must detect and name."""

    def must_fail(test: str, name: str) -> Step:
        argv = ("python", "test/test_public_bindings.py", "-k", test)
        return command(*argv, policy=Policy(expect=Expect.FAILURE, required_output=name))

    new, old = "$SITE/torch/${random}.py", "$SITE/torch/cuda/streams.py"
    names, imports = "test_correct_module_names", "test_modules_can_be_imported"
    package = "$SITE/torch/${random}"
    return [
        bash(f"printf '{_BAD_FUNCTION}' > \"$1\"", new),
        must_fail(names, "torch.${random}.new_public_func"),
        file_step("rm", "-v", new, always=True),
        file_step("cp", "-v", old, f"{old}.orig"),
        bash(f"printf '{_BAD_FUNCTION}' >> \"$1\"", old),
        must_fail(names, "torch.cuda.streams.new_public_func"),
        file_step("mv", "-v", f"{old}.orig", old, always=True),
        bash('mkdir "$1" && echo "invalid syntax garbage" > "$1/__init__.py"', package),
        must_fail(imports, "torch.${random}"),
        file_step("rm", "-rv", package, always=True),
    ]


def _old_and_new_models(job: Job) -> list[Item]:
    here = "$ROOT/test/forward_backward_compatibility"
    trunk = job[BASE_SHA] == job[SHA1]
    base = q.PREVIOUS_COMMIT.answer if trunk else q.MERGE_BASE.answer
    venv = export(PATH="$ROOT/venv/bin:${before:PATH}")

    def reset(commit: str, cwd: str = ".") -> list[Step]:
        return [
            git("reset", "--hard", commit, cwd=cwd),
            git("submodule", "sync", cwd=cwd),
            git("submodule", "update", "--init", "--recursive", cwd=cwd),
        ]

    wheel = ("python", "-m", "build", "--wheel", "--no-isolation", "--outdir", "base_dist")
    return [
        export(SHA_TO_COMPARE=base),
        command("python", "test/create_dummy_torchscript_model.py", "/tmp/model_new.pt"),  # noqa: S108
        install("python", "-m", "venv", "venv"),
        venv,
        *reset(base),
        install("pip3", "install", "-r", "requirements.txt"),
        source("$SCRIPTS/common-build.sh", exports=True),
        install(*wheel),
        install("python", "-mpip", "install", f"base_dist/{ANY}.whl"),
        install("pip", "show", "torch", cwd=here),
        command("python", "dump_all_function_schemas.py", "--filename", _SCHEMAS, cwd=here),
        *reset(q.HEAD_COMMIT.answer, here),
        command("python", "../load_torchscript_model.py", "/tmp/model_new.pt", cwd=here),  # noqa: S108
        command("python", "../create_dummy_torchscript_model.py", "/tmp/model_old.pt", cwd=here),  # noqa: S108
        export(PATH="$HOME/.local/bin:$PATH"),
        file_step("rm", "-r", "$ROOT/venv", "$ROOT/base_dist", cwd=here),
        install("pip", "show", "torch", cwd=here),
        command(
            *("python", "check_forward_backward_compatibility.py"),
            *("--existing-schemas", _SCHEMAS),
            cwd=here,
        ),
        command("python", "../load_torchscript_model.py", "/tmp/model_old.pt", cwd=here),  # noqa: S108
    ]


_SCHEMAS = "nightly_schemas.txt"


def stable_abi(job: Job, checkout: Checkout) -> list[Draft]:
    """An extension built with one PyTorch version for a target version, run on another.

    It must work if its target is no newer than both versions. If the target is newer, the build
    or the import must fail.
    """
    function = "test_libtorch_agnostic_targetting"
    runtime, build = "venv_matrix_runtime_2_9_0", "venv_matrix_build_2_9_0"
    ambient = "print('Ambient torch', torch.__version__, 'from', torch.__file__)"
    is_old = "import torch; assert torch.__version__.startswith('2.9.'), torch.__version__"
    frozen = (
        "\nimport torch\nimport libtorch_agn_frozen\nt = torch.tensor([-1.0, 2.0])\n"
        "assert torch.equal(libtorch_agn_frozen.ops.identity(t), t)\n"
        "assert torch.equal(libtorch_agn_frozen.ops.my_abs(t), t.abs())\n"
    )
    outside = "/tmp"  # noqa: S108 - in the checkout, its own ./torch would be imported
    too_new = command(
        *("python", "-c", "\nimport libtorch_agn_2_14\n"),
        cwd=outside,
        policy=Policy(expect=Expect.FAILURE, required_output="undefined symbol"),
    )
    return [
        replaces(
            function,
            command("python", "-c", f"import torch, setuptools; {ambient}"),
            *(_REMOVE_WHEELS, *_extension("2_9"), *_activate_release(job, runtime), _wheel("2_9")),
            command("python", "test/cpp_extensions/test_libtorch_agnostic.py", "-v"),
            *(_remove_release(runtime), _CLEAN_UP_WHEELS),
            name="test_target_2_9_on_2_9",
        ),
        replaces(
            function,
            *(_REMOVE_WHEELS, *_activate_release(job, build), *_extension("frozen", target="2.9")),
            *(_remove_release(build), _wheel("frozen")),
            command("python", "-c", frozen, cwd=outside),
            install(
                *("pip", "uninstall", "-y", "libtorch_agn_frozen"),
                policy=Policy(expect=Expect.ANYTHING, always=True),
            ),
            _CLEAN_UP_WHEELS,
            name="test_target_2_9_on_branch",
        ),
        replaces(
            function,
            *(
                _REMOVE_WHEELS,
                *_extension("2_14"),
                *_activate_release(job, runtime),
                _wheel("2_14"),
            ),
            command("python", "-c", is_old, cwd=outside),
            too_new,
            file_step("rm", "-f", "/tmp/case3_stderr.log"),  # noqa: S108 - as in test.sh
            *(_remove_release(runtime), _CLEAN_UP_WHEELS),
            name="test_target_2_14_on_2_9_fails",
        ),
        replaces(
            function,
            *(_REMOVE_WHEELS, *_activate_release(job, build), *_extension("frozen", fails=True)),
            *(_remove_release(build), _CLEAN_UP_WHEELS),
            assert_clean(job, checkout),
            name="test_target_2_14_built_by_2_9_fails",
        ),
    ]


_EXTENSIONS = "$ROOT/test/cpp_extensions"
_WHEELS = f"{_EXTENSIONS}/.wheels"
_REMOVE_WHEELS = file_step("rm", "-rf", _WHEELS)
_CLEAN_UP_WHEELS = file_step("rm", "-rf", _WHEELS, always=True)


def _extension(key: str, *, target: str = "", fails: bool = False) -> list[Step]:
    """Build one variant of the extension into the wheel folder, or check that the build fails."""
    here = f"{_EXTENSIONS}/libtorch_agn_{key}_extension"
    target = "2.14" if fails else target
    build = install(
        *("python", "setup.py", "bdist_wheel"),
        cwd=here,
        env={"TORCH_TARGET_VERSION": target} if target else {},
        policy=Policy(expect=Expect.FAILURE if fails else Expect.SUCCESS),
    )
    clean = file_step("rm", "-rf", "build", "dist", cwd=here)
    keep = [
        file_step("mkdir", "-p", _WHEELS),
        file_step("cp", f"dist/{ANY}.whl", f"{_WHEELS}/", cwd=here),
    ]
    return [clean, build, *([] if fails else keep), clean]


def _wheel(key: str) -> Step:
    return install("pip", "install", f"{_WHEELS}/libtorch_agn_{key}{ANY}.whl")


def _activate_release(job: Job, folder: str) -> list[Item]:
    """Create and activate a virtual environment with torch 2.9.0 for the build's device."""
    found = job.build.versions.get(CUDA.name)
    channel = f"cu{found.major}{found.minor}" if CUDA.is_in(job.build) and found else "cpu"
    index = f"https://download.pytorch.org/whl/{channel}/"
    return [
        install("python", "-m", "venv", folder),
        export(PATH=f"$ROOT/{folder}/bin:${{before:PATH}}", PYTHONPATH=None),
        install("pip", "install", "--upgrade", "pip"),
        install("pip", "install", "torch==2.9.0", "--index-url", index),
        install("pip", "install", "expecttest", "numpy", "unittest-xml-reporting"),
    ]


def _remove_release(folder: str) -> list[Item]:
    deactivate = export(PATH="$HOME/.local/bin:$PATH")
    return [deactivate, file_step("rm", "-rf", folder, always=True)]
