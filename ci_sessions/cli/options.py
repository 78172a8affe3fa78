"""Command-line options: groups that commands share, and the parsing of a command's options.

The options of a command are a dataclass that inherits from the groups that the command accepts.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ci_sessions.errors import InputError
from ci_sessions.job.job import JobOptions
from ci_sessions.job.variables import (
    BUILD_ENVIRONMENT,
    NUM_TEST_SHARDS,
    SHARD_NUMBER,
    TEST_CONFIG,
)
from ci_sessions.plan.shell import quote_all
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ci_sessions.cli.stdout import Stdout
    from ci_sessions.job.environment import Environment
    from ci_sessions.text import Redactor

__all__ = [
    "Context",
    "JobGroup",
    "LimitGroup",
    "MinutesGroup",
    "Options",
    "RecordGroup",
    "SelectionGroup",
    "integer",
    "parse_duration",
    "parse_options",
]

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_MAX_DURATION = 10_000_000.0  # seconds, about four months


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """How a command was called.

    ``program`` is the command line up to the command's options, ``summary`` its description in the
    help. ``config`` is the configuration if ``program`` already contains it.
    """

    program: tuple[str, ...]
    summary: str
    out: Stdout
    environment: Environment
    redact: Redactor
    config: str | None = None


class OptionParser(argparse.ArgumentParser):
    """An argument parser that raises InputError."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError, with a reference to ``--help``."""
        raise InputError(f"{message}: {self.prog} --help lists the options.")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a command, or a group of them."""

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add this class's options. ``has_config``: the configuration is already known."""


O = TypeVar("O", bound=Options)  # noqa: E741 - O for options


@dataclass(frozen=True, kw_only=True)
class JobGroup(Options):
    """The job and the checkout. None means not given."""

    config: str | None = None
    build_environment: str | None = None
    shard: str | None = None
    checkout: str | None = None

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options that identify a job."""
        job = parser.add_argument_group("job")
        if not has_config:
            job.add_argument(
                "config", nargs="?", help=f"the configuration (default: {TEST_CONFIG.name})"
            )
            job.add_argument(
                "--config", dest="config_option", metavar="NAME", help="same as CONFIG"
            )
        job.add_argument(
            "--build-environment",
            metavar="LABEL",
            help=f"build label (default: {BUILD_ENVIRONMENT.name}, or a CPU build)",
        )
        job.add_argument(
            "--shard",
            metavar="N/M",
            help=f"shard N of M (default: {SHARD_NUMBER.name} and {NUM_TEST_SHARDS.name})",
        )
        job.add_argument(
            "--checkout",
            metavar="DIR",
            help="PyTorch checkout (default: the one that contains the current folder, or the "
            "sample checkout)",
        )

    def job_options(self, *, keep_going: bool = False, default_label: str = "") -> JobOptions:
        """Return the options that identify the job."""
        return JobOptions(
            config=self.config,
            build_environment=self.build_environment,
            shard=self.shard,
            keep_going=keep_going,
            default_label=default_label,
        )


@dataclass(frozen=True, kw_only=True)
class SelectionGroup(Options):
    """The part of a job's plan to run or show."""

    test: tuple[str, ...] = ()
    step: int | None = None
    file: tuple[str, ...] = ()
    case: tuple[str, ...] = ()
    setup: bool = False
    keep_going: bool = False
    added: bool | None = None
    install: bool = True

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options that select a part of a plan."""
        add = parser.add_argument_group("selection").add_argument
        add("--test", action="append", metavar="NAME", help="only this test (repeatable)")
        add(
            "--step",
            type=integer(1),
            metavar="N",
            help="only this step of the one --test, without the job's set-up",
        )
        add("--file", action="append", metavar="NAME", help="only this test file (repeatable)")
        add("--case", action="append", metavar="NAME", help="only this test case (repeatable)")
        add("--setup", action="store_true", help="run the job's set-up before a single step")
        add("--keep-going", action="store_true", help="continue after a failed test")
        add(
            "--added",
            action=argparse.BooleanOptionalAction,
            help="with or without the tests that test.sh does not have (default: with, but "
            "dispatch leaves them out)",
        )
        add("--no-install", dest="install", action="store_false", help="skip install steps")

    @property
    def is_partial(self) -> bool:
        """Whether only a part of the job's tests is selected."""
        return bool(self.test) or self.is_one_step

    @property
    def is_one_step(self) -> bool:
        """Whether a single step is selected."""
        return self.step is not None or bool(self.file or self.case)


@dataclass(frozen=True, kw_only=True)
class LimitGroup(Options):
    """The limits of a run, in seconds, the hardware check, and whether to wait for other runs."""

    timeout: float | None = None
    step_timeout: float | None = None
    hardware_check: bool = True
    wait: bool = True

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options that limit a run."""
        add = parser.add_argument_group("limits").add_argument
        add("--timeout", metavar="TIME", help="time limit of the job, such as 90, 15m or 2h")
        add("--step-timeout", metavar="TIME", help="time limit of each step")
        add(
            "--no-hardware-check",
            dest="hardware_check",
            action="store_false",
            help="run even if the machine lacks devices that the job needs",
        )
        add(
            "--no-wait",
            dest="wait",
            action="store_false",
            help="fail if another run uses the checkout (default: wait for up to ten minutes)",
        )


@dataclass(frozen=True, kw_only=True)
class RecordGroup(Options):
    """The storage of records, and what the screen shows of a run."""

    quiet: bool = False
    verbose: bool = False
    records: str | None = None
    keep_days: int | None = None
    junit: str | None = None

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options for records."""
        output = parser.add_argument_group("output").add_mutually_exclusive_group()
        output.add_argument(
            "-v",
            "--verbose",
            action="store_true",
            help="log what each step gets: folder, changed variables, conditions, answers",
        )
        output.add_argument(
            "-q",
            "--quiet",
            action="store_true",
            help="do not show the output of steps; logs have it",
        )
        add = parser.add_argument_group("records").add_argument
        add(
            "--records",
            metavar="DIR",
            help="folder for records (default: .ci-sessions in the root of the checkout)",
        )
        add(
            "--keep-days",
            type=integer(0),
            metavar="N",
            help="first remove records older than N days",
        )
        add("--junit", metavar="FILE", help="also write the results as a JUnit report")


@dataclass(frozen=True, kw_only=True)
class MinutesGroup(Options):
    """Whether to estimate how long a job takes, and from which times."""

    minutes: bool = False
    times: str | None = None

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options for the estimate."""
        add = parser.add_argument_group("minutes").add_argument
        add(
            "--minutes",
            action="store_true",
            help="ask the checkout's run_test.py how long its steps take",
        )
        add("--times", metavar="FILE", help="timing file for --minutes")


def integer(least: int, most: int = 1_000_000) -> Callable[[str], int]:
    """Return a parser for integers from ``least`` to ``most``, for use by argparse."""

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else -1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{shown(text)} is not an integer from {least:,}")
        return number

    return parse


def parse_duration(text: str, option: str) -> float:
    """Parse a duration such as ``90``, ``90s``, ``15m`` or ``2h``; return seconds."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|m|min|h)?", text.strip())
    duration = float(match[1]) * _UNITS[match[2] or ""] if match else 0.0
    if not 0 < duration <= _MAX_DURATION:
        raise InputError(
            f"{option} is {shown(text)}: use a number of seconds, or a time such as 15m."
        )
    return duration


def parse_options(kind: type[O], argv: Sequence[str], context: Context) -> O:
    """Parse the options of a command. Raises InputError if they are invalid."""
    prog = quote_all(context.program)
    parser = OptionParser(prog=prog, allow_abbrev=False, description=context.summary)
    has_config = context.config is not None
    for group in reversed(kind.__mro__):
        if issubclass(group, Options) and "add_arguments" in vars(group):
            group.add_arguments(parser, has_config=has_config)
    if "_ARGCOMPLETE" in context.environment.variables:
        from ci_sessions.cli.completion import complete_options  # noqa: PLC0415 - only for that

        complete_options(parser)
    parsed = vars(parser.parse_args(list(argv)))
    _check_given(parsed)
    if issubclass(kind, JobGroup):
        parsed["config"] = _one_config(context.config, parsed)
    parsed = {name: tuple(v) if isinstance(v, list) else v for name, v in parsed.items()}
    for name in ("timeout", "step_timeout"):
        if parsed.get(name):
            parsed[name] = parse_duration(parsed[name], f"--{name.replace('_', '-')}")
    if parsed.get("step") is not None and len(parsed["test"] or ()) != 1:
        raise InputError("--step selects a step of one test: add one --test NAME.")
    defaults = {item.name: item.default for item in dataclasses.fields(kind)}
    return kind(**{name: defaults[name] if v is None else v for name, v in parsed.items()})


def _check_given(parsed: dict[str, Any]) -> None:
    """Raise InputError for an option without a value, or with ``--`` for one.

    Before Python 3.13 argparse reads ``--config=--`` as an empty list.
    """
    for name, value in parsed.items():
        if value in ("", "--", [], [[]]):
            option = name.removesuffix("_option").replace("_", "-")
            given = "empty" if value == "" else "'--'"
            raise InputError(f"{option} is {given}: give a value, or leave it out.")


def _one_config(given: str | None, parsed: dict[str, Any]) -> str | None:
    """Return the configuration that the options name. Raises InputError if they name two."""
    option = parsed.pop("config_option", None)
    names = [name for name in (given, parsed.get("config"), option) if name is not None]
    if len(set(names)) > 1:
        raise InputError(
            f"two configurations are given, {shown(names[0])} and {shown(names[1])}: use one."
        )
    return names[0] if names else None
