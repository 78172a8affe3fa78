"""A job as one JSON object: one writer, and one reader that checks what others wrote.

``{"config": …, "build_environment": …, "shard": 1, "num_shards": 2, "env": {…}}``, as the recorded
traces write it. A writer of ours adds ``id``; ``runner`` and ``workflows`` say where a job is
scheduled. Other keys are kept, and mean nothing here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InputError
from ci_sessions.job import variables as v
from ci_sessions.job.environment import Environment
from ci_sessions.job.job import Job, any_config, read_job

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_sessions.job.job import ConfigLookup

__all__ = [
    "describe_line",
    "job_from_json",
    "job_to_json",
    "job_variables",
    "merge_lines",
    "read_job_lines",
]

_KEYS = {
    v.TEST_CONFIG.name: "config",
    v.BUILD_ENVIRONMENT.name: "build_environment",
    v.SHARD_NUMBER.name: "shard",
    v.NUM_TEST_SHARDS.name: "num_shards",
}


def job_to_json(job: Job) -> dict[str, Any]:
    """Return the object of a job: its names, and what its workflow chose for it."""
    env = {name: text for name, text in job.inputs.texts.items() if v.BY_NAME[name].is_part_of_job}
    line: dict[str, Any] = {
        "id": job.id,
        "config": job.config,
        "build_environment": job.build.label,
        "shard": job.shard.number,
        "num_shards": job.shard.total,
    }
    return {**line, "env": env} if env else line


def job_from_json(line: Any, lookup: ConfigLookup = any_config) -> Job:  # noqa: ANN401 - whatever JSON holds
    """Return the job of an object, which is known by the object alone. Raises InputError."""
    return read_job(Environment(job_variables(line), "the job's line"), lookup=lookup)


def job_variables(line: Any) -> dict[str, str]:  # noqa: ANN401 - as above; this is the check of it
    """Return the variables by which the script knows the job. Raises InputError on others."""
    if not isinstance(line, dict):
        raise InputError(f"a job is {line!r}: give an object with config and build_environment.")
    extra = line.get("env") or {}
    if not isinstance(extra, dict):
        raise InputError(f"a job's env is {extra!r}: give an object of names and texts.")
    for name, value in extra.items():
        if not str(name).isidentifier() or "\0" in str(value):
            raise InputError(f"a job's env has {name!r}={value!r}: that is no variable.")
    given = {name: str(line[key]) for name, key in _KEYS.items() if key in line}
    return {**{name: str(value) for name, value in extra.items()}, **given}


def describe_line(line: Mapping[str, Any]) -> str:
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


def merge_lines(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each job once, with all workflows that schedule it."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        own = {key: value for key, value in line.items() if key not in ("runner", "workflows")}
        one = found.setdefault(json.dumps(own, sort_keys=True), {**line, "workflows": []})
        one["workflows"] += [w for w in line.get("workflows", ()) if w not in one["workflows"]]
    return list(found.values())
