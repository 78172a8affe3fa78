"""A CI job: which configuration, of which build, which shard, with which options.

``Job.from_environment`` reads all of test.sh's inputs from an ``Environment``. It collects every
fault and raises one error that lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_sessions.errors import InputError, UnknownConfigError
from ci_sessions.job.build_environment import BuildEnvironment, label_fault

if TYPE_CHECKING:
    from ci_sessions.job.environment import Environment

__all__ = ["INPUTS", "ConfigCheck", "Job", "Shard", "parse_shard"]

ConfigCheck = Callable[[str], str | None]
"""Takes a TEST_CONFIG, gives the sentence that says why it cannot be, or None."""

INPUTS = (
    *("TESTS_TO_INCLUDE", "TESTS_TO_EXCLUDE", "PYTHON_TEST_EXTRA_OPTION", "DASHBOARD_TAG"),
    *("OP_BENCHMARK_TESTS", "EXPORT_PROFILER_TRACE", "IN_WHEEL_TEST", "USE_ARC"),
    *("CONTINUE_THROUGH_ERROR", "PYTORCH_TEST_RERUN_DISABLED_TESTS", "GITHUB_ACTIONS"),
    *("PYTORCH_TEST_CUDA_MEM_LEAK_CHECK", "NO_TEST_TIMEOUT", "ENABLE_TORCH_TRACE"),
)
"""The variables, beyond the four that name a job, by which a workflow changes what the script
runs. Those that are only handed on to the tests, and secrets, are not among them."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``number`` of ``total``, numbered from 1 (vLLM's runner numbers its own from 0)."""

    number: int = 1
    total: int = 1

    @property
    def is_split(self) -> bool:
        """Tell whether the job is one of several."""
        return self.total > 1

    def __str__(self) -> str:
        return f"{self.number} of {self.total}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What one CI job is asked to run. Names and meanings are test.sh's.

    Lists are split at white space, as the shell does. ``inherited`` holds the loader variables that
    test.sh prepends to (LD_PRELOAD, LD_LIBRARY_PATH) and OMP_NUM_THREADS, as the caller set them.
    """

    config: str
    build: BuildEnvironment
    shard: Shard = field(default_factory=Shard)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    extra_options: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    dashboard_tag: str = ""
    keep_going: bool = False
    rerun_disabled: bool = False
    in_wheel_test: bool = False
    use_arc: bool = False
    profiler_trace: bool = False
    on_github: bool = False
    sha1: str = ""
    base_sha: str = ""
    runner_temp: str = ""
    hf_cache: str = ""
    baseline_index_url: str = ""
    artifact_dir: str = ""
    sudo: tuple[str, ...] = ()
    inherited: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_environment(
        cls, environment: Environment, *, check_config: ConfigCheck | None = None
    ) -> Job:
        """Read a job; raise one ``InputError`` that names every value that cannot be."""
        return _Reader(environment).job(check_config)

    def has(self, text: str) -> bool:
        """Tell whether the configuration contains ``text``: test.sh's ``*text*``."""
        return text in self.config

    @property
    def is_first_shard(self) -> bool:
        """Tell whether this shard carries what must run only once."""
        return self.shard.number == 1

    @property
    def id(self) -> str:
        """A name for the job that is stable over reruns and safe in a shell and a file name."""
        parts = (self.build.label, self.config, f"{self.shard.number}of{self.shard.total}")
        return ".".join(re.sub(r"[^A-Za-z0-9_+-]", "-", part) for part in parts)

    @property
    def include_words(self) -> tuple[str, ...]:
        """TESTS_TO_INCLUDE as run_test.py takes it, or nothing."""
        return ("--include", *self.include) if self.include else ()

    @property
    def exclude_words(self) -> tuple[str, ...]:
        """TESTS_TO_EXCLUDE as run_test.py takes it, or nothing."""
        return ("--exclude", *self.exclude) if self.exclude else ()

    @property
    def run_test_options(self) -> tuple[str, ...]:
        """What test.sh adds to most run_test.py lines: PYTHON_TEST_EXTRA_OPTION, which XPU sets."""
        return ("--xpu",) if self.build.is_xpu else self.extra_options

    def variables(self) -> dict[str, str]:
        """Return the four names by which the script knows the job."""
        return {
            "TEST_CONFIG": self.config,
            "BUILD_ENVIRONMENT": self.build.label,
            "SHARD_NUMBER": str(self.shard.number),
            "NUM_TEST_SHARDS": str(self.shard.total),
        }

    def inherit(self, name: str) -> str:
        """Return what the caller had set for a loader variable."""
        return dict(self.inherited).get(name, "")

    def describe(self) -> str:
        """Return one line: configuration, shard, label, and what the label says."""
        facts = self.build.describe()
        return f"{self.config} · shard {self.shard} · {self.build.label} ({facts})"


def parse_shard(text: str) -> tuple[str, str]:
    """Split ``2/5`` into its two numbers, still texts; raise InputError on anything else."""
    match = re.fullmatch(r"\s*([^/\s]+)\s*/\s*([^/\s]+)\s*", text)
    if match is None:
        raise InputError(f"--shard is {text!r}: give the shard and their number, such as 1/5.")
    return match[1], match[2]


class _Reader:
    """Reads texts into values and notes what is wrong with them on the way."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.faults: list[str] = []
        self.unknown: list[str] = []  # the fault of an unknown configuration, if there is one

    def job(self, check_config: ConfigCheck | None) -> Job:
        text = self.environment.get
        config = self.config(check_config)
        label = self.label()
        job = Job(
            config=config,
            build=BuildEnvironment.parse(label),
            shard=self.shard(zero_based="vllm" in config),
            include=self.words("TESTS_TO_INCLUDE"),
            exclude=self.words("TESTS_TO_EXCLUDE"),
            extra_options=self.words("PYTHON_TEST_EXTRA_OPTION"),
            operators=self.words("OP_BENCHMARK_TESTS"),
            dashboard_tag=text("DASHBOARD_TAG"),
            keep_going=self.flag("CONTINUE_THROUGH_ERROR"),
            rerun_disabled=self.flag("PYTORCH_TEST_RERUN_DISABLED_TESTS"),
            in_wheel_test=bool(text("IN_WHEEL_TEST")),
            use_arc=bool(text("USE_ARC")),
            profiler_trace=text("EXPORT_PROFILER_TRACE") == "1",
            on_github=bool(text("GITHUB_ACTIONS")),
            sha1=text("SHA1"),
            base_sha=text("BASE_SHA"),
            runner_temp=text("RUNNER_TEMP"),
            hf_cache=text("HF_CACHE"),
            baseline_index_url=text("BASELINE_INDEX_URL"),
            artifact_dir=text("CUSTOM_TEST_ARTIFACT_BUILD_DIR"),
            sudo=self.words("SUDO"),
            inherited=self.inherited("LD_PRELOAD", "LD_LIBRARY_PATH", "OMP_NUM_THREADS"),
        )
        for name in ("NO_TEST_TIMEOUT", "VERBOSE_TEST_LOGS", "PYTORCH_TEST_CUDA_MEM_LEAK_CHECK"):
            self.flag(name)  # run_test.py reads these itself; junk in them is still a fault
        if self.faults and self.faults == self.unknown:
            raise UnknownConfigError(*self.faults)
        if self.faults:
            raise InputError(*self.faults)
        return job

    def config(self, check: ConfigCheck | None) -> str:
        config = self.environment.get("TEST_CONFIG").strip()
        if not config:
            self.faults.append(
                "TEST_CONFIG is not set: name a configuration, such as "
                "TEST_CONFIG=jit_legacy or --config jit_legacy."
            )
        elif check is not None and (fault := check(config)) is not None:
            self.unknown.append(fault)
            self.faults.append(fault)
        return config

    def label(self) -> str:
        label = self.environment.get("BUILD_ENVIRONMENT")
        fault = label_fault(label)
        if fault is not None:
            self.faults.append(fault)
        return label

    def shard(self, *, zero_based: bool) -> Shard:
        total = self.number("NUM_TEST_SHARDS")
        number = self.number("SHARD_NUMBER")
        if total is not None and total < 1:
            self.faults.append(f"NUM_TEST_SHARDS is {total}: there is at least 1 shard.")
            return Shard()
        if total is None or number is None:
            return Shard()
        first = 0 if zero_based else 1
        if not first <= number <= total:
            only = "there is only 1 shard" if total == 1 else f"shards are numbered 1 to {total}"
            self.faults.append(f"SHARD_NUMBER is {number}, but NUM_TEST_SHARDS is {total}: {only}.")
        return Shard(number, total)

    def number(self, name: str) -> int | None:
        text = self.environment.get(name, "1")
        if re.fullmatch(r"-?\d{1,6}", text.strip()):
            return int(text)
        source = self.environment.source(name)
        shown = "empty" if not text.strip() else repr(text)
        self.faults.append(f"{name} is {shown} (from {source}): give a whole number, such as 1.")
        return None

    def flag(self, name: str) -> bool:
        text = self.environment.get(name).strip()
        if text.lower() not in _TRUE | _FALSE:
            self.faults.append(f"{name} is {text!r}: give 1 for yes, or 0 or nothing for no.")
        return text.lower() in _TRUE

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(self.environment.get(name).split())

    def inherited(self, *names: str) -> tuple[tuple[str, str], ...]:
        values = ((name, self.environment.get(name)) for name in names)
        return tuple((name, value) for name, value in values if value)
