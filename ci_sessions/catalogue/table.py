"""Which job runs what: an ordered table that replaces test.sh's if/elif chain.

The first row that matches wins. ``config_has`` matches a substring, ``config_is`` the whole name.
The order is the script's, since half of its conditions overlap. A row's parts run one after
another; each is a function that takes the job and the checkout and returns tests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.catalogue.match import (
    Match,
    anything,
    build_has,
    config_has,
    config_is,
    config_starts_with,
    names_tests,
    shard_above,
    shard_is,
)
from ci_sessions.catalogue.suites import (
    benchmark,
    compiler_benchmark,
    cpp,
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
from ci_sessions.checkout.checkout import Checkout
from ci_sessions.job.build_environment import BuildEnvironment
from ci_sessions.job.job import ConfigFacts, Job
from ci_sessions.job.variables import TEST_CONFIG
from ci_sessions.text import shown

if TYPE_CHECKING:
    from ci_sessions.plan.plan import Draft

__all__ = [
    "TABLE",
    "Row",
    "config_facts",
    "config_problem",
    "find_row",
    "is_known",
    "listed_configs",
    "native_names",
]

Part = Callable[[Job, Checkout], "list[Draft]"]

DEFAULT_SUITE = (
    config_is("default", "slow", "crossref", "nogpu_AVX512", "nogpu_NO_AVX2")
    | config_starts_with("default_")
    # test.sh looks for these two as substrings, so variants of them are intended too.
    | config_has("crossref")
    | config_has("nogpu")
)
"""The configurations that are intended to run the default suite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A rule: jobs that ``match`` run ``parts``.

    ``devices``: how many devices the tests need on a build for an accelerator. ``sharded``: whether
    such a job may have several shards; ``first_shard`` is the number of the first one. ``listed``:
    position in ``nox -l`` and kind of machine, "cpu" or "gpu"; None if not listed. ``native``: the
    configuration exists only here, not in test.sh. ``meant_for``: the jobs that a catch-all row is
    intended for; None for all that match.
    """

    name: str
    match: Match
    parts: tuple[Part, ...]
    devices: int = 1
    sharded: bool = True
    first_shard: int = 1
    listed: tuple[int, str] | None = None
    native: bool = False
    meant_for: Match | None = None

    @property
    def suites(self) -> tuple[str, ...]:
        """The modules that define the parts."""
        modules = (part.__module__.rpartition(".")[2] for part in self.parts)
        return tuple(dict.fromkeys(modules))

    def is_meant_for(self, job: Job) -> bool:
        """Return whether the row is intended for a job that matches it."""
        return self.meant_for is None or self.meant_for.accepts(job)


def row(  # noqa: PLR0913 - one argument per column
    name: str,
    match: Match,
    *parts: Part,
    devices: int = 1,
    sharded: bool = True,
    first_shard: int = 1,
    listed: tuple[int, str] | None = None,
    native: bool = False,
    meant_for: Match | None = None,
) -> Row:
    """Return a row of the table."""
    return Row(
        name=name,
        match=match,
        parts=parts,
        devices=devices,
        sharded=sharded,
        first_shard=first_shard,
        listed=listed,
        native=native,
        meant_for=meant_for,
    )


def on_first_shard(part: Part) -> Part:
    """Run a part on shard 1 only."""

    @functools.wraps(part)
    def first(job: Job, checkout: Checkout) -> list[Draft]:
        return part(job, checkout) if job.is_first_shard else []

    return first


# fmt: off
TABLE: tuple[Row, ...] = (
    # The first is this project's own name for a part of the default suite; the second has its own
    # script.
    row("python", config_is("python"), python.without_installs, python.aten, python.vec256,
        listed=(3, "cpu")),
    row("multigpu", config_is("multigpu"), distributed.multigpu, devices=2),

    # Selected by configuration, regardless of the shard.
    row("pr time", config_has("pr_time_benchmarks"), compiler_benchmark.pr_time),
    row("onnx", config_is("onnx"), downstream.onnx),
    row("numpy 2", config_has("numpy_2"), python.numpy_2),
    row("backwards", config_has("backward"), downstream.backwards_compatibility),
    row("libtorch agnostic", config_has("libtorch_agnostic_targetting"), downstream.stable_abi),
    row("xla", config_has("xla"), downstream.xla),
    row("vllm", config_has("vllm"), downstream.vllm, first_shard=0),
    row("torchtitan", config_has("torchtitan"), downstream.torchtitan, devices=8),
    row("executorch", config_has("executorch"), downstream.executorch),
    row("jit legacy", config_is("jit_legacy"), jit.jit_legacy, listed=(5, "cpu")),
    row("quantization", config_is("quantization"), python.quantization),
    row("libtorch", build_has("libtorch"), python.no_tests),
    row("distributed", config_is("distributed"), distributed.distributed, devices=2,
        listed=(4, "gpu")),
    row("operators", config_has("operator_benchmark"), operators.operator_benchmark),
    row("operators, micro", config_has("operator_microbenchmark"),
        operators.operator_microbenchmark),
    row("attention", config_has("attention_microbenchmark"), operators.attention),

    # The compiler. inductor_distributed comes before everything that has "inductor" in it.
    row("inductor distributed", config_has("inductor_distributed"),
        inductor.inductor_distributed, devices=2, listed=(6, "gpu")),
    row("halide", config_has("inductor-halide"), inductor.halide),
    row("pallas", config_has("inductor-pallas"), inductor.pallas),
    row("triton cpu", config_has("inductor-triton-cpu"), inductor.triton_cpu),
    row("micro benchmark", config_has("inductor-micro-benchmark"), compiler_benchmark.micro),
    row("better benchmark", config_has("inductor_better_benchmark"), compiler_benchmark.better),
    row("aoti windows", config_has("aoti_cross_compile_for_windows"), inductor.aoti_windows),
    row("huggingface", config_has("huggingface"), benchmark.huggingface, listed=(8, "gpu")),
    row("timm", config_has("timm"), benchmark.timm, listed=(10, "gpu")),
    row("cachebench", config_is("cachebench"), compiler_benchmark.cachebench),
    row("verify cachebench", config_is("verify_cachebench"), compiler_benchmark.verify_cachebench),
    row("torchbench", config_has("torchbench"), benchmark.torchbench, listed=(9, "gpu")),
    row("inductor cpp wrapper", config_has("inductor_cpp_wrapper"),
        inductor.inductor_cpp_wrapper, listed=(7, "gpu")),
    row("inductor core", config_has("inductor_core"), inductor.inductor_core),
    row("inductor", config_has("inductor"), inductor.inductor_shard),
    row("einops", config_has("einops"), dynamo.einops),
    row("dynamo core", config_has("dynamo_core"), dynamo.core),
    row("dynamo cpython", config_has("dynamo_cpython"), dynamo.cpython),
    row("dynamo wrapped", config_has("dynamo_wrapped"),
        dynamo.wrapped, on_first_shard(python.aten)),

    # The default suite in shards: the first two also run everything that must run only once.
    row("rocm, named tests", build_has("rocm") & names_tests, python.shard, python.aten),
    row("default, shard 1", shard_is(1),
        distributed.on_one_gpu, python.lazy_tensor, python.without_numpy,
        python.shard, python.aten, cpp.libtorch, cpp.xpu_bin,
        meant_for=DEFAULT_SUITE),
    row("default, shard 2", shard_is(2),
        distributed.on_one_gpu, python.shard, cpp.libtorch, cpp.aot_compilation,
        cpp.custom_script_ops, cpp.custom_backend, python.torch_function_benchmark,
        cpp.libtorch_profiler,
        meant_for=DEFAULT_SUITE),
    row("default, more shards", shard_above(2), distributed.on_one_gpu, python.shard,
        meant_for=DEFAULT_SUITE),

    # One shard only: jobs with several shards match the rows above first, as in the script.
    row("vulkan", build_has("vulkan"), cpp.vulkan),
    row("mobile", build_has("-mobile-lightweight-dispatch"), cpp.libtorch),
    row("docs", config_is("docs_test"), docs.docs_test, sharded=False, listed=(2, "cpu")),
    row("smoke", config_is("smoke"), smoke.smoke, sharded=False, listed=(1, "gpu")),
    row("smoke b200", config_is("smoke_b200"), smoke.smoke_b200, sharded=False),
    row("smoke xpu", config_is("smoke_xpu"), smoke.smoke_xpu, sharded=False),
    row("dtensor", config_is("dtensor"), distributed.dtensor, sharded=False),
    row("h100 distributed", config_is("h100_distributed"), smoke.h100_distributed, devices=2,
        sharded=False),
    row("h100 symm mem", config_is("h100-symm-mem"), smoke.h100_symm_mem, devices=2,
        sharded=False),
    row("h100 fabric", config_is("h100-fabric"), smoke.h100_fabric, devices=2,
        sharded=False),
    row("b200 symm mem", config_is("b200-symm-mem"), smoke.b200_symm_mem, devices=2,
        sharded=False),
    row("h100 cutlass", config_is("h100_cutlass_backend"), smoke.h100_cutlass, sharded=False),
    row("openreg", config_is("openreg"), python.openreg, sharded=False),
    row("tsan", config_is("tsan"), python.tsan, sharded=False),
    row("default", anything,
        python.unsharded, python.aten, python.vec256, cpp.libtorch, cpp.aot_compilation,
        cpp.custom_script_ops, cpp.custom_backend, python.torch_function_benchmark,
        benchmark.recurrent_networks,
        meant_for=DEFAULT_SUITE),
)
# fmt: on


def find_row(job: Job) -> Row:
    """Return the first row that matches. The last row matches everything."""
    return next(row for row in TABLE if row.match.accepts(job))


def one_shard_row(job: Job) -> Row | None:
    """Return the matching row among those that do not support sharding, if any."""
    return next((row for row in TABLE if not row.sharded and row.match.accepts(job)), None)


def is_known(job: Job) -> bool:
    """Return whether any row is intended for the job; a catch-all that just matches is not."""
    return find_row(job).is_meant_for(job) or one_shard_row(job) is not None


def listed_configs() -> dict[str, str]:
    """Return the configurations of ``nox -l`` in order, each with its kind of machine."""
    listed = [(row.listed, row.match.names[0]) for row in TABLE if row.listed is not None]
    return {name: device for (_, device), name in sorted(listed)}


def native_names() -> tuple[str, ...]:
    """Return the names of the configurations that exist only here."""
    return tuple(name for row in TABLE if row.native for name in row.match.names)


def known_names() -> list[str]:
    """Return the name of every configuration that a row names, for suggestions."""
    matches = [match for row in TABLE for match in (row.match, row.meant_for) if match is not None]
    names = [name for match in matches for name in match.names]
    return list(dict.fromkeys([*listed_configs(), *names]))


def config_problem(config: str) -> str | None:
    """Return an error message with suggestions for an unknown configuration; None if known."""
    if is_known(_plain_job(config)):
        return None
    import difflib  # noqa: PLC0415 - slow to import, and only for a typing error

    close = difflib.get_close_matches(config, known_names(), n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "`nox -l` lists configurations."
    return f"{TEST_CONFIG.name} is {shown(config)}, which is not a known configuration: {hint}"


@functools.lru_cache(maxsize=1024)
def config_facts(config: str) -> ConfigFacts:
    """Return what ``read_job`` needs to know about a configuration."""
    return ConfigFacts(config_problem(config), find_row(_plain_job(config)).first_shard)


def _plain_job(config: str) -> Job:
    return Job(config=config, build=BuildEnvironment.parse("linux"))
