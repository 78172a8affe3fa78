"""Every environment variable that the script or its tests read: name, type, and who sets it.

This is the only module with these names in it (``emergency.py`` repeats the few that it needs; a
test compares them). Everything else is derived from the table: how a job is read, its JSON form,
what a workflow passes to a job, and what a command that repeats a job must set.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["BY_NAME", "VARIABLES", "Inputs", "Origin", "Variable"]

T = TypeVar("T")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


class Origin(enum.Enum):
    """What a variable's value depends on."""

    JOB = "job"  # the four that identify a job
    WORKFLOW = "workflow"  # set by the workflow: part of the job
    COMMIT = "commit"  # which change is tested
    MACHINE = "machine"  # paths and settings of the machine
    RUNNER = "runner"  # read by ci_sessions itself, not by the script
    SECRET = "secret"  # noqa: S105 - not a secret itself


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Variable(Generic[T]):
    """One variable. ``parse`` raises ValueError with a hint on what to use instead.

    ``affects_plan``: the plan depends on its value; other variables only reach the tests.
    ``is_repeated``: a command that repeats the job elsewhere must set it.
    """

    name: str
    parse: Callable[[str], T]
    default: T
    origin: Origin
    affects_plan: bool = False
    is_repeated: bool = False

    @property
    def is_secret(self) -> bool:
        """Whether its value must never be shown."""
        return self.origin is Origin.SECRET

    @property
    def is_part_of_job(self) -> bool:
        """Whether the job's JSON contains it."""
        return self.origin is Origin.WORKFLOW


def _parse_string(text: str) -> str:
    return text


def _parse_words(text: str) -> tuple[str, ...]:
    """Split at whitespace, as the shell does with an unquoted variable."""
    return tuple(text.split())


def _parse_flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("use 1 to turn it on, or 0 or an empty value to turn it off")
    return word in _TRUE


def _parse_number(text: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,6}", text.strip()) is None:
        raise ValueError("use a whole number, such as 1")
    return int(text)


def _is_one(text: str) -> bool:
    return text == "1"


def _is_not_false(text: str) -> bool:
    return text.strip().lower() not in _FALSE


def _string(
    name: str, origin: Origin, *, plan: bool = False, repeat: bool = False
) -> Variable[str]:
    return Variable(
        name=name,
        parse=_parse_string,
        default="",
        origin=origin,
        affects_plan=plan,
        is_repeated=repeat,
    )


def _words(name: str, origin: Origin, *, repeat: bool = True) -> Variable[tuple[str, ...]]:
    return Variable(
        name=name,
        parse=_parse_words,
        default=(),
        origin=origin,
        affects_plan=True,
        is_repeated=repeat,
    )


def _flag(
    name: str,
    *,
    parse: Callable[[str], bool] = _parse_flag,
    origin: Origin = Origin.WORKFLOW,
    plan: bool = False,
    repeat: bool = True,
) -> Variable[bool]:
    return Variable(
        name=name,
        parse=parse,
        default=False,
        origin=origin,
        affects_plan=plan,
        is_repeated=repeat,
    )


def _number(name: str) -> Variable[int]:
    return Variable(name=name, parse=_parse_number, default=1, origin=Origin.JOB, affects_plan=True)


def _secret(name: str) -> Variable[str]:
    return _string(name, Origin.SECRET)


# These identify a job. There are options for them, which repeat commands use instead.
TEST_CONFIG = _string("TEST_CONFIG", Origin.JOB, plan=True)
BUILD_ENVIRONMENT = _string("BUILD_ENVIRONMENT", Origin.JOB, plan=True)
SHARD_NUMBER = _number("SHARD_NUMBER")
NUM_TEST_SHARDS = _number("NUM_TEST_SHARDS")

# Set by a workflow and read by the script.
TESTS_TO_INCLUDE = _words("TESTS_TO_INCLUDE", Origin.WORKFLOW)
TESTS_TO_EXCLUDE = _words("TESTS_TO_EXCLUDE", Origin.WORKFLOW)
PYTHON_TEST_EXTRA_OPTION = _words("PYTHON_TEST_EXTRA_OPTION", Origin.WORKFLOW)
OP_BENCHMARK_TESTS = _words("OP_BENCHMARK_TESTS", Origin.WORKFLOW)
DASHBOARD_TAG = _string("DASHBOARD_TAG", Origin.WORKFLOW, plan=True, repeat=True)
BASELINE_INDEX_URL = _string("BASELINE_INDEX_URL", Origin.WORKFLOW, plan=True, repeat=True)
EXPORT_PROFILER_TRACE = _flag("EXPORT_PROFILER_TRACE", parse=_is_one, plan=True)
IN_WHEEL_TEST = _flag("IN_WHEEL_TEST", parse=bool, plan=True)
USE_ARC = _flag("USE_ARC", parse=bool, plan=True)
CONTINUE_THROUGH_ERROR = _flag("CONTINUE_THROUGH_ERROR", plan=True)
PYTORCH_TEST_RERUN_DISABLED_TESTS = _flag("PYTORCH_TEST_RERUN_DISABLED_TESTS", plan=True)
# In a terminal it would only turn on GitHub's log groups, so it is not repeated.
GITHUB_ACTIONS = _flag("GITHUB_ACTIONS", parse=bool, plan=True, repeat=False)

# Set by a workflow for the tests; the script only passes them on.
PYTORCH_TEST_CUDA_MEM_LEAK_CHECK = _flag("PYTORCH_TEST_CUDA_MEM_LEAK_CHECK")
NO_TEST_TIMEOUT = _flag("NO_TEST_TIMEOUT")
VERBOSE_TEST_LOGS = _flag("VERBOSE_TEST_LOGS")
TEST_SHOWLOCALS = _string("TEST_SHOWLOCALS", Origin.WORKFLOW, repeat=True)
NO_TD = _string("NO_TD", Origin.WORKFLOW, repeat=True)
TD_DISTRIBUTED = _string("TD_DISTRIBUTED", Origin.WORKFLOW, repeat=True)
ENABLE_TORCH_TRACE = _string("ENABLE_TORCH_TRACE", Origin.WORKFLOW, repeat=True)
EXTRA_FLAGS = _string("EXTRA_FLAGS", Origin.WORKFLOW, repeat=True)
XLA_CUDA = _string("XLA_CUDA", Origin.WORKFLOW, repeat=True)
TRANSFORMERS_OFFLINE = _string("TRANSFORMERS_OFFLINE", Origin.WORKFLOW, repeat=True)
HF_DATASETS_OFFLINE = _string("HF_DATASETS_OFFLINE", Origin.WORKFLOW, repeat=True)

# The change that is tested.
SHA1 = _string("SHA1", Origin.COMMIT, plan=True, repeat=True)
BASE_SHA = _string("BASE_SHA", Origin.COMMIT, plan=True, repeat=True)
REENABLED_ISSUES = _string("REENABLED_ISSUES", Origin.COMMIT, repeat=True)
PR_NUMBER = _string("PR_NUMBER", Origin.COMMIT, repeat=True)
BRANCH = _string("BRANCH", Origin.COMMIT)
GITHUB_SHA = _string("GITHUB_SHA", Origin.COMMIT)

# The machine. LD_PRELOAD and LD_LIBRARY_PATH are not repeated: the script only extends them, and
# other machines have their own values.
LD_PRELOAD = _string("LD_PRELOAD", Origin.MACHINE, plan=True)
LD_LIBRARY_PATH = _string("LD_LIBRARY_PATH", Origin.MACHINE, plan=True)
OMP_NUM_THREADS = _string("OMP_NUM_THREADS", Origin.MACHINE, plan=True)
JOB_NAME = _string("JOB_NAME", Origin.MACHINE, repeat=True)  # by which run_test.py finds test times
RUNNER_TEMP = _string("RUNNER_TEMP", Origin.MACHINE, plan=True, repeat=True)
HF_CACHE = _string("HF_CACHE", Origin.MACHINE, plan=True, repeat=True)
CUSTOM_TEST_ARTIFACT_BUILD_DIR = _string(
    "CUSTOM_TEST_ARTIFACT_BUILD_DIR", Origin.MACHINE, plan=True, repeat=True
)
SUDO = _words("SUDO", Origin.MACHINE)

# Read by ci_sessions itself.
USE_PYTHON_TEST_RUNNER = _string("USE_PYTHON_TEST_RUNNER", Origin.RUNNER)
NO_SHELL_FALLBACK = _flag("NO_SHELL_FALLBACK", parse=_is_one, origin=Origin.RUNNER, repeat=False)
CI = _flag("CI", parse=_is_not_false, origin=Origin.RUNNER, repeat=False)
GITHUB_STEP_SUMMARY = _string("GITHUB_STEP_SUMMARY", Origin.RUNNER)
NO_COLOR = _string("NO_COLOR", Origin.RUNNER)

# Passed on to the tests, never shown.
HUGGING_FACE_HUB_TOKEN = _secret("HUGGING_FACE_HUB_TOKEN")
SCRIBE_GRAPHQL_ACCESS_TOKEN = _secret("SCRIBE_GRAPHQL_ACCESS_TOKEN")

VARIABLES: tuple[Variable[object], ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Variable)
)
"""All variables, in the order above."""

BY_NAME: Mapping[str, Variable[object]] = MappingProxyType({one.name: one for one in VARIABLES})
_INPUTS = tuple(
    one.name for one in VARIABLES if one.origin in (Origin.WORKFLOW, Origin.COMMIT, Origin.MACHINE)
)
SECRET_NAMES = frozenset(one.name for one in VARIABLES if one.is_secret)
JOB_VARIABLES: tuple[Variable[Any], ...] = (
    TEST_CONFIG,
    BUILD_ENVIRONMENT,
    SHARD_NUMBER,
    NUM_TEST_SHARDS,
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """A job's input variables: ``inputs[VARIABLE]`` is a parsed value, ``raw`` the strings."""

    raw: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    values: Mapping[str, object] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )

    def __getitem__(self, variable: Variable[T]) -> T:
        return self.values.get(variable.name, variable.default)  # type: ignore[return-value]

    @classmethod
    def parse(cls, environment: Mapping[str, str], problems: list[str]) -> Inputs:
        """Parse the inputs in ``environment``; append a message for each invalid one."""
        raw = {name: environment[name] for name in _INPUTS if environment.get(name)}
        values = dict(_parse(raw, problems))
        return cls(MappingProxyType(raw), MappingProxyType(values))

    def with_value(self, variable: Variable[T], value: T, raw: str) -> Inputs:
        """Return the inputs with one replaced: its parsed value, and its string for the script."""
        strings = {**self.raw, variable.name: raw}
        values = {**self.values, variable.name: value}
        return Inputs(MappingProxyType(strings), MappingProxyType(values))

    def mapped(self, change: Callable[[str], str]) -> Inputs:
        """Return the inputs with every string changed."""
        return Inputs.parse({name: change(text) for name, text in self.raw.items()}, [])


def _parse(raw: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, object]]:
    for name, text in raw.items():
        try:
            yield name, BY_NAME[name].parse(text)
        except ValueError as error:
            problems.append(f"{name} is {shown(text)}: {error}.")
