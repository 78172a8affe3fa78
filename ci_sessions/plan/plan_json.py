"""Writes a plan as JSON, and reads it back.

A step always has its first five keys; other fields are left out if they have their default value.
It also has ``id`` and ``shell``, for people and tools; these are ignored when reading.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InputError
from ci_sessions.job.job_json import job_from_json, job_to_json
from ci_sessions.plan.facts import Condition, Executables, Question
from ci_sessions.plan.plan import DeviceNeed, Plan, Test, TestKind
from ci_sessions.plan.shell import ShellWriter
from ci_sessions.plan.step import (
    Command,
    Expect,
    ForEach,
    Kind,
    Policy,
    Program,
    ShellFunction,
    SourcedFile,
    Step,
)
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import DataclassInstance

__all__ = ["STRUCTURE", "plan_from_json", "plan_to_json"]

FORMAT = 3
STRUCTURE = frozenset(
    ("format", "id", "name", "kind", "row", "device", "config", "build_environment", "shard")
)
"""Keys whose values are this package's own words, and so never a secret."""
Json = dict[str, Any]


def plan_to_json(plan: Plan) -> Json:
    """Return the whole plan as JSON values."""
    writer = ShellWriter(plan.questions)

    def steps(part: str, all_steps: tuple[Step, ...]) -> list[Json]:
        return [
            {
                "id": plan.step_id(part, step.number),
                **_step_to_json(step),
                "shell": writer.guarded_line(step),
            }
            for step in all_steps
        ]

    return {
        "format": FORMAT,
        "job": job_to_json(plan.job),
        "row": plan.row,
        "suites": list(plan.suites),
        "needs": _fields(plan.needs, "device", "count"),
        "notices": list(plan.notices),
        "drops_core_dumps": plan.drops_core_dumps,
        "env": dict(plan.env),
        "questions": [_fields(question) for question in plan.used_questions().values()],
        "setup": steps("setup", plan.setup),
        "tests": [
            {
                "name": test.name,
                "kind": str(test.kind),
                "replaces": list(test.replaces),
                "skipped": test.skipped,
                "steps": steps(test.name, test.steps),
            }
            for test in plan.tests
        ],
        "cleanup": steps("cleanup", plan.cleanup),
    }


def _fields(value: DataclassInstance, *always: str) -> Json:
    """Return a dataclass's fields as a dict, without those that are empty or at their default."""
    found: Json = {}
    for item in dataclasses.fields(value):
        field = getattr(value, item.name)
        if item.name in always or field not in (None, False, (), "", item.default):
            found[item.name] = list(field) if isinstance(field, tuple) else field
    return found


def _step_to_json(step: Step) -> Json:
    data: Json = {
        "number": step.number,
        "kind": str(step.kind),
        "argv": list(step.argv),
        "cwd": step.cwd,
        "env": dict(step.env),
    }
    if step.is_test:
        data["is_test"] = True
    command = _command_to_json(step.command)
    if command:
        data["command"] = command
    policy = _fields(step.policy)
    if policy:
        data["policy"] = {key: str(v) if key == "expect" else v for key, v in policy.items()}
    if step.when is not None:
        data["when"] = _fields(step.when)
    if step.skipped is not None:
        data["skipped"] = step.skipped
    return data


def _command_to_json(command: Command) -> Json:
    """Return a command's properties except its arguments; empty for a plain program."""
    match command:
        case Program():
            return {}
        case ShellFunction():
            stdout = {"stdout": command.stdout} if command.stdout is not None else {}
            return {"function": True, "sources": list(command.sources), **stdout}
        case SourcedFile():
            return {"sourced": True, "exports": command.exports}
        case ForEach():
            return {"for_each": _fields(command.executables)}


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    """Read a plan from ``plan_to_json``. Raises InputError for another format."""
    if data.get("format") != FORMAT:
        raise InputError(
            f"the plan's format is {shown(data.get('format'))}, but this version reads format "
            f"{FORMAT}: create the plan again with this version."
        )
    questions = {item["name"]: Question(**item) for item in data["questions"]}
    tests = (
        Test(
            name=test["name"],
            kind=TestKind(test["kind"]),
            replaces=tuple(test["replaces"]),
            skipped=test["skipped"],
            steps=tuple(map(_step_from_json, test["steps"])),
        )
        for test in data["tests"]
    )
    return Plan(
        job=job_from_json(data["job"]),
        row=data["row"],
        suites=tuple(data["suites"]),
        env=data["env"],
        setup=tuple(map(_step_from_json, data["setup"])),
        tests=tuple(tests),
        cleanup=tuple(map(_step_from_json, data["cleanup"])),
        needs=DeviceNeed(**data["needs"]),
        drops_core_dumps=data["drops_core_dumps"],
        notices=tuple(data["notices"]),
        questions=MappingProxyType(questions),
    )


def _step_from_json(data: Mapping[str, Any]) -> Step:
    policy = dict(data.get("policy", {}))
    if "expect" in policy:
        policy["expect"] = Expect(policy["expect"])
    if "retry_waits" in policy:
        policy["retry_waits"] = tuple(policy["retry_waits"])
    return Step(
        kind=Kind(data["kind"]),
        command=_command_from_json(tuple(data["argv"]), data.get("command", {})),
        cwd=data["cwd"],
        env=data["env"],
        policy=Policy(**policy),
        is_test=data.get("is_test", False),
        when=Condition(**data["when"]) if "when" in data else None,
        skipped=data.get("skipped"),
        number=data["number"],
    )


def _command_from_json(argv: tuple[str, ...], data: Mapping[str, Any]) -> Command:
    if data.get("function"):
        return ShellFunction(argv, tuple(data["sources"]), data.get("stdout"))
    if data.get("sourced"):
        return SourcedFile(argv[1:], exports=data["exports"])
    if "for_each" in data:
        found = data["for_each"]
        return ForEach(Executables(name=found["name"], patterns=tuple(found["patterns"])), argv)
    return Program(argv)
