"""The jobs that a checkout's own ``.github/workflows`` schedule for its test script.

A workflow counts if one of its steps calls the script. The jobs come from its test matrix, which
is passed to reusable workflows as a YAML string (``test-matrix``) and back through a build job's
outputs. Their variables come from the step's ``env``.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ci_sessions import clock
from ci_sessions.checkout.files import read_regular, reason_of
from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.github.expressions import UNKNOWN, evaluate, fill_template
from ci_sessions.github.safe_yaml import parse_yaml
from ci_sessions.github.step import (
    GITHUB,
    NO_VALUE,
    Origin,
    fill_templates,
    job_of_step,
    mapping,
    sequence,
    triggers,
)
from ci_sessions.job.job_json import merge_jobs
from ci_sessions.log import logger
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Schedule", "file_name", "read_schedule", "read_workflows", "workflow_files"]

_MAX_DEPTH = 6  # reusable workflows that call one another; GitHub allows 4
_MAX_FILE_SIZE = 2 << 20  # bytes
_MAX_MATRIX = 2_000  # entries of one matrix; GitHub allows 256
_MAX_EXCLUDES = 200  # combinations that one matrix excludes
_MAX_ENTRIES = 50_000  # entries of all matrices together
_MAX_TIME = 20.0  # seconds
_SUFFIXES = (".yml", ".yaml")
_LOCAL = ("./", "$/")  # references to a workflow of the same repository, old and new


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The jobs that workflows run the script for, as JSON, and those that cannot be read.

    A job's ``environments`` are those in which workflows run it: the name of the ``workflow``, its
    ``job``, the ``variables`` that reach the script besides the job's own, and ``unknown``, the
    names (or patterns of names) of those whose values are known only at run time. A fault has the
    ``workflow``, its ``job`` and the ``reason``.
    """

    jobs: list[dict[str, Any]]
    faults: list[dict[str, str]]


def read_workflows(
    root: Path, script: str, only: str | None = None, *, per_runner: bool = False
) -> list[dict[str, Any]]:
    """Return each distinct job that the checkout's workflows run ``script`` for, as JSON objects.

    ``only`` is the name of a workflow: then others that cannot be read are left out. With
    ``per_runner``, jobs that differ only in their runner are distinct.

    Raises CheckoutError if there are no workflows or one cannot be read, and MissingToolError
    without a YAML library. Jobs that are computed at run time are left out, with a warning; those
    whose workflow is missing, with an error.
    """
    schedule = read_schedule(workflow_files(root), script, only, per_runner=per_runner)
    for fault in schedule.faults:
        logger.error("%s: job %s: %s", fault["workflow"], fault["job"], fault["reason"])
    return [
        {key: value for key, value in job.items() if key != "environments"} for job in schedule.jobs
    ]


def file_name(workflow: str) -> str:
    """Return the file name of a workflow: ``pull.yml`` for ``pull``."""
    return workflow if workflow.endswith(_SUFFIXES) else f"{workflow}.yml"


def workflow_files(root: Path) -> dict[str, Path]:
    """Return a checkout's workflows by file name. Raises CheckoutError if there are none."""
    folder = root / ".github" / "workflows"
    files = {path.name: path for path in sorted(folder.glob("*")) if path.suffix in _SUFFIXES}
    if not files:
        raise CheckoutError(
            f"{folder} contains no workflows: pass the jobs with --jobs FILE, or name one "
            "configuration."
        )
    return files


def read_schedule(
    files: Mapping[str, Path | bytes],
    script: str,
    only: str | None = None,
    *,
    per_runner: bool = False,
) -> Schedule:
    """Read the jobs of workflows, given by file name as paths or contents; see read_workflows.

    With ``only``, faults and warnings are those of that workflow.
    """
    reader = _Reader(files, script, only)
    return Schedule(jobs=merge_jobs(reader.jobs(), per_runner=per_runner), faults=reader.faults)


def _load(source: Path | bytes, name: str) -> dict[str, Any]:
    """Read a workflow; empty if it is no mapping. Raises CheckoutError if it cannot be read."""
    path = name if isinstance(source, bytes) else source
    try:
        text = source if isinstance(source, bytes) else read_regular(source, _MAX_FILE_SIZE)
        data = parse_yaml(text.decode(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CheckoutError(f"{path} cannot be read: {reason_of(error)}.") from error
    except InputError as error:
        raise CheckoutError(*error.problems) from error
    return data if isinstance(data, dict) else {}


@dataclass(slots=True)
class _Reader:
    """All workflows of a checkout, by file name. ``end`` is in monotonic time."""

    paths: Mapping[str, Path | bytes]
    script: str
    only: str | None = None
    warned: set[str] = field(default_factory=set)
    faults: list[dict[str, str]] = field(default_factory=list)
    entries: int = 0
    end: float = field(default_factory=lambda: clock.monotonic() + _MAX_TIME)
    _files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def file(self, name: str) -> dict[str, Any]:
        """Return the content of a workflow, which is read once."""
        if name not in self._files:
            self._files[name] = _load(self.paths[name], name)
        return self._files[name]

    def jobs(self) -> Iterator[dict[str, Any]]:
        for name in self.paths:
            try:
                if not _is_only_called(self.file(name)):
                    origin = Origin(top=name, started=self.file(name))
                    yield from self.workflow(name, {}, origin, 0)
            except InputError as error:
                self.warn(f"{name} is left out: {error}")
            except CheckoutError as error:  # about this file, or one that it calls
                if self.only in (None, name):
                    raise
                self.warn(f"{name} is left out: {error}")

    def workflow(
        self, name: str, inputs: Mapping[str, Any], origin: Origin, depth: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the jobs of one workflow that is called with ``inputs``."""
        jobs, top = mapping(self.file(name).get("jobs"), "jobs"), origin.top
        called_by = f" (called by job {origin.caller} of {top})" if origin.caller else ""
        if depth > _MAX_DEPTH:
            self.warn(
                f"{top}: the jobs of {name} are left out: more than {_MAX_DEPTH} nested workflows"
                f"{called_by}",
                top,
            )
            return
        for key, job in jobs.items():
            if not isinstance(job, dict):
                continue
            siblings = _Jobs(jobs, inputs)
            one = replace(origin, file=self.file(name), key=str(key))
            try:
                if _may_run(job.get("if"), siblings):
                    yield from self.job(job, siblings, one, depth)
            except (InputError, RecursionError) as error:
                self.warn(f"{top}: job {key} of {name} is left out: {error}{called_by}", top)

    def job(
        self, job: dict[str, Any], jobs: _Jobs, origin: Origin, depth: int
    ) -> Iterator[dict[str, Any]]:
        for entry in _matrix_entries(job, jobs):
            self.check_limits()
            context = {**jobs.context(), "matrix": entry}
            if "uses" in job:
                uses = str(job["uses"])
                called = uses.rpartition("/")[2].partition("@")[0]
                caller = replace(origin, caller=origin.caller or origin.key)
                if not uses.startswith(_LOCAL):
                    continue
                if called not in self.paths:
                    self.report_missing(called, caller)
                    continue
                given = fill_templates(mapping(job.get("with"), "with"), context)
                inputs = {**_defaults(self.file(called)), **given}
                yield from self.workflow(called, inputs, caller, depth + 1)
                continue
            for step in sequence(job.get("steps"), "steps"):
                if isinstance(step, dict) and self.script in str(step.get("run", "")):
                    try:
                        yield job_of_step(step, job, origin, context, self.script)
                    except InputError as error:
                        self.warn_of_entry(entry, error, origin)

    def warn_of_entry(self, entry: Mapping[str, Any], error: InputError, origin: Origin) -> None:
        """Warn that one entry of a matrix is left out; the others are not affected."""
        config = f" for {shown(entry['config'])}" if "config" in entry else ""
        called_by = f" (called by job {origin.caller} of {origin.top})" if origin.caller else ""
        self.warn(
            f"{origin.top}: job {origin.key}{config} is left out: {error}{called_by}", origin.top
        )

    def report_missing(self, called: str, caller: Origin) -> None:
        fault = {
            "workflow": caller.top,
            "job": caller.caller,
            "reason": f"it calls the workflow {called}, which does not exist.",
        }
        if self.only in (None, caller.top) and fault not in self.faults:
            self.faults.append(fault)

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

    def warn(self, text: str, top: str | None = None) -> None:
        """Warn once; about a job of ``top`` only if that is the workflow that was asked for."""
        if (self.only is None or top in (None, self.only)) and text not in self.warned:
            self.warned.add(text)
            logger.warning("%s", text)


@dataclass(frozen=True, slots=True)
class _Jobs:
    """The jobs and inputs of a workflow, from which the values in one job come."""

    all: Mapping[str, Any]
    inputs: Mapping[str, Any]

    def context(self) -> dict[str, Any]:
        return {"inputs": self.inputs, "needs": self.needs(), "github": GITHUB}

    def needs(self) -> dict[str, Any]:
        """Return the outputs of all jobs: a build job passes on the matrix that it was given."""
        return {
            name: {"outputs": dict(mapping(job.get("with"), "with"))}
            for name, job in self.all.items()
            if isinstance(job, dict)
        }


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
    matrix = mapping(job.get("strategy"), "strategy").get("matrix")
    if matrix is None:
        yield {}
        return
    if isinstance(matrix, str):
        matrix = _resolve_matrix(matrix, jobs)
    matrix = {
        key: _parse_yaml(fill_template(value, jobs.context()))
        for key, value in mapping(matrix, "matrix").items()
    }
    include = sequence(matrix.pop("include", None), "include")
    include = [entry for entry in include if isinstance(entry, dict)]
    exclude = sequence(matrix.pop("exclude", None), "exclude")
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
    if value in NO_VALUE:
        value = _parse_yaml(jobs.inputs.get("test-matrix"))
    if not isinstance(value, dict):
        raise InputError(f"its matrix {shown(text)} is known only at run time.")
    return value


def _parse_yaml(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Parse a string that contains YAML, such as a test matrix; return other values unchanged."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    return parse_yaml(value, "a matrix")


def _is_only_called(workflow: Mapping[Any, Any]) -> bool:
    """Return whether a workflow runs only where others call it, and is counted there."""
    found = triggers(workflow)
    return found == "workflow_call" or (isinstance(found, dict) and set(found) == {"workflow_call"})


def _defaults(workflow: Mapping[Any, Any]) -> dict[str, Any]:
    found = triggers(workflow)
    call = found.get("workflow_call") if isinstance(found, dict) else None
    inputs = mapping(mapping(call, "workflow_call").get("inputs"), "inputs")
    return {
        name: one["default"]
        for name, one in inputs.items()
        if isinstance(one, dict) and "default" in one
    }
