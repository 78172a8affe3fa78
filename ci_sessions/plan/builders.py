"""Builders that the suites share: the shapes of command that test.sh repeats."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.plan.plan import Expect, Export, Item, Kind, Step, Test, Variables

if TYPE_CHECKING:
    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.job.job import Job

__all__ = [
    "BUILD_BIN",
    "REPORTS",
    "SHELL_FILES",
    "TORCH",
    "TORCH_BIN",
    "TORCH_LIB",
    "UPLOAD",
    "added",
    "assert_clean",
    "bash",
    "benchmark",
    "command",
    "copy_tree",
    "cpu_affinity",
    "export",
    "file_step",
    "git",
    "install",
    "install_commit_pinned",
    "install_torchvision",
    "link",
    "make_folder",
    "pip_install",
    "pip_uninstall",
    "replaces",
    "rnn_benchmarks",
    "run_test",
    "shell_function",
    "source",
]

NOTHING: Variables = MappingProxyType({})
TORCH = "$SITE/torch"
TORCH_BIN = f"{TORCH}/bin"
TORCH_LIB = f"{TORCH}/lib"
BUILD_BIN = "build/bin"
REPORTS = "$ROOT/test/test-reports"
UPLOAD = "--upload-artifacts-while-running"

SHELL_FILES = (".ci/pytorch/common_utils.sh", ".ci/pytorch/torch_trace.sh")
_BACKOFF = (10.0, 20.0, 40.0)  # common_utils.sh: retry


def run_test(*words: str, env: Variables = NOTHING) -> Step:
    """``python test/run_test.py …``."""
    return command("python", "test/run_test.py", *words, env=env)


def command(*argv: str, cwd: str = ".", holds: bool = False, env: Variables = NOTHING) -> Step:
    """Any other command that tests."""
    return Step(kind=Kind.TEST, argv=argv, cwd=cwd, env=env, holds=holds)


def benchmark(name: str, *words: str, env: Variables = NOTHING) -> Step:
    """``python benchmarks/dynamo/NAME.py …``."""
    return command("python", f"benchmarks/dynamo/{name}.py", *words, env=env)


def install(*argv: str, cwd: str = ".", when: str | None = None, expands: bool = False) -> Step:
    """A command that changes what is installed, built or checked out."""
    return Step(kind=Kind.INSTALL, argv=argv, cwd=cwd, when=when, expands=expands)


def git(*words: str, cwd: str = ".", when: str | None = None) -> Step:
    """``git …`` where it changes the tree."""
    return install("git", *words, cwd=cwd, when=when)


def pip_install(*words: str, cwd: str = ".") -> Step:
    """Do as common_utils.sh's pip_install: three tries."""
    argv = ("python3", "-m", "pip", "install", "--progress-bar", "off", *words)
    return Step(kind=Kind.INSTALL, argv=argv, cwd=cwd, retry=(0.0, 0.0))


def pip_uninstall(*words: str) -> Step:
    """Do as common_utils.sh's pip_uninstall: two tries."""
    return Step(kind=Kind.INSTALL, argv=("pip3", "uninstall", "-y", *words), retry=(0.0,))


def install_commit_pinned(name: str, repository: str, pin: str) -> list[Step]:
    """Build a wheel of a pinned commit, unless ``dist/NAME`` has one, and install it."""
    target = f"git+https://github.com/pytorch/{repository}.git@PIN-{pin}"
    pip = ("python3", "-m", "pip", "wheel", "--no-build-isolation", "--no-deps")
    return [
        Step(
            kind=Kind.INSTALL,
            argv=(*pip, "-w", f"dist/{name}", target),
            when=f"{name} has no wheel",
            retry=_BACKOFF,
        ),
        install_wheels(f"dist/{name}"),
    ]


def install_wheels(folder: str) -> Step:
    """Install the wheels of a folder, without asking any index."""
    argv = ("python3", "-mpip", "install", "--no-index", "--no-deps", f"{folder}/*.whl")
    return Step(kind=Kind.INSTALL, argv=argv, expands=True)


def install_torchvision(job: Job) -> list[Item]:
    """Install torchvision; on CUDA the two variables that its build needs stay exported."""
    cuda = [export(FORCE_CUDA="1", WITH_CUDA="1")] if job.build.is_cuda else []
    return [*cuda, *install_commit_pinned("vision", "vision", "vision")]


def shell_function(
    *argv: str,
    cwd: str = ".",
    sources: tuple[str, ...] = SHELL_FILES,
    when: str | None = None,
    writes: str | None = None,
    env: Variables = NOTHING,
) -> Step:
    """Call a function that the checkout's own shell files define; what it exports stays.

    ``writes``: the file that takes its standard output.
    """
    return Step(
        kind=Kind.HELPER,
        argv=argv,
        cwd=cwd,
        sources=sources if cwd == "." else tuple(f"$ROOT/{file}" for file in sources),
        when=when,
        writes=writes,
        keeps_env=True,
        env=env,
    )


def source(
    *words: str,
    cwd: str = ".",
    when: str | None = None,
    keeps_env: bool = False,
    env: Variables = NOTHING,
) -> Step:
    """Read a shell file, as ``source`` does."""
    argv = ("source", *words)
    return Step(kind=Kind.SOURCE, argv=argv, cwd=cwd, when=when, keeps_env=keeps_env, env=env)


def file_step(*argv: str, cwd: str = ".", always: bool = False, when: str | None = None) -> Step:
    """Change files: cp, mv, rm, ln. Wildcards are expanded as a shell would."""
    return Step(kind=Kind.FILE, argv=argv, cwd=cwd, always=always, when=when, expands=True)


def link(folder: str, *patterns: str, sudo: tuple[str, ...] = ()) -> list[Step]:
    """Link torch's libraries into a folder, so that binaries without an RPATH find them."""
    return [file_step(*sudo, "ln", "-sf", f"{TORCH_LIB}/{pattern}", folder) for pattern in patterns]


def copy_tree(origin: str, to: str, *, cwd: str) -> Step:
    """``cp -a``."""
    return file_step("cp", "-a", origin, to, cwd=cwd)


def make_folder(path: str = REPORTS) -> Step:
    """``mkdir -p``, by default of the folder that CI uploads reports from."""
    return file_step("mkdir", "-p", path)


def bash(script: str, *, kind: Kind = Kind.FILE, always: bool = False) -> Step:
    """Run a line of shell, for the few effects that no single command has."""
    return Step(kind=kind, argv=("bash", "-c", script), always=always)


def assert_clean(job: Job, checkout: Checkout) -> list[Step]:
    """Check that the tests left the checkout clean: common_utils.sh's assert_git_not_dirty.

    ROCm and XLA builds change the tree themselves. The sample checkout lies inside another
    repository, so only its own folder is looked at.
    """
    if job.build.is_rocm or job.build.has("xla"):
        return []
    here = ("--", ".") if checkout.is_sample else ()
    argv = ("git", "status", "--porcelain", *here)
    return [Step(kind=Kind.PROBE, argv=argv, expect=Expect.CLEAN_CHECKOUT)]


def export(**values: str | None) -> Export:
    """From here on in the job, these variables are set."""
    return Export(values)


def cpu_affinity(checkout: Checkout) -> Export:
    """Pin threads to the CPUs that the job was given, with jemalloc and Intel's OpenMP.

    test.sh: test_inductor_set_cpu_affinity. Intel's library exists for x86 only.
    """
    values = {
        "LD_PRELOAD": "${ask:jemalloc}:{LD_PRELOAD}",
        "MALLOC_CONF": "oversize_threshold:1,background_thread:true,metadata_thp:auto,"
        "dirty_decay_ms:-1,muzzy_decay_ms:-1",
        "OMP_NUM_THREADS": "${ask:cores}",
        "TASKSET": "taskset -c ${ask:cpu_range}",
    }
    if checkout.is_x86:
        values["LD_PRELOAD"] = "$SHIMS/../lib/libiomp5.so:" + values["LD_PRELOAD"]
        values["KMP_AFFINITY"] = "granularity=fine,compact,1,0"
        values["KMP_BLOCKTIME"] = "1"
    return Export(values)


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
    if not job.on_github:
        scribe = ("python", "benchmarks/upload_scribe.py", "--pytest_bench_json")
        steps += [command(*scribe, f"{folder}/{name}.json") for name, *_ in runs]
    return [*steps, *assert_clean(job, checkout)]


def replaces(functions: str, *items: Item | list[Item] | list[Step], name: str = "") -> Test:
    """A test that stands for functions of test.sh (space-separated); named after the first."""
    names = tuple(functions.split())
    return Test(name=name or names[0], items=_flat(items), replaces=names)


def added(name: str, *items: Item | list[Item] | list[Step], skipped: str | None = None) -> Test:
    """A test that test.sh does not have."""
    return Test(name=name, items=_flat(items), skipped=skipped)


def _flat(items: tuple[Item | list[Item] | list[Step], ...]) -> tuple[Item, ...]:
    flat: list[Item] = []
    for item in items:
        if isinstance(item, list):
            flat.extend(item)
        else:
            flat.append(item)
    return tuple(flat)
