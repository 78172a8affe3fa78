"""A job as a JSON object: one writer, and one reader that validates.

``{"config": …, "build_environment": …, "shard": 1, "num_shards": 2, "env": {…}}``, as in the
recorded traces. ``job_to_json`` adds ``id``; ``runner`` and ``workflows`` say where a job is
scheduled. Other keys are preserved and ignored.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InputError
from ci_sessions.job import variables as v
from ci_sessions.job.environment import Environment
from ci_sessions.job.job import Job, accept_any_config, read_job
from ci_sessions.text import for_log, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_sessions.job.job import ConfigLookup

__all__ = [
    "describe_job_json",
    "job_from_json",
    "job_to_json",
    "job_variables",
    "merge_jobs",
    "parse_jobs",
]

_KEYS = {
    v.TEST_CONFIG.name: "config",
    v.BUILD_ENVIRONMENT.name: "build_environment",
    v.SHARD_NUMBER.name: "shard",
    v.NUM_TEST_SHARDS.name: "num_shards",
}


def job_to_json(job: Job) -> dict[str, Any]:
    """Return a job as a JSON object: what identifies it, and the inputs that its workflow sets."""
    env = {name: value for name, value in job.inputs.raw.items() if v.BY_NAME[name].is_part_of_job}
    data: dict[str, Any] = {
        "id": job.id,
        "config": job.config,
        "build_environment": job.build.label,
        "shard": job.shard.number,
        "num_shards": job.shard.total,
    }
    return {**data, "env": env} if env else data


def job_from_json(data: Any, lookup: ConfigLookup = accept_any_config) -> Job:  # noqa: ANN401 - any JSON value
    """Return the job that a JSON object describes, whatever the environment. Raises InputError."""
    return read_job(Environment(job_variables(data), "the job's JSON"), lookup=lookup)


def job_variables(data: Any) -> dict[str, str]:  # noqa: ANN401 - any JSON value: this validates it
    """Return the variables that identify a job to the script. Raises InputError on bad input."""
    if not isinstance(data, dict):
        raise InputError(
            f"a job is {data!r:.200}: use an object with config and build_environment."
        )
    workflows = data.get("workflows", [])
    if not isinstance(workflows, list) or not all(isinstance(name, str) for name in workflows):
        raise InputError(f"a job's workflows are {workflows!r:.200}: use a list of names.")
    extra = data.get("env") or {}
    if not isinstance(extra, dict):
        raise InputError(
            f"a job's env is {extra!r:.200}: use an object of variable names and strings."
        )
    for name in extra:
        if not name.isidentifier():
            raise InputError(f"a job's env contains {name!r:.200}: use a valid variable name.")
    given = {name: _to_string(key, data[key]) for name, key in _KEYS.items() if key in data}
    return {**{name: _to_string(name, value) for name, value in extra.items()}, **given}


def _to_string(key: str, value: object) -> str:
    is_valid = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if not is_valid or "\0" in str(value):
        raise InputError(
            f"a job's {key} is {value!r:.200}: use a string without null bytes, or a number."
        )
    return str(value)


def describe_job_json(data: Mapping[str, Any]) -> str:
    """Return a job's name in reports, on one line: configuration, label, shard, variables."""
    extra = " ".join(f"{name}={value}" for name, value in (data.get("env") or {}).items())
    shard = f"shard {data.get('shard', 1)} of {data.get('num_shards', 1)}"
    text = f"{data.get('config', '')}, {data.get('build_environment', '')}, {shard}"
    return for_log(f"{text}, {extra}" if extra else text).replace("\n", "\\n")


def parse_jobs(text: str, source: str) -> list[Any]:
    """Parse a JSON list of jobs, a matrix (``{"include": […]}``), or JSON Lines.

    In JSON Lines, an InputError stands for a line that is not JSON. Raises InputError, which names
    ``source``, if there are no jobs.
    """
    text = text.removeprefix("\ufeff")
    jobs = _parse_document(text, source)
    if jobs is None:
        lines = enumerate(text.split("\n"), 1)
        jobs = [_parse_line(line, f"{source}, line {n}") for n, line in lines if line.strip()]
    if not jobs:
        raise InputError(f"{source} contains no jobs.")
    # A recorded trace has its job under a key.
    return [job["job"] if isinstance(job, dict) and "job" in job else job for job in jobs]


def _parse_document(text: str, source: str) -> list[Any] | None:
    """Parse a text that is a single JSON value; None if it consists of lines."""
    try:
        data = _load(text)
    except _RejectedError as error:
        if _consists_of_lines(text):
            return None
        raise InputError(f"{source} is not JSON: {error}.") from error
    except (ValueError, RecursionError):
        return None
    if isinstance(data, dict):
        data = data.get("include", [data])
    return data if isinstance(data, list) else [data]


def _consists_of_lines(text: str) -> bool:
    try:
        json.loads(text.strip().partition("\n")[0])
    except (ValueError, RecursionError):
        return False
    return True


def _parse_line(line: str, source: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return _load(line)
    except (ValueError, RecursionError) as error:
        return InputError(f"{source} is not JSON: {error}.")


class _RejectedError(ValueError):
    """A text is JSON for Python, but its meaning is unclear."""


def _load(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON. Raises ValueError also for what only Python accepts: NaN, and repeated keys."""
    return json.loads(text, object_pairs_hook=_object, parse_constant=_reject_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _RejectedError(f"the key {shown(twice)} appears twice")
    return found


def _reject_constant(name: str) -> None:
    raise _RejectedError(f"{name} is not a number in JSON")


def merge_jobs(
    jobs: Iterable[Mapping[str, Any]], *, per_runner: bool = False
) -> list[dict[str, Any]]:
    """Return each distinct job once, with all workflows that schedule it and its environments.

    Plans do not depend on the runner, so only ``per_runner`` makes jobs that differ in it distinct.
    """
    lists = ("workflows", "environments")
    ignored = lists if per_runner else ("runner", *lists)
    merged: dict[str, dict[str, Any]] = {}
    for job in jobs:
        key = {name: value for name, value in job.items() if name not in ignored}
        empty: dict[str, Any] = {name: [] for name in lists if name in job or name == "workflows"}
        one = merged.setdefault(json.dumps(key, sort_keys=True), {**job, **empty})
        for name in empty:
            one[name] += [item for item in job.get(name, ()) if item not in one[name]]
    return list(merged.values())
