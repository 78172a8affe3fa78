"""Steps that several suites share: run_test.py, benchmarks, installs, links, clean-tree checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.devices import CUDA, ROCM
from ci_sessions.checkout.features import Feature
from ci_sessions.job.variables import GITHUB_ACTIONS, TESTS_TO_EXCLUDE, TESTS_TO_INCLUDE
from ci_sessions.plan import builders
from ci_sessions.plan.builders import command, export, file_step, install
from ci_sessions.plan.placeholders import ANY
from ci_sessions.plan.plan import Export, Item
from ci_sessions.plan.step import NO_VARIABLES, Expect, Kind, Policy, Program, Step, Variables

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job
    from ci_sessions.plan.facts import Condition

__all__ = [
    "BUILD_BIN",
    "REPORTS",
    "SHELL_FILES",
    "TORCH",
    "TORCH_BIN",
    "TORCH_LIB",
    "assert_clean",
    "benchmark",
    "cpu_affinity",
    "exclude_args",
    "include_args",
    "install_audio_and_vision",
    "install_pinned_commit",
    "install_torchdynamo",
    "install_torchvision",
    "install_wheels",
    "link",
    "make_folder",
    "pip_install",
    "pip_uninstall",
    "rnn_benchmarks",
    "run_test",
    "shard_args",
    "shell_function",
    "upload_args",
]

TORCH = "$SITE/torch"
TORCH_BIN = f"{TORCH}/bin"
TORCH_LIB = f"{TORCH}/lib"
BUILD_BIN = "build/bin"
REPORTS = "$ROOT/test/test-reports"
SHELL_FILES = ("$SCRIPTS/common_utils.sh", "$SCRIPTS/torch_trace.sh")
_BACKOFF = (10.0, 20.0, 40.0)  # seconds; common_utils.sh: retry


def run_test(*args: str, env: Variables = NO_VARIABLES, when: Condition | None = None) -> Step:
    """Run ``python test/run_test.py …``."""
    return command("python", "test/run_test.py", *args, env=env, when=when)


def benchmark(name: str, *args: str, env: Variables = NO_VARIABLES) -> Step:
    """Run ``python benchmarks/dynamo/NAME.py …``."""
    return command("python", f"benchmarks/dynamo/{name}.py", *args, env=env)


def shard_args(job: Job) -> tuple[str, ...]:
    """Return run_test.py's arguments for the job's shard."""
    return ("--shard", str(job.shard.number), str(job.shard.total))


def include_args(job: Job) -> tuple[str, ...]:
    """Return run_test.py's arguments for TESTS_TO_INCLUDE; none if it is unset."""
    return ("--include", *job[TESTS_TO_INCLUDE]) if job[TESTS_TO_INCLUDE] else ()


def exclude_args(job: Job) -> tuple[str, ...]:
    """Return run_test.py's arguments for TESTS_TO_EXCLUDE; none if it is unset."""
    return ("--exclude", *job[TESTS_TO_EXCLUDE]) if job[TESTS_TO_EXCLUDE] else ()


def upload_args(checkout: Checkout) -> tuple[str, ...]:
    """Return the option that makes run_test.py upload artifacts as it runs, if it has one."""
    is_supported = checkout.has(Feature.UPLOADS_WHILE_RUNNING)
    return ("--upload-artifacts-while-running",) if is_supported else ()


def pip_install(*args: str, cwd: str = ".") -> Step:
    """Install with pip, in up to three attempts, like pip_install in common_utils.sh."""
    argv = ("python3", "-m", "pip", "install", "--progress-bar", "off", *args)
    return install(*argv, cwd=cwd, policy=Policy(retry_waits=(0.0, 0.0)))


def pip_uninstall(*args: str) -> Step:
    """Uninstall with pip, in up to two attempts, like pip_uninstall in common_utils.sh."""
    return install("pip3", "uninstall", "-y", *args, policy=Policy(retry_waits=(0.0,)))


def install_pinned_commit(name: str, repository: str, pin: str) -> list[Step]:
    """Install a pinned commit, building its wheel first unless ``dist/NAME`` already has one."""
    target = f"git+https://github.com/pytorch/{repository}.git@${{pin:{pin}}}"
    pip = ("python3", "-m", "pip", "wheel", "--no-build-isolation", "--no-deps")
    build = install(
        *(*pip, "-w", f"dist/{name}", target),
        when=q.has_no_wheel(name),
        policy=Policy(retry_waits=_BACKOFF),
    )
    return [build, install_wheels(f"dist/{name}")]


def install_torchdynamo(checkout: Checkout) -> list[Step]:
    """Install torchdynamo, which was a package of its own before PyTorch 2."""
    if not checkout.has(Feature.TORCHDYNAMO):
        return []
    target = "git+https://github.com/pytorch/torchdynamo.git@${pin:torchdynamo}"
    argv = ("pip", "install", "--progress-bar", "off", "--user", target)
    return [install(*argv, policy=Policy(retry_waits=(0.0, 0.0)))]


def install_wheels(folder: str) -> Step:
    """Install the wheels in a folder without using a package index."""
    argv = ("python3", "-mpip", "install", "--no-index", "--no-deps", f"{folder}/{ANY}.whl")
    return install(*argv)


def install_torchvision(job: Job) -> list[Item]:
    """Install torchvision. On CUDA, the two variables that its build needs remain exported."""
    cuda = [export(FORCE_CUDA="1", WITH_CUDA="1")] if CUDA.is_in(job.build) else []
    return [*cuda, *install_pinned_commit("vision", "vision", "vision")]


def install_audio_and_vision(job: Job) -> list[Item]:
    """Install torchaudio and torchvision."""
    return [*install_pinned_commit("audio", "audio", "audio"), *install_torchvision(job)]


def shell_function(  # noqa: PLR0913 - every aspect of a call is optional
    *argv: str,
    cwd: str = ".",
    sources: tuple[str, ...] = SHELL_FILES,
    when: Condition | None = None,
    stdout: str | None = None,
    env: Variables = NO_VARIABLES,
    is_test: bool = False,
) -> Step:
    """Call a function from the checkout's shell files. Later steps see what it exports."""
    return builders.shell_function(
        *argv, sources=sources, cwd=cwd, when=when, stdout=stdout, env=env, is_test=is_test
    )


def link(folder: str, *patterns: str, sudo: tuple[str, ...] = ()) -> list[Step]:
    """Link torch's libraries into a folder so that binaries without an RPATH find them.

    ``patterns`` may contain the wildcard ``*``; one that matches no library is skipped.
    """
    steps = []
    for pattern in patterns:
        library = f"{TORCH_LIB}/{pattern.replace('*', ANY)}"
        step = file_step(*sudo, "ln", "-sf", library, folder)
        steps.append(step.with_policy(skips_without_match="*" in pattern))
    return steps


def make_folder(path: str = REPORTS) -> Step:
    """Run ``mkdir -p``, by default for the folder from which CI uploads reports."""
    return file_step("mkdir", "-p", path)


def assert_clean(job: Job, checkout: Checkout) -> list[Step]:
    """Check that the tests left the checkout clean, like assert_git_not_dirty in common_utils.sh.

    ROCm and XLA builds modify the tree themselves. The sample checkout is part of another
    repository, so only its own folder is checked.
    """
    if ROCM.is_in(job.build) or job.build.has("xla"):
        return []
    here = ("--", ".") if checkout.is_sample else ()
    program = Program(("git", "status", "--porcelain", *here))
    return [Step(kind=Kind.PROBE, command=program, policy=Policy(expect=Expect.CLEAN_CHECKOUT))]


def cpu_affinity(checkout: Checkout) -> Export:
    """Pin threads to the job's CPUs, with jemalloc and Intel's OpenMP.

    Mirrors test_inductor_set_cpu_affinity in test.sh. Intel's library exists for x86 only.
    """
    preload = f"{q.JEMALLOC.answer}:${{before:LD_PRELOAD}}"
    intel: dict[str, str | None] = {}
    if checkout.is_x86:
        preload = f"$SHIMS/../lib/libiomp5.so:{preload}"
        intel = {"KMP_AFFINITY": "granularity=fine,compact,1,0", "KMP_BLOCKTIME": "1"}
    shared = export(
        LD_PRELOAD=preload,
        MALLOC_CONF="oversize_threshold:1,background_thread:true,metadata_thp:auto,"
        "dirty_decay_ms:-1,muzzy_decay_ms:-1",
        OMP_NUM_THREADS=q.CORES.answer,
        TASKSET=f"taskset -c {q.CPU_RANGE.answer}",
    )
    return Export({**shared.values, **intel})


def rnn_benchmarks(job: Job, checkout: Checkout) -> list[Step]:
    """Benchmark recurrent networks with each fuser and executor: test_benchmarks in test.sh."""
    folder = "benchmarks/.data"
    runs = (
        ("fastrnns_default", "default", "default"),
        ("fastrnns_legacy_old", "old", "legacy"),
        ("fastrnns_profiling_te", "te", "profiling"),
    )
    pytest = ("pytest", "benchmarks/fastrnns/test_bench.py", "--benchmark-sort=Name")
    steps = [pip_install("pytest-benchmark==3.2.3"), pip_install("requests"), make_folder(folder)]
    for name, fuser, executor in runs:
        mode = (f"--fuser={fuser}", f"--executor={executor}")
        steps.append(command(*pytest, f"--benchmark-json={folder}/{name}.json", *mode))
    if not job[GITHUB_ACTIONS]:
        scribe = ("python", "benchmarks/upload_scribe.py", "--pytest_bench_json")
        steps += [command(*scribe, f"{folder}/{name}.json") for name, *_ in runs]
    return [*steps, *assert_clean(job, checkout)]
