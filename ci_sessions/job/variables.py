"""Every variable that the script or its tests take as input: its name, its type, who needs it.

This is the only place that spells these names (``emergency.py`` repeats the few that it needs; a
test compares). Everything else is derived from the table: how a job is read, its JSON form, what a
workflow hands over, what a repeat line must say again.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["BY_NAME", "VARIABLES", "Inputs", "Origin", "Variable"]

T = TypeVar("T")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


class Origin(enum.Enum):
    """Who decides a variable's value."""

    JOB = "job"  # the four that name a job
    WORKFLOW = "workflow"  # a choice of the workflow: part of what the job is
    COMMIT = "commit"  # which change is tested
    MACHINE = "machine"  # paths and settings of the machine at hand
    RUNNER = "runner"  # read by ci_sessions itself, not by the script
    SECRET = "secret"  # noqa: S105 - the word, not one


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Variable(Generic[T]):
    """One input. ``read`` turns its text into a value, and raises ValueError with what to give.

    ``shapes_plan``: another value can change what is planned; the others only reach the tests.
    ``is_repeated``: a line that repeats the job elsewhere must hand it over.
    """

    name: str
    read: Callable[[str], T]
    default: T
    origin: Origin
    shapes_plan: bool = False
    is_repeated: bool = False

    @property
    def is_secret(self) -> bool:
        """Whether its value must never be shown."""
        return self.origin is Origin.SECRET

    @property
    def is_part_of_job(self) -> bool:
        """Whether the job's JSON form carries it."""
        return self.origin is Origin.WORKFLOW


def _read_text(text: str) -> str:
    return text


def _read_words(text: str) -> tuple[str, ...]:
    """Split at white space, as the shell does with an unquoted variable."""
    return tuple(text.split())


def _read_flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("give 1 for yes, or 0 or nothing for no")
    return word in _TRUE


def _read_number(text: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,6}", text.strip()) is None:
        raise ValueError("give a whole number, such as 1")
    return int(text)


def _is_one(text: str) -> bool:
    return text == "1"


def _text(name: str, origin: Origin, *, plan: bool = False, repeat: bool = False) -> Variable[str]:
    return Variable(
        name=name,
        read=_read_text,
        default="",
        origin=origin,
        shapes_plan=plan,
        is_repeated=repeat,
    )


def _words(name: str, origin: Origin, *, repeat: bool = True) -> Variable[tuple[str, ...]]:
    return Variable(
        name=name,
        read=_read_words,
        default=(),
        origin=origin,
        shapes_plan=True,
        is_repeated=repeat,
    )


def _flag(
    name: str,
    *,
    read: Callable[[str], bool] = _read_flag,
    origin: Origin = Origin.WORKFLOW,
    plan: bool = False,
    repeat: bool = True,
) -> Variable[bool]:
    return Variable(
        name=name,
        read=read,
        default=False,
        origin=origin,
        shapes_plan=plan,
        is_repeated=repeat,
    )


def _number(name: str) -> Variable[int]:
    return Variable(name=name, read=_read_number, default=1, origin=Origin.JOB, shapes_plan=True)


def _secret(name: str) -> Variable[str]:
    return _text(name, Origin.SECRET)


# What names a job. Options say the same, so a repeat line uses those.
TEST_CONFIG = _text("TEST_CONFIG", Origin.JOB, plan=True)
BUILD_ENVIRONMENT = _text("BUILD_ENVIRONMENT", Origin.JOB, plan=True)
SHARD_NUMBER = _number("SHARD_NUMBER")
NUM_TEST_SHARDS = _number("NUM_TEST_SHARDS")

# What a workflow chooses, and the script looks at.
TESTS_TO_INCLUDE = _words("TESTS_TO_INCLUDE", Origin.WORKFLOW)
TESTS_TO_EXCLUDE = _words("TESTS_TO_EXCLUDE", Origin.WORKFLOW)
PYTHON_TEST_EXTRA_OPTION = _words("PYTHON_TEST_EXTRA_OPTION", Origin.WORKFLOW)
OP_BENCHMARK_TESTS = _words("OP_BENCHMARK_TESTS", Origin.WORKFLOW)
DASHBOARD_TAG = _text("DASHBOARD_TAG", Origin.WORKFLOW, plan=True, repeat=True)
BASELINE_INDEX_URL = _text("BASELINE_INDEX_URL", Origin.WORKFLOW, plan=True, repeat=True)
EXPORT_PROFILER_TRACE = _flag("EXPORT_PROFILER_TRACE", read=_is_one, plan=True)
IN_WHEEL_TEST = _flag("IN_WHEEL_TEST", read=bool, plan=True)
USE_ARC = _flag("USE_ARC", read=bool, plan=True)
CONTINUE_THROUGH_ERROR = _flag("CONTINUE_THROUGH_ERROR", plan=True)
PYTORCH_TEST_RERUN_DISABLED_TESTS = _flag("PYTORCH_TEST_RERUN_DISABLED_TESTS", plan=True)
# On a person's terminal it would ask for GitHub's groups, so it is not repeated.
GITHUB_ACTIONS = _flag("GITHUB_ACTIONS", read=bool, plan=True, repeat=False)

# What it chooses for the tests; the script only hands these on.
PYTORCH_TEST_CUDA_MEM_LEAK_CHECK = _flag("PYTORCH_TEST_CUDA_MEM_LEAK_CHECK")
NO_TEST_TIMEOUT = _flag("NO_TEST_TIMEOUT")
VERBOSE_TEST_LOGS = _flag("VERBOSE_TEST_LOGS")
TEST_SHOWLOCALS = _text("TEST_SHOWLOCALS", Origin.WORKFLOW, repeat=True)
NO_TD = _text("NO_TD", Origin.WORKFLOW, repeat=True)
TD_DISTRIBUTED = _text("TD_DISTRIBUTED", Origin.WORKFLOW, repeat=True)
ENABLE_TORCH_TRACE = _text("ENABLE_TORCH_TRACE", Origin.WORKFLOW, repeat=True)
EXTRA_FLAGS = _text("EXTRA_FLAGS", Origin.WORKFLOW, repeat=True)
XLA_CUDA = _text("XLA_CUDA", Origin.WORKFLOW, repeat=True)
TRANSFORMERS_OFFLINE = _text("TRANSFORMERS_OFFLINE", Origin.WORKFLOW, repeat=True)
HF_DATASETS_OFFLINE = _text("HF_DATASETS_OFFLINE", Origin.WORKFLOW, repeat=True)

# The change that is tested.
SHA1 = _text("SHA1", Origin.COMMIT, plan=True, repeat=True)
BASE_SHA = _text("BASE_SHA", Origin.COMMIT, plan=True, repeat=True)
REENABLED_ISSUES = _text("REENABLED_ISSUES", Origin.COMMIT, repeat=True)
PR_NUMBER = _text("PR_NUMBER", Origin.COMMIT, repeat=True)
BRANCH = _text("BRANCH", Origin.COMMIT)
GITHUB_SHA = _text("GITHUB_SHA", Origin.COMMIT)

# The machine. The loader's variables are extended by the script, never replaced; whoever repeats a
# job has their own.
LD_PRELOAD = _text("LD_PRELOAD", Origin.MACHINE, plan=True)
LD_LIBRARY_PATH = _text("LD_LIBRARY_PATH", Origin.MACHINE, plan=True)
OMP_NUM_THREADS = _text("OMP_NUM_THREADS", Origin.MACHINE, plan=True)
RUNNER_TEMP = _text("RUNNER_TEMP", Origin.MACHINE, plan=True, repeat=True)
HF_CACHE = _text("HF_CACHE", Origin.MACHINE, plan=True, repeat=True)
CUSTOM_TEST_ARTIFACT_BUILD_DIR = _text(
    "CUSTOM_TEST_ARTIFACT_BUILD_DIR", Origin.MACHINE, plan=True, repeat=True
)
SUDO = _words("SUDO", Origin.MACHINE)

# What ci_sessions itself looks at.
USE_PYTHON_TEST_RUNNER = _text("USE_PYTHON_TEST_RUNNER", Origin.RUNNER)
NO_SHELL_FALLBACK = _flag("NO_SHELL_FALLBACK", read=_is_one, origin=Origin.RUNNER, repeat=False)
CI_SESSIONS_STARTED = _text("CI_SESSIONS_STARTED", Origin.RUNNER)
CI = _text("CI", Origin.RUNNER)
GITHUB_STEP_SUMMARY = _text("GITHUB_STEP_SUMMARY", Origin.RUNNER)

# Handed on to the tests, never shown.
HUGGING_FACE_HUB_TOKEN = _secret("HUGGING_FACE_HUB_TOKEN")
SCRIBE_GRAPHQL_ACCESS_TOKEN = _secret("SCRIBE_GRAPHQL_ACCESS_TOKEN")

VARIABLES: tuple[Variable[object], ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Variable)
)
"""The table, in the order in which it is written above."""

BY_NAME: Mapping[str, Variable[object]] = MappingProxyType({one.name: one for one in VARIABLES})
_INPUTS = tuple(
    one.name for one in VARIABLES if one.origin in (Origin.WORKFLOW, Origin.COMMIT, Origin.MACHINE)
)
NAMES_A_JOB: tuple[Variable[Any], ...] = (
    TEST_CONFIG,
    BUILD_ENVIRONMENT,
    SHARD_NUMBER,
    NUM_TEST_SHARDS,
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs that a job was given. ``inputs[VARIABLE]`` is typed; ``texts`` is as given."""

    texts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    values: Mapping[str, object] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )

    def __getitem__(self, variable: Variable[T]) -> T:
        return cast("T", self.values.get(variable.name, variable.default))

    @classmethod
    def read(cls, texts: Mapping[str, str], faults: list[str]) -> Inputs:
        """Read the table's variables among ``texts``; append a sentence for each that is wrong."""
        given = {name: texts[name] for name in _INPUTS if texts.get(name)}
        values = dict(_read(given, faults))
        return cls(MappingProxyType(given), MappingProxyType(values))

    def with_value(self, variable: Variable[T], value: T, text: str) -> Inputs:
        """Return the inputs with one replaced: its value, and the text that the script takes."""
        texts = {**self.texts, variable.name: text}
        values = {**self.values, variable.name: value}
        return Inputs(MappingProxyType(texts), MappingProxyType(values))

    def mapped(self, change: Callable[[str], str]) -> Inputs:
        """Return the same inputs with every text changed."""
        return Inputs.read({name: change(text) for name, text in self.texts.items()}, [])


def _read(texts: Mapping[str, str], faults: list[str]) -> Iterator[tuple[str, object]]:
    for name, text in texts.items():
        try:
            yield name, BY_NAME[name].read(text)
        except ValueError as error:
            faults.append(f"{name} is {text!r}: {error}.")
