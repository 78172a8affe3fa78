"""Which job runs what: the ordered table that stands for test.sh's if/elif chain.

The first row whose condition holds decides. ``has`` is a substring, ``is`` the whole name; the
order is the script's, since half of its conditions overlap. A row's parts run one after another;
each is a function from the job and the checkout to tests.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

from ci_sessions.catalogue.exports import cleanup_steps, job_flags, setup_steps
from ci_sessions.catalogue.suites import (
    benchmarks,
    distributed,
    docs,
    downstream,
    dynamo,
    inductor,
    jit,
    operators,
    python,
    smoke,
)
from ci_sessions.checkout.checkout import SCRIPT_FOLDERS, Checkout
from ci_sessions.errors import InputError, UndividedError, UnknownConfigError
from ci_sessions.job.build_environment import BuildEnvironment
from ci_sessions.job.job import Job
from ci_sessions.plan.builders import command, replaces, rnn_benchmarks
from ci_sessions.plan.plan import Item, Kind, Plan, Step, Test, plan_of

__all__ = [
    "CONFIGURATIONS",
    "DIFFERENCES",
    "TABLE",
    "Condition",
    "Difference",
    "Row",
    "config_fault",
    "find_row",
    "plan_job",
]

Part = Callable[[Job, Checkout], "list[Test]"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A named test of a job. Combine with ``&``, ``|`` and ``~``."""

    text: str
    holds: Callable[[Job], bool]

    def __and__(self, other: Condition) -> Condition:
        return Condition(
            f"{self.text} and {other.text}", lambda job: self.holds(job) and other.holds(job)
        )

    def __or__(self, other: Condition) -> Condition:
        return Condition(
            f"{self.text} or {other.text}", lambda job: self.holds(job) or other.holds(job)
        )

    def __invert__(self) -> Condition:
        return Condition(f"not ({self.text})", lambda job: not self.holds(job))


def config_is(*names: str) -> Condition:
    """TEST_CONFIG is one of these."""
    return Condition(f"config is {' or '.join(names)}", lambda job: job.config in names)


def config_has(text: str) -> Condition:
    """TEST_CONFIG contains this."""
    return Condition(f"config has {text}", lambda job: job.has(text))


def build_has(text: str) -> Condition:
    """BUILD_ENVIRONMENT contains this."""
    return Condition(f"build has {text}", lambda job: job.build.has(text))


def shard_is(number: int) -> Condition:
    """The shard has this number, and is one of several."""
    return Condition(
        f"shard {number} of several",
        lambda job: job.shard.is_split and job.shard.number == number,
    )


shard_above_2 = Condition("shard 3 or above", lambda job: job.shard.number > 2)  # noqa: PLR2004
names_tests = Condition("TESTS_TO_INCLUDE is set", lambda job: bool(job.include))
anything = Condition("anything else", lambda _: True)


def on_first_shard(part: Part) -> Part:
    """Run a part on shard 1 only."""
    return lambda job, checkout: part(job, checkout) if job.is_first_shard else []


def multigpu(job: Job, checkout: Checkout) -> list[Test]:
    """The multi-GPU script, which is not part of test.sh."""
    script = command(f"{checkout.script_folder}/multigpu-test.sh")
    return [replaces("multigpu-test.sh", script, name="test_multigpu")]


def nothing(job: Job, checkout: Checkout) -> list[Test]:
    """What test.sh does for libtorch builds: it says "no-op at the moment" and goes green."""
    return []


def rnn_benchmark(job: Job, checkout: Checkout) -> list[Test]:
    """Recurrent networks; test.sh runs them on CUDA only."""
    if not job.build.is_cuda or job.has("nogpu"):
        return []
    return [replaces("test_benchmarks", rnn_benchmarks(job, checkout))]


@dataclass(frozen=True, slots=True)
class Row:
    """A rule: jobs for which ``matches`` holds run ``parts``.

    ``phase`` is the roll-out phase (``later``: none yet); ``devices`` how many the tests need on a
    build that is made for devices.
    """

    name: str
    matches: Condition
    parts: tuple[Part, ...]
    phase: str = "later"
    devices: int = 1

    @property
    def suite(self) -> str:
        """The families that the parts come from."""
        modules = (part.__module__.rpartition(".")[2] for part in self.parts)
        return ", ".join(dict.fromkeys(name for name in modules if name != "dispatch")) or "other"


def row(name: str, matches: Condition, *parts: Part, phase: str = "later", devices: int = 1) -> Row:
    """Write a row of the table."""
    return Row(name, matches, parts, phase, devices)


# fmt: off
TABLE: tuple[Row, ...] = (
    # This project's own, and the other script's.
    row("python", config_is("python"), python.alone, python.aten, python.vec256, phase="2A"),
    row("multigpu", config_is("multigpu"), multigpu, devices=2),

    # Decided by the configuration, whatever the shard.
    row("pr time", config_has("pr_time_benchmarks"), benchmarks.pr_time),
    row("onnx", config_is("onnx"), downstream.onnx),
    row("numpy 2", config_has("numpy_2"), python.numpy_2),
    row("backwards", config_has("backward"), downstream.backwards_compatibility),
    row("libtorch agnostic", config_has("libtorch_agnostic_targetting"), downstream.stable_abi),
    row("xla", config_has("xla"), downstream.xla),
    row("vllm", config_has("vllm"), downstream.vllm),
    row("torchtitan", config_has("torchtitan"), downstream.torchtitan, devices=8),
    row("executorch", config_has("executorch"), downstream.executorch),
    row("jit legacy", config_is("jit_legacy"), jit.jit_legacy, phase="2B"),
    row("quantization", config_is("quantization"), python.quantization),
    row("libtorch", build_has("libtorch"), nothing),
    row("distributed", config_is("distributed"), distributed.distributed, phase="2C", devices=2),
    row("operators", config_has("operator_benchmark"), operators.operator_benchmark),
    row("operators, micro", config_has("operator_microbenchmark"),
        operators.operator_microbenchmark),
    row("attention", config_has("attention_microbenchmark"), operators.attention),

    # The compiler. inductor_distributed comes before everything that has "inductor" in it.
    row("inductor distributed", config_has("inductor_distributed"),
        inductor.inductor_distributed, phase="2C", devices=2),
    row("halide", config_has("inductor-halide"), inductor.halide),
    row("pallas", config_has("inductor-pallas"), inductor.pallas),
    row("triton cpu", config_has("inductor-triton-cpu"), inductor.triton_cpu),
    row("micro benchmark", config_has("inductor-micro-benchmark"), benchmarks.micro),
    row("better benchmark", config_has("inductor_better_benchmark"), benchmarks.better),
    row("aoti windows", config_has("aoti_cross_compile_for_windows"), inductor.aoti_windows),
    row("huggingface", config_has("huggingface"), benchmarks.huggingface, phase="2B"),
    row("timm", config_has("timm"), benchmarks.timm, phase="2B"),
    row("cachebench", config_is("cachebench"), benchmarks.cachebench),
    row("verify cachebench", config_is("verify_cachebench"), benchmarks.verify_cachebench),
    row("torchbench", config_has("torchbench"), benchmarks.torchbench, phase="2B"),
    row("inductor cpp wrapper", config_has("inductor_cpp_wrapper"),
        inductor.inductor_cpp_wrapper, phase="2C"),
    row("inductor core", config_has("inductor_core"), inductor.inductor_core),
    row("inductor", config_has("inductor"), inductor.inductor_shard),
    row("einops", config_has("einops"), dynamo.einops),
    row("dynamo core", config_has("dynamo_core"), dynamo.core),
    row("dynamo cpython", config_has("dynamo_cpython"), dynamo.cpython),
    row("dynamo wrapped", config_has("dynamo_wrapped"),
        dynamo.wrapped, on_first_shard(python.aten)),

    # The default suite in shards: the first two carry what must run once.
    row("rocm, named tests", build_has("rocm") & names_tests, python.shard, python.aten),
    row("default, shard 1", shard_is(1),
        distributed.on_one_gpu, python.lazy_tensor, python.without_numpy,
        python.shard, python.aten, python.libtorch, python.xpu_bin),
    row("default, shard 2", shard_is(2),
        distributed.on_one_gpu, python.shard, python.libtorch, python.aot_compilation,
        python.custom_script_ops, python.custom_backend, python.torch_function_benchmark,
        python.libtorch_profiler),
    row("default, more shards", shard_above_2, distributed.on_one_gpu, python.shard),

    # Undivided jobs only: with two shards, the rows above would have taken them.
    row("vulkan", build_has("vulkan"), python.vulkan),
    row("mobile", build_has("-mobile-lightweight-dispatch"), python.libtorch),
    row("docs", config_is("docs_test"), docs.docs_test, phase="2A"),
    row("smoke", config_is("smoke"), smoke.smoke, phase="1"),
    row("smoke b200", config_is("smoke_b200"), smoke.smoke_b200),
    row("smoke xpu", config_is("smoke_xpu"), smoke.smoke_xpu),
    row("dtensor", config_is("dtensor"), distributed.dtensor),
    row("h100 distributed", config_is("h100_distributed"), smoke.h100_distributed, devices=2),
    row("h100 symm mem", config_is("h100-symm-mem"), smoke.h100_symm_mem, devices=2),
    row("h100 fabric", config_is("h100-fabric"), smoke.h100_fabric, devices=2),
    row("b200 symm mem", config_is("b200-symm-mem"), smoke.b200_symm_mem, devices=2),
    row("h100 cutlass", config_is("h100_cutlass_backend"), smoke.h100_cutlass),
    row("openreg", config_is("openreg"), python.openreg),
    row("tsan", config_is("tsan"), python.tsan),
    row("default", anything,
        python.whole, python.aten, python.vec256, python.libtorch, python.aot_compilation,
        python.custom_script_ops, python.custom_backend, python.torch_function_benchmark,
        rnn_benchmark),
)
# fmt: on

UNDIVIDED = frozenset(
    {
        *("docs_test", "smoke", "smoke_b200", "smoke_xpu", "dtensor", "h100_distributed"),
        *("h100-symm-mem", "h100-fabric", "b200-symm-mem", "h100_cutlass_backend", "tsan"),
        "openreg",
    }
)
"""Configurations that only the rows below the shard rows are meant for."""
DEFAULT_SUITE = ("default", "slow", "crossref", "nogpu_AVX512", "nogpu_NO_AVX2")
"""The configurations that are meant to run the default suite, with the variants of their names."""

CONFIGURATIONS: tuple[tuple[str, str, str], ...] = (
    ("smoke", "1", "gpu"),
    ("docs_test", "2A", "cpu"),
    ("python", "2A", "cpu"),
    ("distributed", "2C", "gpu"),
    ("jit_legacy", "2B", "cpu"),
    ("inductor_distributed", "2C", "gpu"),
    ("inductor_cpp_wrapper", "2C", "gpu"),
    ("huggingface", "2B", "gpu"),
    ("torchbench", "2B", "gpu"),
    ("timm", "2B", "gpu"),
)
"""What ``nox -l`` lists: name, roll-out phase, the device that it is made for."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a plan departs from the script on purpose, because the script goes green wrongly."""

    name: str
    applies: Condition
    reason: str
    refuses: bool


_unknown = Condition("no row is meant for this config", lambda job: not is_known(job))
_silently_sharded = Condition(
    "the config's row is for undivided jobs",
    lambda job: job.config in UNDIVIDED and job.shard.is_split,
)


def _is_idle_dashboard(job: Job) -> bool:
    """Tell whether a benchmark for the dashboard was asked for nothing at all."""
    suites = find_row(job).name in ("huggingface", "timm", "torchbench")
    other = any(job.has(word) for word in ("perf_compare", "smoketest", "unbacked_parity"))
    return suites and not other and not benchmarks.dashboard_cells(job)


_idle_dashboard = Condition("nothing asked for", _is_idle_dashboard)
DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "unknown-config",
        _unknown,
        "test.sh runs its whole default suite for a configuration that it does not know",
        refuses=True,
    ),
    Difference(
        "sharded-away",
        _silently_sharded,
        "test.sh tests this name below its shard branches, so that a job of several shards "
        "silently runs the default suite instead",
        refuses=True,
    ),
    Difference(
        "libtorch-no-op",
        build_has("libtorch")
        & Condition("nothing runs", lambda job: find_row(job).name == "libtorch"),
        "test.sh runs no test for a libtorch build and goes green",
        refuses=False,
    ),
    Difference(
        "dashboard-no-op",
        config_has("perf") & _idle_dashboard,
        "test.sh runs no benchmark for a dashboard job whose DASHBOARD_TAG asks for no mode or "
        "no row of the dashboard, and goes green",
        refuses=False,
    ),
    Difference(
        "operator-benchmark-no-op",
        config_has("operator_benchmark") & ~config_has("cpu"),
        "test.sh runs operator benchmarks on the CPU only, and goes green without one elsewhere",
        refuses=False,
    ),
)


def find_row(job: Job) -> Row:
    """Return the first row that matches; the last one matches everything."""
    return next(row for row in TABLE if row.matches.holds(job))


def is_known(job: Job) -> bool:
    """Tell whether some row is meant for the job, not only the one that takes what is left."""
    name = find_row(job).name
    if name not in ("default", "default, shard 1", "default, shard 2", "default, more shards"):
        return True
    # test.sh itself looks for these two inside a name, so a variant of them is meant.
    is_variant = job.has("crossref") or job.has("nogpu") or job.config.startswith("default_")
    return is_variant or job.config in (*DEFAULT_SUITE, *UNDIVIDED)


def known_names() -> list[str]:
    """Name every configuration that a row is called by, for suggestions."""
    words = [text for row in TABLE for text in _names_in(row.matches.text)]
    return list(dict.fromkeys([*(name for name, *_ in CONFIGURATIONS), *DEFAULT_SUITE, *words]))


def _names_in(text: str) -> list[str]:
    for start in ("config is ", "config has "):
        if text.startswith(start):
            return text.removeprefix(start).split(" or ")
    return []


def config_fault(config: str) -> str | None:
    """Say that no row is meant for a configuration, and what is near; None where one is."""
    job = Job(config=config, build=BuildEnvironment.parse("linux"))
    if is_known(job):
        return None
    near = difflib.get_close_matches(config, known_names(), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`nox -l` lists those that are."
    return f"TEST_CONFIG is {config!r}, and no row of the dispatch table is meant for it: {hint}"


def plan_job(job: Job, checkout: Checkout) -> Plan:
    """Plan a job. Raises InputError where the script would silently run something else."""
    found = find_row(job)
    departures = [item for item in DIFFERENCES if item.applies.holds(job)]
    for item in departures:
        if item.refuses:
            raise _refusal(job, item)
    tests = [test for part in found.parts for test in part(job, checkout)]
    return plan_of(
        job,
        row=f"row {TABLE.index(found) + 1} of {len(TABLE)}: {found.matches.text}",
        suite=found.suite,
        phase=found.phase,
        env=job_flags(job, checkout),
        setup=_for_checkout(setup_steps(job, checkout), checkout),
        tests=[_fit(test, checkout) for test in tests],
        cleanup=cleanup_steps(),
        devices=_devices(job, found),
        notices=[f"{item.name}: {item.reason}" for item in departures],
    )


def _refusal(job: Job, difference: Difference) -> InputError:
    if difference.name == "unknown-config":
        return UnknownConfigError(config_fault(job.config) or difference.reason)
    return UndividedError(
        f"NUM_TEST_SHARDS is {job.shard.total}, but {job.config} cannot be divided: "
        f"{difference.reason}. Give it 1 shard."
    )


def _devices(job: Job, found: Row) -> int:
    """How many devices the job's tests need."""
    made_for_devices = job.build.is_gpu or job.build.is_xpu
    return 0 if not made_for_devices or job.has("nogpu") or job.has("cpu") else found.devices


def _fit(test: Test, checkout: Checkout) -> Test:
    items: list[Item] = []
    for item in test.items:
        items += _for_checkout([item], checkout) if isinstance(item, Step) else [item]
    return replace(test, items=tuple(items))


def _for_checkout(steps: list[Step], checkout: Checkout) -> list[Step]:
    """Fit steps to the tree: where its scripts lie, and what the sample does without.

    The sample checkout has no torch: its installs and checks of torch are shown, not run.
    """
    steps = [_without(step, checkout.lacks) for step in steps if not _is_newer(step, checkout)]
    if checkout.script_folder != SCRIPT_FOLDERS[0]:
        steps = [_moved(step, checkout.script_folder) for step in steps]
    if not checkout.is_sample:
        return steps
    reason = "the sample checkout has no torch and installs nothing"
    skipped = (Kind.INSTALL, Kind.PREFLIGHT)
    return [replace(step, skipped=reason) if step.kind in skipped else step for step in steps]


def _is_newer(step: Step, checkout: Checkout) -> bool:
    """Tell whether a step checks, removes or mends something that the tree does not know yet."""
    if step.kind is Kind.PREFLIGHT:
        return any(word in argument for word in checkout.lacks for argument in step.argv)
    return step.kind is Kind.INSTALL and step.argv[-1].rpartition("/")[2] in checkout.lacks


def _without(step: Step, words: frozenset[str]) -> Step:
    """Return a step without the options that the tree's run_test.py does not know yet."""
    if not words.intersection(step.argv):
        return step
    return replace(step, argv=tuple(word for word in step.argv if word not in words))


def _moved(step: Step, folder: str) -> Step:
    """Return a step for an older tree, whose scripts lie in another folder."""

    def moved(text: str) -> str:
        return text.replace(SCRIPT_FOLDERS[0], folder)

    return replace(
        step,
        argv=tuple(map(moved, step.argv)),
        cwd=moved(step.cwd),
        sources=tuple(map(moved, step.sources)),
    )
