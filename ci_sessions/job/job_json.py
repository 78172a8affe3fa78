"""A job as one JSON object, as the recorded traces write it: read, checked, and turned to use.

``{"config": …, "build_environment": …, "shard": 1, "num_shards": 2, "env": {…}}``; ``runner`` and
``workflows`` are kept and say where it is scheduled.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InputError
from ci_sessions.job.environment import Environment
from ci_sessions.job.job import INPUTS, Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_sessions.job.job import ConfigCheck

__all__ = ["job_line", "job_of", "job_variables", "merged", "name_of", "read_job_lines"]

_NAMES = {
    "TEST_CONFIG": "config",
    "BUILD_ENVIRONMENT": "build_environment",
    "SHARD_NUMBER": "shard",
    "NUM_TEST_SHARDS": "num_shards",
}


def job_variables(line: Any) -> dict[str, str]:  # noqa: ANN401 - whatever JSON holds; this is the check of it
    """Return the variables by which the script knows the job. Raises InputError on others."""
    if not isinstance(line, dict):
        raise InputError(f"a job is {line!r}: give an object with config and build_environment.")
    extra = line.get("env") or {}
    if not isinstance(extra, dict):
        raise InputError(f"a job's env is {extra!r}: give an object of names and texts.")
    for name, value in extra.items():
        if not str(name).isidentifier() or "\0" in str(value):
            raise InputError(f"a job's env has {name!r}={value!r}: that is no variable.")
    given = {name: str(line[key]) for name, key in _NAMES.items() if key in line}
    return {**{name: str(value) for name, value in extra.items()}, **given}


def job_of(line: Any, check_config: ConfigCheck | None) -> Job:  # noqa: ANN401 - as above
    """Return the job of a line; a job is known by its line alone."""
    environment = Environment.of(job_variables(line), "the job's line")
    return Job.from_environment(environment, check_config=check_config)


def job_line(job: Job, environment: Environment) -> dict[str, Any]:
    """Return the line of a job that an environment names: nothing else of that environment."""
    more = {name: environment.get(name) for name in INPUTS if environment.get(name)}
    line: dict[str, Any] = {
        "build_environment": job.build.label,
        "config": job.config,
        "shard": job.shard.number,
        "num_shards": job.shard.total,
    }
    return {**line, "env": more} if more else line


def name_of(line: Mapping[str, Any]) -> str:
    """Return how a report calls a job: configuration, label, shard, further variables."""
    extra = " ".join(f"{name}={value}" for name, value in (line.get("env") or {}).items())
    shard = f"shard {line.get('shard', 1)} of {line.get('num_shards', 1)}"
    text = f"{line.get('config', '')}, {line.get('build_environment', '')}, {shard}"
    return f"{text}, {extra}" if extra else text


def read_job_lines(text: str, name: str) -> list[Any]:
    """Read a JSON list of jobs, a matrix (``{"include": […]}``), or a JSON object a line."""
    try:
        if text.lstrip().startswith("["):
            jobs: Any = json.loads(text)
        else:
            jobs = [json.loads(line) for line in text.splitlines() if line.strip()]
            if len(jobs) == 1 and isinstance(jobs[0], dict) and "include" in jobs[0]:
                jobs = jobs[0]["include"]
    except ValueError as error:
        raise InputError(f"{name} is not JSON: {error}.") from error
    # A recorded trace is known by its job.
    return [line["job"] if isinstance(line, dict) and "job" in line else line for line in jobs]


def merged(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each job once, with all workflows that schedule it."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        own = {key: value for key, value in line.items() if key not in ("runner", "workflows")}
        one = found.setdefault(json.dumps(own, sort_keys=True), {**line, "workflows": []})
        one["workflows"] += [w for w in line.get("workflows", ()) if w not in one["workflows"]]
    return list(found.values())
