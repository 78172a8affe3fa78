"""Options: groups that verbs share, a parser a verb, and how the tool was called.

A verb's options are one dataclass that inherits the groups it takes. What a verb does not know, its
parser refuses.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TextIO, TypeVar

from ci_sessions.errors import InputError
from ci_sessions.job.job import JobOptions
from ci_sessions.job.variables import (
    BUILD_ENVIRONMENT,
    NUM_TEST_SHARDS,
    SHARD_NUMBER,
    TEST_CONFIG,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.job.environment import Environment

__all__ = [
    "Call",
    "JobGroup",
    "LimitGroup",
    "Options",
    "RecordGroup",
    "SelectionGroup",
    "parse_options",
    "seconds",
]

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_LONGEST_TIME = 10_000_000.0  # seconds, about four months


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """How a verb was called. ``program`` is what a person typed, up to the verb's options.

    ``summary`` says what the verb does. ``config`` is the configuration that the program's words
    already name.
    """

    program: tuple[str, ...]
    summary: str
    out: TextIO
    environment: Environment
    config: str | None = None


class OptionParser(argparse.ArgumentParser):
    """An argument parser whose faults are errors of this package."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, and where the options are listed."""
        raise InputError(f"{message}: {self.prog} --help lists the options.")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a verb; groups add to them."""

    @classmethod
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add this class's own options. ``is_named``: the configuration is given already."""


O = TypeVar("O", bound=Options)  # noqa: E741 - the one that is asked for


@dataclass(frozen=True, kw_only=True)
class JobGroup(Options):
    """Which job, of which tree. None is "not said"."""

    config: str | None = None
    build_environment: str | None = None
    shard: str | None = None
    checkout: str | None = None

    @classmethod
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add the options that name a job."""
        job = parser.add_argument_group("the job")
        if not is_named:
            job.add_argument(
                "config", nargs="?", help=f"the configuration (else {TEST_CONFIG.name})"
            )
            job.add_argument(
                "--config", dest="config_option", metavar="NAME", help="same as CONFIG"
            )
        job.add_argument(
            "--build-environment",
            metavar="LABEL",
            help=f"the build's label (else {BUILD_ENVIRONMENT.name}, or this machine's)",
        )
        job.add_argument(
            "--shard",
            metavar="N/M",
            help=f"shard N of M (else {SHARD_NUMBER.name} and {NUM_TEST_SHARDS.name})",
        )
        job.add_argument(
            "--checkout",
            metavar="DIR",
            help="the PyTorch tree (else the one around this folder, or the sample checkout)",
        )

    def job_options(self, *, keep_going: bool = False, default_label: str = "") -> JobOptions:
        """Return what the options say of the job."""
        return JobOptions(
            config=self.config,
            build_environment=self.build_environment,
            shard=self.shard,
            keep_going=keep_going,
            default_label=default_label,
        )


@dataclass(frozen=True, kw_only=True)
class SelectionGroup(Options):
    """Which part of a job's plan."""

    test: tuple[str, ...] = ()
    step: int | None = None
    keep_going: bool = False
    added: bool | None = None
    install: bool = True

    @classmethod
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add the options that choose a part of a plan."""
        add = parser.add_argument_group("what of it").add_argument
        add("--test", action="append", metavar="NAME", help="only this test (repeatable)")
        add("--step", type=int, metavar="N", help="only this step of the one test named")
        add("--keep-going", action="store_true", help="run the rest after a failed test")
        add(
            "--added",
            action=argparse.BooleanOptionalAction,
            help="with or without the tests that test.sh lacks",
        )
        add("--no-install", dest="install", action="store_false", help="skip installs")


@dataclass(frozen=True, kw_only=True)
class LimitGroup(Options):
    """What a run may take, and need. Times in seconds."""

    timeout: float | None = None
    step_timeout: float | None = None
    hardware_check: bool = True

    @classmethod
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add the options that limit a run."""
        add = parser.add_argument_group("limits").add_argument
        add("--timeout", metavar="TIME", help="time limit of the job: 90, 15m, 2h")
        add("--step-timeout", metavar="TIME", help="time limit of each step")
        add(
            "--no-hardware-check",
            dest="hardware_check",
            action="store_false",
            help="run although the machine lacks devices that the job needs",
        )


@dataclass(frozen=True, kw_only=True)
class RecordGroup(Options):
    """Where the record of a run goes."""

    records: str | None = None
    keep_days: int | None = None

    @classmethod
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add the options of records."""
        add = parser.add_argument_group("records").add_argument
        add("--records", metavar="DIR", help="where records go (else .ci-sessions)")
        add("--keep-days", type=int, metavar="N", help="remove records older than N days first")


def seconds(text: str) -> float:
    """Read a time limit: ``90``, ``90s``, ``15m``, ``2h``."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|m|min|h)?", text.strip())
    limit = float(match[1]) * _UNITS[match[2] or ""] if match else 0.0
    if not 0 < limit <= _LONGEST_TIME:
        raise InputError(f"a time limit is {text!r}: give seconds, or 15m or 2h.")
    return limit


def parse_options(kind: type[O], words: Sequence[str], call: Call) -> O:
    """Parse a verb's options. Raises InputError for what it does not know."""
    prog = " ".join(call.program)
    parser = OptionParser(prog=prog, allow_abbrev=False, description=call.summary)
    is_named = call.config is not None
    for group in reversed(kind.__mro__):
        if issubclass(group, Options) and "add_to" in vars(group):
            group.add_to(parser, is_named=is_named)
    parsed = vars(parser.parse_args(list(words)))
    if issubclass(kind, JobGroup):
        option = parsed.pop("config_option", None)
        parsed["config"] = call.config or option or parsed.get("config")
    parsed = {name: tuple(v) if isinstance(v, list) else v for name, v in parsed.items()}
    parsed = {
        name: seconds(value) if name in ("timeout", "step_timeout") and value else value
        for name, value in parsed.items()
    }
    if parsed.get("step") is not None and len(parsed["test"] or ()) != 1:
        raise InputError("--step names a step of one test: add --test NAME.")
    defaults = {item.name: item.default for item in dataclasses.fields(kind)}
    return kind(**{name: defaults[name] if v is None else v for name, v in parsed.items()})
