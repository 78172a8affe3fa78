"""A CI job: which configuration, of which build, which shard, with which inputs.

``read_job`` reads it from the environment and the options that override it. It collects every
fault and raises one error that lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ci_sessions.errors import InputError, UnknownConfigError
from ci_sessions.job import variables as v
from ci_sessions.job.build_environment import BuildEnvironment, label_fault

if TYPE_CHECKING:
    from ci_sessions.job.environment import Environment

__all__ = ["ConfigFacts", "ConfigLookup", "Job", "JobOptions", "Shard", "parse_shard", "read_job"]

T = TypeVar("T")
_LONGEST = 200  # characters of a configuration's name; the longest real one has 60


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """What the catalogue knows of a configuration's name before a job is read.

    ``fault`` is the sentence that says why there can be no such job; ``first_shard`` is the number
    of the first of its shards.
    """

    fault: str | None = None
    first_shard: int = 1


ConfigLookup = Callable[[str], ConfigFacts]


def any_config(_: str) -> ConfigFacts:
    """Accept every name: for those who only route a job, and leave its faults to others."""
    return ConfigFacts(first_shard=0)


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``number`` of ``total``; the first is 1, but for configurations that count from 0."""

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
    """What one CI job is asked to run. ``job[TESTS_TO_INCLUDE]`` is an input's typed value."""

    config: str
    build: BuildEnvironment
    shard: Shard = field(default_factory=Shard)
    inputs: v.Inputs = field(default_factory=v.Inputs)

    def __getitem__(self, variable: v.Variable[T]) -> T:
        return self.inputs[variable]

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

    def describe(self, device: str) -> str:
        """Return one line: configuration, shard, label, and what the label says."""
        facts = self.build.describe(device)
        return f"{self.config} · shard {self.shard} · {self.build.label} ({facts})"

    def variables(self) -> dict[str, str]:
        """Return the four names by which the script knows the job."""
        texts = (self.config, self.build.label, str(self.shard.number), str(self.shard.total))
        return {one.name: text for one, text in zip(v.NAMES_A_JOB, texts, strict=True)}


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOptions:
    """What a command line says of the job; None is "not said". It wins over the environment.

    ``default_label`` is the label where neither says one.
    """

    config: str | None = None
    build_environment: str | None = None
    shard: str | None = None
    keep_going: bool = False
    default_label: str = ""


def parse_shard(text: str) -> tuple[str, str]:
    """Split ``2/5`` into its two numbers, still texts; raise InputError on anything else."""
    match = re.fullmatch(r"\s*([^/\s]+)\s*/\s*([^/\s]+)\s*", text)
    if match is None:
        raise InputError(f"--shard is {text!r}: give the shard and their number, such as 1/5.")
    return match[1], match[2]


def read_job(
    environment: Environment,
    options: JobOptions | None = None,
    lookup: ConfigLookup = any_config,
) -> Job:
    """Read a job; raise one ``InputError`` that names every value that cannot be."""
    return _Reader(environment, options or JobOptions(), lookup).job()


class _Reader:
    """Reads texts into values and notes what is wrong with them on the way."""

    def __init__(self, environment: Environment, options: JobOptions, lookup: ConfigLookup) -> None:
        self.environment = environment
        self.options = options
        self.lookup = lookup
        self.faults: list[str] = []
        self.unknown: list[str] = []  # the fault of an unknown configuration, if there is one

    def job(self) -> Job:
        config, facts = self.config()
        label = self.label()
        shard = self.shard(facts.first_shard)
        inputs = v.Inputs.read(self.environment.texts, self.faults)
        if self.options.keep_going:
            inputs = inputs.with_value(v.CONTINUE_THROUGH_ERROR, value=True, text="1")
        build = BuildEnvironment.parse(label)
        job = Job(config=config, build=build, shard=shard, inputs=inputs)
        if self.faults and self.faults == self.unknown:
            raise UnknownConfigError(*self.faults)
        if self.faults:
            raise InputError(*self.faults)
        return job

    def config(self) -> tuple[str, ConfigFacts]:
        name = v.TEST_CONFIG.name
        config = (self.options.config or self.environment.get(name)).strip()
        if not config:
            self.faults.append(
                f"{name} is not set: name a configuration, such as {name}=jit_legacy or "
                "--config jit_legacy."
            )
            return config, ConfigFacts()
        if len(config) > _LONGEST or re.fullmatch(r"[\w.+/:-]+", config, re.ASCII) is None:
            shown = config if len(config) <= _LONGEST else f"{config[:_LONGEST]}…"
            self.faults.append(
                f"{name} is {shown!r}: a configuration's name has at most {_LONGEST} letters, "
                "digits, dots, dashes and underscores."
            )
            return config, ConfigFacts()
        facts = self.lookup(config)
        if facts.fault is not None:
            self.unknown.append(facts.fault)
            self.faults.append(facts.fault)
        return config, facts

    def label(self) -> str:
        label = self.options.build_environment
        if label is None:
            label = self.environment.get(v.BUILD_ENVIRONMENT.name, self.options.default_label)
        fault = label_fault(label)
        if fault is not None:
            self.faults.append(fault)
        return label

    def shard(self, first: int) -> Shard:
        """Read the shard of ``--shard``, or of the two variables."""
        source = self.environment.source
        texts = [self.environment.get(one.name, "1") for one in _SHARD]
        if self.options.shard is not None:
            source = "--shard"
            try:
                texts = list(parse_shard(self.options.shard))
            except InputError as error:
                self.faults += error.faults
                return Shard()
        pairs = zip(_SHARD, texts, strict=True)
        number, total = (self.number(one, text, source) for one, text in pairs)
        if total is not None and total < 1:
            self.faults.append(f"{v.NUM_TEST_SHARDS.name} is {total}: there is at least 1 shard.")
            return Shard()
        if total is None or number is None:
            return Shard()
        if not first <= number <= total:
            only = "there is only 1 shard" if total == 1 else f"shards are numbered 1 to {total}"
            names = f"{v.SHARD_NUMBER.name} is {number}, but {v.NUM_TEST_SHARDS.name} is {total}"
            self.faults.append(f"{names}: {only}.")
        return Shard(number, total)

    def number(self, variable: v.Variable[int], text: str, source: str) -> int | None:
        try:
            return variable.read(text)
        except ValueError as error:
            shown = "empty" if not text.strip() else repr(text)
            self.faults.append(f"{variable.name} is {shown} (from {source}): {error}.")
            return None


_SHARD = (v.SHARD_NUMBER, v.NUM_TEST_SHARDS)
