"""A CI job: its configuration, build, shard and inputs.

``read_job`` reads it from the environment and the options that override it. It collects all
problems and raises one error that lists them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ci_sessions.errors import InputError, UnknownConfigError
from ci_sessions.job import variables as v
from ci_sessions.job.build_environment import BuildEnvironment, label_problem
from ci_sessions.text import shown

if TYPE_CHECKING:
    from ci_sessions.job.environment import Environment

__all__ = ["ConfigFacts", "ConfigLookup", "Job", "JobOptions", "Shard", "parse_shard", "read_job"]

T = TypeVar("T")
_MAX_LENGTH = 200  # characters of a configuration name; the longest real one has 60


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """What the catalogue knows about a configuration before the job is read.

    ``problem`` is the error message if the configuration is unknown. ``first_shard`` is the number
    of its first shard.
    """

    problem: str | None = None
    first_shard: int = 1


ConfigLookup = Callable[[str], ConfigFacts]


def accept_any_config(_: str) -> ConfigFacts:
    """Accept every configuration: for callers that only route a job and do not plan it."""
    return ConfigFacts(first_shard=0)


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard ``number`` of ``total``. Numbers start at 1, for a few configurations at 0."""

    number: int = 1
    total: int = 1

    @property
    def is_split(self) -> bool:
        """Whether the job has more than one shard."""
        return self.total > 1

    def __str__(self) -> str:
        return f"{self.number} of {self.total}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One CI job. ``job[TESTS_TO_INCLUDE]`` is the parsed value of an input variable."""

    config: str
    build: BuildEnvironment
    shard: Shard = field(default_factory=Shard)
    inputs: v.Inputs = field(default_factory=v.Inputs)

    def __getitem__(self, variable: v.Variable[T]) -> T:
        return self.inputs[variable]

    def has(self, text: str) -> bool:
        """Return whether the configuration contains ``text``, like ``*text*`` in test.sh."""
        return text in self.config

    @property
    def is_first_shard(self) -> bool:
        """Whether this is shard 1, which also runs whatever must run only once."""
        return self.shard.number == 1

    @property
    def id(self) -> str:
        """An identifier that is the same for every run, and safe in shells and file names."""
        parts = (self.build.label, self.config, f"{self.shard.number}of{self.shard.total}")
        return ".".join(re.sub(r"[^A-Za-z0-9_+-]", "-", part) for part in parts)

    def describe(self, device: str) -> str:
        """Return one line: configuration, shard, label, and the facts in the label."""
        facts = self.build.describe(device)
        return f"{self.config} · shard {self.shard} · {self.build.label} ({facts})"

    def shown_variables(self) -> dict[str, str]:
        """Return the variables that identify the job and those that its tests may read too."""
        inputs = self.inputs.raw
        return {**self.variables(), **{n: inputs[n] for n in inputs if v.BY_NAME[n].is_repeated}}

    def variables(self) -> dict[str, str]:
        """Return the four variables that identify the job to the script."""
        values = (self.config, self.build.label, str(self.shard.number), str(self.shard.total))
        return {one.name: value for one, value in zip(v.JOB_VARIABLES, values, strict=True)}


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOptions:
    """The job as command-line options give it; None means not given.

    Options override the environment. ``default_label`` is the build label if neither gives one.
    """

    config: str | None = None
    build_environment: str | None = None
    shard: str | None = None
    keep_going: bool = False
    default_label: str = ""


def parse_shard(text: str) -> tuple[str, str]:
    """Split ``2/5`` into two strings, not checked further. Raises InputError on anything else."""
    match = re.fullmatch(r"\s*([^/\s]+)\s*/\s*([^/\s]+)\s*", text)
    if match is None:
        raise InputError(f"--shard is {shown(text)}: use N/M, such as 1/5 for shard 1 of 5.")
    return match[1], match[2]


def read_job(
    environment: Environment,
    options: JobOptions | None = None,
    lookup: ConfigLookup = accept_any_config,
) -> Job:
    """Read a job. Raises one InputError that lists every invalid value."""
    return _JobReader(environment, options or JobOptions(), lookup).job()


class _JobReader:
    """Parses the variables of a job and collects what is wrong with them."""

    def __init__(self, environment: Environment, options: JobOptions, lookup: ConfigLookup) -> None:
        self.environment = environment
        self.options = options
        self.lookup = lookup
        self.problems: list[str] = []
        self.unknown: list[str] = []  # the problem of an unknown configuration, if there is one

    def job(self) -> Job:
        config, facts = self.config()
        label = self.label()
        shard = self.shard(facts.first_shard)
        inputs = v.Inputs.parse(self.environment.variables, self.problems)
        if self.options.keep_going:
            inputs = inputs.with_value(v.CONTINUE_THROUGH_ERROR, value=True, raw="1")
        build = BuildEnvironment.parse(label)
        job = Job(config=config, build=build, shard=shard, inputs=inputs)
        if self.problems and self.problems == self.unknown:
            raise UnknownConfigError(*self.problems)
        if self.problems:
            raise InputError(*self.problems)
        return job

    def config(self) -> tuple[str, ConfigFacts]:
        name = v.TEST_CONFIG.name
        config = (self.options.config or self.environment.get(name)).strip()
        if not config:
            self.problems.append(
                f"{name} is not set: choose a configuration, with {name}=jit_legacy or "
                "--config jit_legacy for example."
            )
            return config, ConfigFacts()
        if len(config) > _MAX_LENGTH or re.fullmatch(r"[\w.+/:-]+", config, re.ASCII) is None:
            self.problems.append(
                f"{name} is {shown(config)}: use at most {_MAX_LENGTH} letters, digits, dots, "
                "dashes and underscores."
            )
            return config, ConfigFacts()
        facts = self.lookup(config)
        if facts.problem is not None:
            self.unknown.append(facts.problem)
            self.problems.append(facts.problem)
        return config, facts

    def label(self) -> str:
        label = self.options.build_environment
        if label is None:
            label = self.environment.get(v.BUILD_ENVIRONMENT.name, self.options.default_label)
        problem = label_problem(label)
        if problem is not None:
            self.problems.append(problem)
        return label

    def shard(self, first: int) -> Shard:
        """Read the shard from ``--shard``, or from the two variables."""
        source = self.environment.source
        values = [self.environment.get(one.name, "1") for one in _SHARD]
        if self.options.shard is not None:
            source = "--shard"
            try:
                values = list(parse_shard(self.options.shard))
            except InputError as error:
                self.problems += error.problems
                return Shard()
        pairs = zip(_SHARD, values, strict=True)
        number, total = (self.number(one, value, source) for one, value in pairs)
        if total is not None and total < 1:
            self.problems.append(f"{v.NUM_TEST_SHARDS.name} is {total}: use 1 or more.")
            return Shard()
        if total is None or number is None:
            return Shard()
        if not first <= number <= total:
            only = "there is only 1 shard" if total == 1 else f"shards are numbered 1 to {total}"
            names = f"{v.SHARD_NUMBER.name} is {number}, but {v.NUM_TEST_SHARDS.name} is {total}"
            self.problems.append(f"{names}: {only}.")
        return Shard(number, total)

    def number(self, variable: v.Variable[int], text: str, source: str) -> int | None:
        try:
            return variable.parse(text)
        except ValueError as error:
            given = shown(text) if text.strip() else "empty"
            self.problems.append(f"{variable.name} is {given} (from {source}): {error}.")
            return None


_SHARD = (v.SHARD_NUMBER, v.NUM_TEST_SHARDS)
