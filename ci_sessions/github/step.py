"""The job that a workflow's step runs, and the environment in which it calls the script.

What a step hands over comes from ``env`` (of the workflow, the job and the step), from its own
shell text, and from the runner. Much of it is known before a run; the rest is listed as unknown, so
that nobody takes it for unset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InputError
from ci_sessions.github.expressions import (
    UNKNOWN,
    fill_template,
    is_known,
    to_string,
    without_marks,
)
from ci_sessions.job import variables as v
from ci_sessions.job.job_json import job_variables
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "GITHUB",
    "NO_VALUE",
    "Origin",
    "fill_templates",
    "job_of_step",
    "mapping",
    "sequence",
    "triggers",
]

GITHUB = {"repository_owner": "pytorch", "repository": "pytorch/pytorch"}
"""What expressions find in ``github``, whatever the run."""
NO_VALUE = (None, "", False)
"""What an input or a variable without a value may be."""

_MAX_DEPTH = 6  # values that refer to values
_JOB_NAMES = tuple(one.name for one in v.JOB_VARIABLES)
_INPUT_NAMES = tuple(one.name for one in v.VARIABLES if one.is_part_of_job)
_EXPORT = re.compile(r"^\s*export (\w+)=['\"]?([\w.-]*)['\"]?\s*$", re.MULTILINE)
_ASSIGNED = re.compile(r"(?<![\w-])([A-Za-z_]\w*)=")
_SET = re.compile(r"\bexport\s+([A-Za-z_]\w*)=")
_WRITTEN = re.compile(r"([A-Za-z_]\w*)(?:=|<<)[^\n]{0,300}>>\s*\"?'?\$\{?GITHUB_ENV\b")
_DOCKER = re.compile(r"\b(?:docker|podman)\s+(?:run|exec)\b")
_PASSED = re.compile(
    r"(?:^|\s)(?:-e|--env)[\s=]+\"?'?([A-Za-z_]\w*)(=?)([\w./-]*)(?=(\s?))", re.MULTILINE
)
_RUNTIME = ("GITHUB_*", "RUNNER_*", "ACTIONS_*", "INPUT_*")
"""The runner sets variables of these names; those whose values are not known here are unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a job comes from: the workflow that was started, and the file that has the job.

    ``top`` is the file's name and ``started`` its content; ``file`` is the content of the file with
    the job, ``key`` the job's name in that, and ``caller`` the job of ``top`` that led there.
    """

    top: str
    started: Mapping[Any, Any] = field(default_factory=dict)
    file: Mapping[Any, Any] = field(default_factory=dict)
    key: str = ""
    caller: str = ""

    def runner_variables(self) -> dict[str, str]:
        """Return the variables that GitHub's runner sets, as far as they are known before a run."""
        name = self.started.get("name")
        found = {
            v.CI.name: "true",
            v.GITHUB_ACTIONS.name: "true",
            "GITHUB_WORKFLOW": str(name) if name else f".github/workflows/{self.top}",
            "GITHUB_JOB": self.key,
            "GITHUB_REPOSITORY": GITHUB["repository"],
            "GITHUB_REPOSITORY_OWNER": GITHUB["repository_owner"],
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_API_URL": "https://api.github.com",
            "GITHUB_GRAPHQL_URL": "https://api.github.com/graphql",
            "RUNNER_OS": "Linux",
        }
        events = [event for event in _events(self.started) if event != "workflow_call"]
        return {**found, "GITHUB_EVENT_NAME": events[0]} if len(events) == 1 else found

    def github(self) -> dict[str, str]:
        """Return what expressions in the ``env`` of a step find in ``github``."""
        runner = self.runner_variables()
        known = ("workflow", "event_name", "server_url", "api_url", "job")
        names = {name: f"GITHUB_{name.upper()}" for name in known}
        return {**GITHUB, **{k: runner[name] for k, name in names.items() if name in runner}}


def triggers(workflow: Mapping[Any, Any]) -> Any:  # noqa: ANN401 - a string, a list or a mapping
    """Return the value of ``on``, a key that YAML 1.1 reads as true."""
    return workflow.get("on", workflow.get(True))


def _events(workflow: Mapping[Any, Any]) -> list[str]:
    found = triggers(workflow)
    return [str(event) for event in found] if isinstance(found, dict | list) else [str(found)]


def mapping(value: object, what: str) -> Mapping[str, Any]:
    """Return a mapping that may be missing. Raises InputError for a value of another type."""
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{what} is {shown(value)}: it must be a mapping.")
    return value or {}


def sequence(value: object, what: str) -> list[Any]:
    """Return a list that may be missing. Raises InputError for a value of another type."""
    if value is not None and not isinstance(value, list):
        raise InputError(f"{what} is {shown(value)}: it must be a list.")
    return value or []


def fill_templates(values: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the templates of a mapping, and of the values that they refer to.

    A value that is known only at run time is ``UNKNOWN``, or contains a mark for its unknown part.
    """
    filled = {}
    for key, value in values.items():
        found = fill_template(value, context, UNKNOWN)
        for _ in range(_MAX_DEPTH):
            if not isinstance(found, str) or "${{" not in found:
                break
            found = fill_template(found, context, UNKNOWN)
        filled[key] = found
    return filled


def job_of_step(
    step: Mapping[str, Any],
    job: Mapping[str, Any],
    origin: Origin,
    context: Mapping[str, Any],
    script: str,
) -> dict[str, Any]:
    """Return the job for which a step runs a script, as JSON, with the script's environment.

    Raises InputError if a value cannot be a variable, or if what identifies the job is known only
    at run time.
    """
    run = str(step["run"])
    is_in_docker = _DOCKER.search(run) is not None
    passed = _passed(run) if is_in_docker else {}
    env = _read_env(step, job, origin, context)
    env.update((name, text) for name, text in _EXPORT.findall(run) if name in _JOB_NAMES)
    for name in _JOB_NAMES:
        if not is_known(env.get(name)):
            raise InputError(f"its {name} is known only at run time.")
    if not is_in_docker or v.GITHUB_ACTIONS.name in passed:
        env[v.GITHUB_ACTIONS.name] = "true"
    unset = (*NO_VALUE, "0", 0)
    inputs = {
        name: to_string(env[name])
        for name in _INPUT_NAMES
        if is_known(env.get(name)) and env.get(name) not in unset
    }
    found = {
        "build_environment": to_string(env.get(v.BUILD_ENVIRONMENT.name) or ""),
        "config": to_string(env.get(v.TEST_CONFIG.name) or ""),
        "shard": _number(env.get(v.SHARD_NUMBER.name)),
        "num_shards": _number(env.get(v.NUM_TEST_SHARDS.name)),
        "runner": _runner(job, context),
        "workflows": [origin.top],
    }
    found |= {"env": inputs} if inputs else {}
    own = job_variables(found)
    computed = _computed(job, step, _PASSED.sub(" ", run) if is_in_docker else run, script)
    everything = {**origin.runner_variables(), **env}
    found["environments"] = [
        {
            "workflow": origin.top,
            "job": origin.caller or origin.key,
            **_handed(everything, own, passed if is_in_docker else None, computed),
        }
    ]
    return found


def _read_env(
    step: Mapping[str, Any], job: Mapping[str, Any], origin: Origin, context: Mapping[str, Any]
) -> dict[str, Any]:
    """Evaluate ``env`` of the workflow, the job and the step; each may refer to the ones before."""
    found: dict[str, Any] = {}
    for level in (origin.file, job, step):
        known = {name: value for name, value in found.items() if is_known(value)}
        scope = {**context, "github": origin.github(), "env": known}
        found |= fill_templates(mapping(level.get("env"), "env"), scope)
    return found


def _computed(job: Mapping[str, Any], step: Mapping[str, Any], run: str, script: str) -> set[str]:
    """Return the variables that shell text of the job sets to values that are not read here."""
    names = set(_SET.findall(run))
    for line in run.splitlines():  # NAME=value script
        if script in line:
            names.update(_ASSIGNED.findall(line.partition(script)[0]))
    for other in sequence(job.get("steps"), "steps"):
        if other is step:
            break
        names.update(_WRITTEN.findall(str(other.get("run", ""))) if isinstance(other, dict) else ())
    return names


def _passed(run: str) -> dict[str, str | None]:
    """Return the variables that are passed into a container, with their own values.

    None: the value of the step. Empty: a value that is not a plain word, so it is not known.
    """
    found: dict[str, str | None] = {}
    for name, equals, word, end in _PASSED.findall(run):
        value = (word if end else "") if equals else None
        # Several containers may get different values.
        found[name] = value if found.get(name, value) == value else ""
    return found


def _handed(
    env: Mapping[str, Any],
    own: Mapping[str, str],
    passed: Mapping[str, str | None] | None,
    computed: Collection[str],
) -> dict[str, Any]:
    """Return the variables besides the job's own that reach the script, and the unknown ones.

    ``passed``: what the step passes into a container that it starts itself (see ``_passed``); what
    else is set there is not known. None if it starts none.
    """
    values: dict[str, str] = {}
    unknown = {name for name in (*computed, *_RUNTIME) if name not in own}
    for name, value in env.items():
        if not (isinstance(name, str) and name.isidentifier()) or name in own or name in unknown:
            continue
        reaches = passed is None or (name in passed and passed[name] is None)
        if not reaches or not is_known(value):
            unknown.add(name)
        elif value is not None and "\0" not in (text := to_string(value)):
            values[name] = text
    for name, word in (passed or {}).items():
        if word and name not in computed and name not in own:
            values[name] = word
            unknown.discard(name)
        elif word is not None and name not in own:
            values.pop(name, None)
            unknown.add(name)
    return {"variables": values, "unknown": sorted(unknown)}


def _runner(job: Mapping[str, Any], context: Mapping[str, Any]) -> str | list[str]:
    """Return the label of the job's runner, or its labels; empty if it is none of both."""
    entry = context.get("matrix") or {}
    label = entry.get("runner") or fill_template(job.get("runs-on"), context)
    if isinstance(label, list) and all(isinstance(one, str) for one in label):
        return [without_marks(one) for one in label]
    return without_marks(label) if isinstance(label, str) else ""


def _number(value: object) -> object:
    text = str(value if value is not None else "1")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text
