"""Which job runs what: the ordered table that stands for test.sh's if/elif chain.

The first row that matches decides. ``config_has`` is a substring, ``config_is`` the whole name; the
order is the script's, since half of its conditions overlap. A row's parts run one after another;
each is a function from the job and the checkout to tests.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.catalogue.match import (
    Match,
    anything,
    build_has,
    config_begins,
    config_has,
    config_is,
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

if TYPE_CHECKING:
    from ci_sessions.plan.plan import Draft

__all__ = [
    "TABLE",
    "Row",
    "config_facts",
    "config_fault",
    "find_row",
    "is_known",
    "listed_configs",
    "native_names",
]

Part = Callable[[Job, Checkout], "list[Draft]"]

DEFAULT_SUITE = (
    config_is("default", "slow", "crossref", "nogpu_AVX512", "nogpu_NO_AVX2")
    | config_begins("default_")
    # test.sh itself looks for these two inside a name, so a variant of them is meant.
    | config_has("crossref")
    | config_has("nogpu")
)
"""The configurations that are meant to run the default suite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A rule: jobs that ``match`` run ``parts``.

    ``devices``: how many the tests need on a build that is made for devices. ``sharded``: whether
    such a job may be one of several; ``first_shard`` is the number of their first. ``listed``: the
    place in ``nox -l``, and whether its machines have a GPU; None is not listed. ``native``: the
    configuration only exists here, and test.sh has nothing for it. ``meant_for``: of a row that
    takes what is left, the jobs that it is meant for; None is all that match.
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
        """The modules that the parts come from."""
        modules = (part.__module__.rpartition(".")[2] for part in self.parts)
        return tuple(dict.fromkeys(modules))

    def is_meant_for(self, job: Job) -> bool:
        """Tell whether a job that matches is one that the row was written for."""
        return self.meant_for is None or self.meant_for.accepts(job)


def row(  # noqa: PLR0913 - a row says all of a configuration
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
    """Write a row of the table."""
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
    # The first is this project's own name for a part of the default suite; the second is run by a
    # script of its own.
    row("python", config_is("python"), python.alone, python.aten, python.vec256,
        listed=(3, "cpu")),
    row("multigpu", config_is("multigpu"), distributed.multigpu, devices=2),

    # Decided by the configuration, whatever the shard.
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
    row("libtorch", build_has("libtorch"), python.nothing),
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

    # The default suite in shards: the first two carry what must run once.
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

    # One shard only: of several, the script gives every one to the rows above.
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
        python.whole, python.aten, python.vec256, cpp.libtorch, cpp.aot_compilation,
        cpp.custom_script_ops, cpp.custom_backend, python.torch_function_benchmark,
        benchmark.recurrent_networks,
        meant_for=DEFAULT_SUITE),
)
# fmt: on


def find_row(job: Job) -> Row:
    """Return the first row that matches; the last one matches everything."""
    return next(row for row in TABLE if row.match.accepts(job))


def one_shard_row(job: Job) -> Row | None:
    """Return the row below the shard rows that is written for a job of one shard, if any is."""
    return next((row for row in TABLE if not row.sharded and row.match.accepts(job)), None)


def is_known(job: Job) -> bool:
    """Tell whether some row is meant for the job, not only the one that takes what is left."""
    return find_row(job).is_meant_for(job) or one_shard_row(job) is not None


def listed_configs() -> dict[str, str]:
    """Return what ``nox -l`` lists, in its order: names, with the device that each is made for."""
    rows = sorted((row.listed, row) for row in TABLE if row.listed is not None)
    return {row.match.names[0]: device for (_, device), row in rows}


def native_names() -> tuple[str, ...]:
    """Name the configurations that only exist here."""
    return tuple(name for row in TABLE if row.native for name in row.match.names)


def known_names() -> list[str]:
    """Name every configuration that a row is written for, for suggestions."""
    matches = [match for row in TABLE for match in (row.match, row.meant_for) if match is not None]
    names = [name for match in matches for name in match.names]
    return list(dict.fromkeys([*listed_configs(), *names]))


def config_fault(config: str) -> str | None:
    """Say that no row is meant for a configuration, and what is near; None where one is."""
    if is_known(_plain_job(config)):
        return None
    near = difflib.get_close_matches(config, known_names(), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`nox -l` lists those that are."
    return f"{TEST_CONFIG.name} is {config!r}, and no row of the table is meant for it: {hint}"


def config_facts(config: str) -> ConfigFacts:
    """Return what reading a job needs to know of its configuration."""
    return ConfigFacts(config_fault(config), find_row(_plain_job(config)).first_shard)


def _plain_job(config: str) -> Job:
    return Job(config=config, build=BuildEnvironment.parse("linux"))
