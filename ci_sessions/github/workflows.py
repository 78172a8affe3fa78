"""The jobs that a checkout's own ``.github/workflows`` schedule for its test script.

A workflow counts when one of its steps calls the script. What the job is, its test matrix says,
handed down through reusable workflows as a text of YAML (``test-matrix``) and up through a build
job's outputs; which variables it gets, the ``env`` of the step says.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import CheckoutError, InputError, MissingToolError
from ci_sessions.github.expressions import UNKNOWN, evaluate, fill_template
from ci_sessions.job import variables as v
from ci_sessions.job.job_json import merge_lines
from ci_sessions.log import logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["read_workflows"]

_DEEPEST = 6  # reusable workflows that call one another; GitHub allows 4
_NAMES = tuple(one.name for one in v.NAMES_A_JOB)
_CHOICES = tuple(one.name for one in v.VARIABLES if one.is_part_of_job)
_EXPORT = re.compile(r"^\s*export (\w+)=['\"]?([\w.-]*)['\"]?\s*$", re.MULTILINE)
_GITHUB = {"repository_owner": "pytorch", "repository": "pytorch/pytorch"}
_NO_VALUE = (None, "", False)


def read_workflows(root: Path, script: str) -> list[dict[str, Any]]:
    """Return every job that the checkout's workflows run ``script`` for, each once, as job lines.

    Raises CheckoutError where there are no workflows or one is no YAML, and MissingToolError
    without a YAML library. What a workflow computes at run time only is left out with a warning.
    """
    folder = root / ".github" / "workflows"
    files = sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])
    if not files:
        raise CheckoutError(
            f"{folder} holds no workflows: name the jobs with --jobs FILE, or one by its "
            "configuration."
        )
    reader = _Reader(_load(files), script)
    return merge_lines(reader.jobs())


def _load(files: list[Path]) -> dict[str, dict[str, Any]]:
    try:
        import yaml  # noqa: PLC0415 - only those who read workflows need it
    except ImportError as error:
        raise MissingToolError(
            "reading workflows needs PyYAML: pip install 'ci-sessions[workflows]', or name the "
            "jobs with --jobs FILE."
        ) from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    def load(path: Path) -> object:
        try:
            return yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 - a safe one
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise CheckoutError(f"{path} is not YAML: {error}") from error

    found = {path.name: load(path) for path in files}
    return {name: data for name, data in found.items() if isinstance(data, dict)}


@dataclass(slots=True)
class _Reader:
    """All workflows of a checkout, by file name."""

    files: Mapping[str, dict[str, Any]]
    script: str
    warned: set[str] = field(default_factory=set)

    def jobs(self) -> Iterator[dict[str, Any]]:
        for name, data in self.files.items():
            triggers = _triggers(data)
            if triggers == "workflow_call" or (
                isinstance(triggers, dict) and set(triggers) == {"workflow_call"}
            ):
                continue  # counted where it is called
            yield from self.workflow(name, {}, name, 0)

    def workflow(
        self, name: str, inputs: Mapping[str, Any], top: str, depth: int
    ) -> Iterator[dict[str, Any]]:
        """Give the jobs of one workflow that is given ``inputs``."""
        jobs = self.files.get(name, {}).get("jobs") or {}
        if depth > _DEEPEST:
            self.warn(f"{top}: {name} calls workflows more than {_DEEPEST} deep")
            return
        for key, job in jobs.items():
            if not isinstance(job, dict):
                continue
            siblings = _Jobs(jobs, inputs)
            try:
                if _may_run(job.get("if"), siblings):
                    yield from self.job(job, siblings, top, depth)
            except InputError as error:
                self.warn(f"{top}: the job {key} of {name} is left out: {error}")

    def job(
        self, job: dict[str, Any], jobs: _Jobs, top: str, depth: int
    ) -> Iterator[dict[str, Any]]:
        for entry in _entries(job, jobs):
            context = {**jobs.context(), "matrix": entry}
            if "uses" in job:
                called = str(job["uses"]).rpartition("/")[2].partition("@")[0]
                if str(job["uses"]).startswith("./") and called in self.files:
                    given = _filled(job.get("with") or {}, context)
                    inputs = {**_defaults(self.files[called]), **given}
                    yield from self.workflow(called, inputs, top, depth + 1)
                continue
            for step in job.get("steps") or ():
                if isinstance(step, dict) and self.script in str(step.get("run", "")):
                    yield _line(step, context, top)

    def warn(self, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            logger.warning("%s", text)


@dataclass(frozen=True, slots=True)
class _Jobs:
    """The jobs of a workflow, with its inputs: where one job's values come from."""

    all: Mapping[str, Any]
    inputs: Mapping[str, Any]

    def context(self) -> dict[str, Any]:
        return {"inputs": self.inputs, "needs": self.needs(), "github": _GITHUB}

    def needs(self) -> dict[str, Any]:
        """Return what jobs hand on: a build job passes through the matrix that it was given."""
        return {
            name: {"outputs": dict(job.get("with") or {})}
            for name, job in self.all.items()
            if isinstance(job, dict)
        }


def _may_run(condition: object, jobs: _Jobs) -> bool:
    """Tell whether a job's ``if`` leaves it a chance: only what a run decides is left open."""
    if condition is None or isinstance(condition, bool):
        return condition is not False
    text = str(condition).strip()
    text = text.removeprefix("${{").removesuffix("}}") if text.startswith("${{") else text
    value = evaluate(text, {**jobs.context(), "matrix": {}})
    return value is UNKNOWN or bool(value)


def _entries(job: Mapping[str, Any], jobs: _Jobs) -> Iterator[dict[str, Any]]:
    """Give each combination of a job's matrix; one empty one where it has none."""
    matrix = (job.get("strategy") or {}).get("matrix")
    if matrix is None:
        yield {}
        return
    if isinstance(matrix, str):
        matrix = _handed_down(matrix, jobs)
    matrix = {key: _parsed(fill_template(value, jobs.context())) for key, value in matrix.items()}
    include = [entry for entry in matrix.pop("include", None) or () if isinstance(entry, dict)]
    exclude = matrix.pop("exclude", None) or ()
    axes = {key: values for key, values in matrix.items() if isinstance(values, list)}
    if axes:
        for values in itertools.product(*axes.values()):
            entry = dict(zip(axes, values, strict=True))
            if not any(_fits(entry, one) for one in exclude):
                yield entry
    yield from include


def _fits(entry: Mapping[str, Any], pattern: object) -> bool:
    return isinstance(pattern, dict) and all(entry.get(k) == v for k, v in pattern.items())


def _handed_down(text: str, jobs: _Jobs) -> dict[str, Any]:
    """Return a matrix that an expression names.

    A filter job between the input and the matrix (``needs.filter.outputs.test-matrix``) hands on
    what it was given, less what labels of a pull request ask to leave out: the input stands for it.
    """
    value = _parsed(
        fill_template(re.sub(r"\b[fF]romJSON\(([^()]*)\)", r"\1", text), jobs.context())
    )
    if value in _NO_VALUE:
        value = _parsed(jobs.inputs.get("test-matrix"))
    if not isinstance(value, dict):
        raise InputError(f"its matrix {text!r} is known at run time only.")
    return value


def _parsed(value: Any) -> Any:  # noqa: ANN401 - YAML holds anything
    """Read a text that holds YAML, such as a test matrix; other values stay as they are."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    import yaml  # noqa: PLC0415 - as above

    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"a matrix is not YAML: {error}") from error


def _filled(values: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a call's inputs, following a build job's outputs to what that job was given."""
    filled = {}
    for key, value in values.items():
        found = fill_template(value, context)
        for _ in range(_DEEPEST):
            if not isinstance(found, str) or "${{" not in found:
                break
            found = fill_template(found, context)
        filled[key] = found
    return filled


def _triggers(workflow: Mapping[Any, Any]) -> Any:  # noqa: ANN401 - a text, a list or a mapping
    """Return what stands under ``on``, which YAML 1.1 reads as true."""
    return workflow.get("on", workflow.get(True))


def _defaults(workflow: Mapping[Any, Any]) -> dict[str, Any]:
    triggers = _triggers(workflow)
    call = triggers.get("workflow_call") if isinstance(triggers, dict) else None
    inputs = (call or {}).get("inputs") or {}
    return {
        name: one["default"]
        for name, one in inputs.items()
        if isinstance(one, dict) and "default" in one
    }


def _line(step: Mapping[str, Any], context: Mapping[str, Any], top: str) -> dict[str, Any]:
    """Return the job that a step runs: the variables of its ``env`` and those that it exports."""
    run = str(step["run"])
    env = _filled(step.get("env") or {}, context)
    env.update((name, value) for name, value in _EXPORT.findall(run) if name in _NAMES)
    if f"-e {v.GITHUB_ACTIONS.name}" in run:
        env[v.GITHUB_ACTIONS.name] = "true"
    more = {name: str(env[name]) for name in _CHOICES if env.get(name) not in (*_NO_VALUE, "0", 0)}
    line = {
        "build_environment": str(env.get(v.BUILD_ENVIRONMENT.name) or ""),
        "config": str(env.get(v.TEST_CONFIG.name) or ""),
        "shard": _number(env.get(v.SHARD_NUMBER.name)),
        "num_shards": _number(env.get(v.NUM_TEST_SHARDS.name)),
        "runner": str((context.get("matrix") or {}).get("runner") or ""),
        "workflows": [top],
    }
    return {**line, "env": more} if more else line


def _number(value: object) -> object:
    text = str(value if value is not None else "1")
    return int(text) if text.isdigit() else text
