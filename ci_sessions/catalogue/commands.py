"""The shapes of command that test.sh repeats, and what surrounds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.catalogue import questions as q
from ci_sessions.catalogue.devices import CUDA, ROCM
from ci_sessions.checkout.features import Feature
from ci_sessions.job.variables import GITHUB_ACTIONS, TESTS_TO_EXCLUDE, TESTS_TO_INCLUDE
from ci_sessions.plan import builders
from ci_sessions.plan.builders import command, export, file_step, install
from ci_sessions.plan.plan import Export, Item
from ci_sessions.plan.step import NOTHING, Expect, Kind, Policy, Program, Step, Variables

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
    "exclude_words",
    "include_words",
    "install_audio_and_vision",
    "install_commit_pinned",
    "install_torchvision",
    "install_wheels",
    "link",
    "make_folder",
    "pip_install",
    "pip_uninstall",
    "rnn_benchmarks",
    "run_test",
    "shard_words",
    "shell_function",
    "upload",
]

TORCH = "$SITE/torch"
TORCH_BIN = f"{TORCH}/bin"
TORCH_LIB = f"{TORCH}/lib"
BUILD_BIN = "build/bin"
REPORTS = "$ROOT/test/test-reports"
SHELL_FILES = ("$SCRIPTS/common_utils.sh", "$SCRIPTS/torch_trace.sh")
_BACKOFF = (10.0, 20.0, 40.0)  # seconds; common_utils.sh: retry


def run_test(*words: str, env: Variables = NOTHING, when: Condition | None = None) -> Step:
    """``python test/run_test.py …``."""
    return command("python", "test/run_test.py", *words, env=env, when=when)


def benchmark(name: str, *words: str, env: Variables = NOTHING) -> Step:
    """``python benchmarks/dynamo/NAME.py …``."""
    return command("python", f"benchmarks/dynamo/{name}.py", *words, env=env)


def shard_words(job: Job) -> tuple[str, ...]:
    """The job's shard as run_test.py takes it."""
    return ("--shard", str(job.shard.number), str(job.shard.total))


def include_words(job: Job) -> tuple[str, ...]:
    """TESTS_TO_INCLUDE as run_test.py takes it, or nothing."""
    return ("--include", *job[TESTS_TO_INCLUDE]) if job[TESTS_TO_INCLUDE] else ()


def exclude_words(job: Job) -> tuple[str, ...]:
    """TESTS_TO_EXCLUDE as run_test.py takes it, or nothing."""
    return ("--exclude", *job[TESTS_TO_EXCLUDE]) if job[TESTS_TO_EXCLUDE] else ()


def upload(checkout: Checkout) -> tuple[str, ...]:
    """The option by which run_test.py uploads what tests leave while it runs."""
    known = checkout.has(Feature.UPLOADS_WHILE_RUNNING)
    return ("--upload-artifacts-while-running",) if known else ()


def pip_install(*words: str, cwd: str = ".") -> Step:
    """Do as common_utils.sh's pip_install: three tries."""
    argv = ("python3", "-m", "pip", "install", "--progress-bar", "off", *words)
    return install(*argv, cwd=cwd, policy=Policy(retry_waits=(0.0, 0.0)))


def pip_uninstall(*words: str) -> Step:
    """Do as common_utils.sh's pip_uninstall: two tries."""
    return install("pip3", "uninstall", "-y", *words, policy=Policy(retry_waits=(0.0,)))


def install_commit_pinned(name: str, repository: str, pin: str) -> list[Step]:
    """Build a wheel of a pinned commit, unless ``dist/NAME`` has one, and install it."""
    target = f"git+https://github.com/pytorch/{repository}.git@${{pin:{pin}}}"
    pip = ("python3", "-m", "pip", "wheel", "--no-build-isolation", "--no-deps")
    build = install(
        *(*pip, "-w", f"dist/{name}", target),
        when=q.has_no_wheel(name),
        policy=Policy(retry_waits=_BACKOFF),
    )
    return [build, install_wheels(f"dist/{name}")]


def install_wheels(folder: str) -> Step:
    """Install the wheels of a folder, without asking any index."""
    argv = ("python3", "-mpip", "install", "--no-index", "--no-deps", f"{folder}/*.whl")
    return install(*argv, expands=True)


def install_torchvision(job: Job) -> list[Item]:
    """Install torchvision; on CUDA the two variables that its build needs stay exported."""
    cuda = [export(FORCE_CUDA="1", WITH_CUDA="1")] if CUDA.is_in(job.build) else []
    return [*cuda, *install_commit_pinned("vision", "vision", "vision")]


def install_audio_and_vision(job: Job) -> list[Item]:
    """Install torchaudio and torchvision."""
    return [*install_commit_pinned("audio", "audio", "audio"), *install_torchvision(job)]


def shell_function(  # noqa: PLR0913 - a call has this many sides
    *argv: str,
    cwd: str = ".",
    sources: tuple[str, ...] = SHELL_FILES,
    when: Condition | None = None,
    stdout: str | None = None,
    env: Variables = NOTHING,
    is_test: bool = False,
) -> Step:
    """Call a function that the checkout's own shell files define; what it exports stays."""
    return builders.shell_function(
        *argv, sources=sources, cwd=cwd, when=when, stdout=stdout, env=env, is_test=is_test
    )


def link(folder: str, *patterns: str, sudo: tuple[str, ...] = ()) -> list[Step]:
    """Link torch's libraries into a folder, so that binaries without an RPATH find them."""
    return [file_step(*sudo, "ln", "-sf", f"{TORCH_LIB}/{pattern}", folder) for pattern in patterns]


def make_folder(path: str = REPORTS) -> Step:
    """``mkdir -p``, by default of the folder that CI uploads reports from."""
    return file_step("mkdir", "-p", path)


def assert_clean(job: Job, checkout: Checkout) -> list[Step]:
    """Check that the tests left the checkout clean: common_utils.sh's assert_git_not_dirty.

    ROCm and XLA builds change the tree themselves. The sample checkout lies inside another
    repository, so only its own folder is looked at.
    """
    if ROCM.is_in(job.build) or job.build.has("xla"):
        return []
    here = ("--", ".") if checkout.is_sample else ()
    program = Program(("git", "status", "--porcelain", *here))
    return [Step(kind=Kind.PROBE, command=program, policy=Policy(expect=Expect.CLEAN_CHECKOUT))]


def cpu_affinity(checkout: Checkout) -> Export:
    """Pin threads to the CPUs that the job was given, with jemalloc and Intel's OpenMP.

    test.sh: test_inductor_set_cpu_affinity. Intel's library exists for x86 only.
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
    """Recurrent networks under each fuser and executor: test.sh's test_benchmarks."""
    folder = "benchmarks/.data"
    runs = (
        ("fastrnns_default", "default", "default"),
        ("fastrnns_legacy_old", "old", "legacy"),
        ("fastrnns_profiling_te", "te", "profiling"),
    )
    pytest = ("pytest", "benchmarks/fastrnns/test_bench.py", "--benchmark-sort=Name")
    steps = [pip_install("pytest-benchmark==3.2.3"), pip_install("requests"), make_folder(folder)]
    for name, fuser, executor in runs:
        how = (f"--fuser={fuser}", f"--executor={executor}")
        steps.append(command(*pytest, f"--benchmark-json={folder}/{name}.json", *how))
    if not job[GITHUB_ACTIONS]:
        scribe = ("python", "benchmarks/upload_scribe.py", "--pytest_bench_json")
        steps += [command(*scribe, f"{folder}/{name}.json") for name, *_ in runs]
    return [*steps, *assert_clean(job, checkout)]
