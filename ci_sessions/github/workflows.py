"""The jobs that a checkout's own ``.github/workflows`` schedule for its test script.

A workflow counts if one of its steps calls the script. The jobs come from its test matrix, which
is passed to reusable workflows as a YAML string (``test-matrix``) and back through a build job's
outputs. Their variables come from the step's ``env``.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci_sessions import clock
from ci_sessions.checkout.files import read_regular, reason_of
from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.github.expressions import UNKNOWN, evaluate, fill_template
from ci_sessions.github.safe_yaml import parse_yaml
from ci_sessions.job import variables as v
from ci_sessions.job.job_json import job_variables, merge_jobs
from ci_sessions.log import logger
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["read_workflows"]

_MAX_DEPTH = 6  # reusable workflows that call one another; GitHub allows 4
_MAX_FILE_SIZE = 2 << 20  # bytes
_MAX_MATRIX = 2_000  # entries of one matrix; GitHub allows 256
_MAX_EXCLUDES = 200  # combinations that one matrix excludes
_MAX_ENTRIES = 50_000  # entries of all matrices together
_MAX_TIME = 20.0  # seconds
_JOB_NAMES = tuple(one.name for one in v.JOB_VARIABLES)
_INPUT_NAMES = tuple(one.name for one in v.VARIABLES if one.is_part_of_job)
_EXPORT = re.compile(r"^\s*export (\w+)=['\"]?([\w.-]*)['\"]?\s*$", re.MULTILINE)
_GITHUB = {"repository_owner": "pytorch", "repository": "pytorch/pytorch"}
_NO_VALUE = (None, "", False)
_LOCAL = ("./", "$/")  # references to a workflow of the same repository, old and new


def read_workflows(
    root: Path, script: str, only: str | None = None, *, per_runner: bool = False
) -> list[dict[str, Any]]:
    """Return each distinct job that the checkout's workflows run ``script`` for, as JSON objects.

    ``only`` is the name of a workflow: then others that cannot be read are left out. With
    ``per_runner``, jobs that differ only in their runner are distinct.

    Raises CheckoutError if there are no workflows or one cannot be read, and MissingToolError
    without a YAML library. Jobs that are computed at run time are left out, with a warning.
    """
    folder = root / ".github" / "workflows"
    files = sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])
    if not files:
        raise CheckoutError(
            f"{folder} contains no workflows: pass the jobs with --jobs FILE, or name one "
            "configuration."
        )
    reader = _Reader({path.name: path for path in files}, script, only)
    return merge_jobs(reader.jobs(), per_runner=per_runner)


def _load(path: Path) -> dict[str, Any]:
    """Read a workflow; empty if it is no mapping. Raises CheckoutError if it cannot be read."""
    try:
        data = parse_yaml(read_regular(path, _MAX_FILE_SIZE).decode(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CheckoutError(f"{path} cannot be read: {reason_of(error)}.") from error
    except InputError as error:
        raise CheckoutError(*error.problems) from error
    return data if isinstance(data, dict) else {}


@dataclass(slots=True)
class _Reader:
    """All workflows of a checkout, by file name. ``end`` is in monotonic time."""

    paths: Mapping[str, Path]
    script: str
    only: str | None = None
    warned: set[str] = field(default_factory=set)
    entries: int = 0
    end: float = field(default_factory=lambda: clock.monotonic() + _MAX_TIME)
    _files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def file(self, name: str) -> dict[str, Any]:
        """Return the content of a workflow, which is read once."""
        if name not in self._files:
            self._files[name] = _load(self.paths[name])
        return self._files[name]

    def jobs(self) -> Iterator[dict[str, Any]]:
        for name in self.paths:
            try:
                if not _is_only_called(self.file(name)):
                    yield from self.workflow(name, {}, name, 0)
            except InputError as error:
                self.warn(f"{name} is left out: {error}")
            except CheckoutError as error:  # about this file, or one that it calls
                if self.only in (None, name):
                    raise
                self.warn(f"{name} is left out: {error}")

    def workflow(
        self, name: str, inputs: Mapping[str, Any], top: str, depth: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the jobs of one workflow that is called with ``inputs``."""
        jobs = _mapping(self.file(name).get("jobs"), "jobs")
        if depth > _MAX_DEPTH:
            self.warn(
                f"{top}: the jobs of {name} are left out: more than {_MAX_DEPTH} nested workflows"
            )
            return
        for key, job in jobs.items():
            if not isinstance(job, dict):
                continue
            siblings = _Jobs(jobs, inputs)
            try:
                if _may_run(job.get("if"), siblings):
                    yield from self.job(job, siblings, top, depth)
            except (InputError, RecursionError) as error:
                self.warn(f"{top}: job {key} of {name} is left out: {error}")

    def job(
        self, job: dict[str, Any], jobs: _Jobs, top: str, depth: int
    ) -> Iterator[dict[str, Any]]:
        for entry in _matrix_entries(job, jobs):
            self.check_limits()
            context = {**jobs.context(), "matrix": entry}
            if "uses" in job:
                called = str(job["uses"]).rpartition("/")[2].partition("@")[0]
                if str(job["uses"]).startswith(_LOCAL) and called in self.paths:
                    given = _fill_templates(_mapping(job.get("with"), "with"), context, UNKNOWN)
                    inputs = {**_defaults(self.file(called)), **given}
                    yield from self.workflow(called, inputs, top, depth + 1)
                continue
            for step in _sequence(job.get("steps"), "steps"):
                if isinstance(step, dict) and self.script in str(step.get("run", "")):
                    yield _job(step, job, context, top)

    def check_limits(self) -> None:
        """Count a matrix entry. Raises CheckoutError if there are too many jobs to read."""
        self.entries += 1
        if self.entries > _MAX_ENTRIES:
            raise CheckoutError(f"the workflows have more than {_MAX_ENTRIES:,} matrix entries.")
        if clock.monotonic() > self.end:
            raise CheckoutError(
                f"the workflows could not be read within {_MAX_TIME:g} s: pass the jobs with "
                "--jobs FILE."
            )

    def warn(self, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            logger.warning("%s", text)


@dataclass(frozen=True, slots=True)
class _Jobs:
    """The jobs and inputs of a workflow, from which the values in one job come."""

    all: Mapping[str, Any]
    inputs: Mapping[str, Any]

    def context(self) -> dict[str, Any]:
        return {"inputs": self.inputs, "needs": self.needs(), "github": _GITHUB}

    def needs(self) -> dict[str, Any]:
        """Return the outputs of all jobs: a build job passes on the matrix that it was given."""
        return {
            name: {"outputs": dict(_mapping(job.get("with"), "with"))}
            for name, job in self.all.items()
            if isinstance(job, dict)
        }


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    """Return a mapping that may be missing. Raises InputError for a value of another type."""
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{what} is {shown(value)}: it must be a mapping.")
    return value or {}


def _sequence(value: object, what: str) -> list[Any]:
    """Return a list that may be missing. Raises InputError for a value of another type."""
    if value is not None and not isinstance(value, list):
        raise InputError(f"{what} is {shown(value)}: it must be a list.")
    return value or []


def _may_run(condition: object, jobs: _Jobs) -> bool:
    """Return whether a job's ``if`` can be true, given what is known before the run."""
    if condition is None or isinstance(condition, bool):
        return condition is not False
    text = str(condition).strip()
    text = text.removeprefix("${{").removesuffix("}}") if text.startswith("${{") else text
    value = evaluate(text, {**jobs.context(), "matrix": {}})
    return value is UNKNOWN or bool(value)


def _matrix_entries(job: Mapping[str, Any], jobs: _Jobs) -> Iterator[dict[str, Any]]:
    """Yield each combination of a job's matrix; a single empty one without a matrix."""
    matrix = _mapping(job.get("strategy"), "strategy").get("matrix")
    if matrix is None:
        yield {}
        return
    if isinstance(matrix, str):
        matrix = _resolve_matrix(matrix, jobs)
    matrix = {
        key: _parse_yaml(fill_template(value, jobs.context()))
        for key, value in _mapping(matrix, "matrix").items()
    }
    include = _sequence(matrix.pop("include", None), "include")
    include = [entry for entry in include if isinstance(entry, dict)]
    exclude = _sequence(matrix.pop("exclude", None), "exclude")
    axes = {key: values for key, values in matrix.items() if isinstance(values, list)}
    size = math.prod(map(len, axes.values())) + len(include)
    if size > _MAX_MATRIX:
        raise InputError(f"its matrix has {size:,} entries: at most {_MAX_MATRIX:,} are read.")
    if len(exclude) > _MAX_EXCLUDES:
        raise InputError(
            f"its matrix has {len(exclude):,} exclusions: at most {_MAX_EXCLUDES:,} are read."
        )
    if axes:
        for values in itertools.product(*axes.values()):
            entry = dict(zip(axes, values, strict=True))
            if not any(_matches(entry, one) for one in exclude):
                yield entry
    yield from include


def _matches(entry: Mapping[str, Any], pattern: object) -> bool:
    return isinstance(pattern, dict) and all(entry.get(k) == v for k, v in pattern.items())


def _resolve_matrix(text: str, jobs: _Jobs) -> dict[str, Any]:
    """Return the matrix that an expression refers to.

    A filter job between the input and the matrix (``needs.filter.outputs.test-matrix``) only
    removes entries that labels of a pull request exclude, so the input is used in its place.
    """
    if any(jobs.inputs.get(name) is UNKNOWN for name in re.findall(r"\binputs\.([\w-]+)", text)):
        raise InputError(f"its matrix {shown(text)} is known only at run time.")
    value = _parse_yaml(
        fill_template(re.sub(r"\b[fF]romJSON\(([^()]*)\)", r"\1", text), jobs.context())
    )
    if value in _NO_VALUE:
        value = _parse_yaml(jobs.inputs.get("test-matrix"))
    if not isinstance(value, dict):
        raise InputError(f"its matrix {shown(text)} is known only at run time.")
    return value


def _parse_yaml(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Parse a string that contains YAML, such as a test matrix; return other values unchanged."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    return parse_yaml(value, "a matrix")


def _fill_templates(
    values: Mapping[str, Any], context: Mapping[str, Any], unknown: object = None
) -> dict[str, Any]:
    """Fill in the templates of a mapping, and of the values that they refer to."""
    filled = {}
    for key, value in values.items():
        found = fill_template(value, context, unknown)
        for _ in range(_MAX_DEPTH):
            if not isinstance(found, str) or "${{" not in found:
                break
            found = fill_template(found, context, unknown)
        filled[key] = found
    return filled


def _triggers(workflow: Mapping[Any, Any]) -> Any:  # noqa: ANN401 - a string, a list or a mapping
    """Return the value of ``on``, a key that YAML 1.1 reads as true."""
    return workflow.get("on", workflow.get(True))


def _is_only_called(workflow: Mapping[Any, Any]) -> bool:
    """Return whether a workflow runs only where others call it, and is counted there."""
    triggers = _triggers(workflow)
    is_mapping = isinstance(triggers, dict) and set(triggers) == {"workflow_call"}
    return is_mapping or triggers == "workflow_call"


def _defaults(workflow: Mapping[Any, Any]) -> dict[str, Any]:
    triggers = _triggers(workflow)
    call = triggers.get("workflow_call") if isinstance(triggers, dict) else None
    inputs = _mapping(_mapping(call, "workflow_call").get("inputs"), "inputs")
    return {
        name: one["default"]
        for name, one in inputs.items()
        if isinstance(one, dict) and "default" in one
    }


def _job(
    step: Mapping[str, Any], job: Mapping[str, Any], context: Mapping[str, Any], top: str
) -> dict[str, Any]:
    """Return the job that a step runs, from its and its job's ``env``, and from its exports.

    Raises InputError if a value cannot be a variable.
    """
    run = str(step["run"])
    given = {**_mapping(job.get("env"), "env"), **_mapping(step.get("env"), "env")}
    env = _fill_templates(given, context)
    env.update((name, value) for name, value in _EXPORT.findall(run) if name in _JOB_NAMES)
    if f"-e {v.GITHUB_ACTIONS.name}" in run:
        env[v.GITHUB_ACTIONS.name] = "true"
    unset = (*_NO_VALUE, "0", 0)
    inputs = {name: str(env[name]) for name in _INPUT_NAMES if env.get(name) not in unset}
    found = {
        "build_environment": str(env.get(v.BUILD_ENVIRONMENT.name) or ""),
        "config": str(env.get(v.TEST_CONFIG.name) or ""),
        "shard": _number(env.get(v.SHARD_NUMBER.name)),
        "num_shards": _number(env.get(v.NUM_TEST_SHARDS.name)),
        "runner": _runner(job, context),
        "workflows": [top],
    }
    found |= {"env": inputs} if inputs else {}
    job_variables(found)
    return found


def _runner(job: Mapping[str, Any], context: Mapping[str, Any]) -> str | list[str]:
    """Return the label of the job's runner, or its labels; empty if it is none of both."""
    entry = context.get("matrix") or {}
    label = entry.get("runner") or fill_template(job.get("runs-on"), context)
    if isinstance(label, list) and all(isinstance(one, str) for one in label):
        return label
    return label if isinstance(label, str) else ""


def _number(value: object) -> object:
    text = str(value if value is not None else "1")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text
