"""What commands print as JSON, and what runs record, is valid by the schemas in the package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from ci_sessions.gate.verdict import Action
from ci_sessions.plan.plan import TestKind
from ci_sessions.plan.step import Expect, Kind
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Reason, Runner
from ci_sessions.records.verdict import JobVerdict

SCHEMAS = {
    path.name: json.loads(path.read_text())
    for path in (ROOT / "ci_sessions" / "resources" / "schemas").glob("*.json")
}
REGISTRY = Registry().with_resources(
    (name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)
JOB = {"config": "jit_legacy", "build_environment": "linux-jammy-py3.10-gcc11"}
ENUMS = {
    "outcome": Outcome,
    "runner": Runner,
    "reason": Reason,
    "shadow": JobVerdict,
    "test_kind": TestKind,
    "expect": Expect,
}


def errors_in(name, value):
    """Return what a schema says against a value."""
    validator = Draft202012Validator(SCHEMAS[name], registry=REGISTRY)
    return [f"{error.json_path}: {error.message:.300}" for error in validator.iter_errors(value)]


def run(*args, code=0, stdin="", **variables):
    """Run a command as a user does, and return its output."""
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-m", "ci_sessions", *map(str, args)],
        cwd=ROOT / "examples" / "checkout",
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Records of a green, a red, a shadowed and a part of a job."""
    folder = tmp_path_factory.mktemp("records")
    path = f"{sys.exec_prefix}/bin:/usr/bin:/bin"
    run("run", "jit_legacy", "-q", "--records", folder, PATH=path)
    broken = tmp_path_factory.mktemp("broken") / "checkout"
    shutil.copytree(ROOT / "examples" / "checkout", broken)
    with (broken / "test" / "test_jit_legacy.py").open("a") as file:
        file.write(
            "\n\nclass TestRed(unittest.TestCase):\n    def test_red(self):\n        1 / 0\n"
        )
    run("run", "jit_legacy", "-q", "--records", folder, "--checkout", broken, code=1, PATH=path)
    for flag in ("shadow", "1"):
        run(
            "dispatch", "--config", "docs_test", "--records", folder,
            PATH=path, USE_PYTHON_TEST_RUNNER=flag,
        )  # fmt: skip
    return folder


def test_every_schema_is_a_schema():
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)
        assert schema["title"]
        assert schema["description"]


def test_plans():
    for config in ("jit_legacy", "python", "distributed", "libtorch_agnostic_targetting", "timm"):
        assert errors_in("plan.schema.json", json.loads(run("plan", config, "--json"))) == []
    dry = run("dispatch", "--config", "smoke", "--dry-run", "--json", USE_PYTHON_TEST_RUNNER="1")
    assert errors_in("plan.schema.json", json.loads(dry)) == []


def test_explanations():
    found = json.loads(run("explain", "inductor_distributed", "--shard", "1/2", "--json"))
    assert errors_in("explain.schema.json", found) == []
    assert found["row"].endswith("config has inductor_distributed")
    assert any("a ROCm build" in one["names"] for one in found["variants"])
    assert any(one["exports"] for one in found["variants"])


def test_many_plans_and_the_jobs_that_cannot_be_planned():
    text = json.dumps(JOB) + '\n{"config": "no-such"}\nnot JSON\n'
    lines = run("plan", "--jobs", "-", stdin=text, code=2).splitlines()
    assert [errors_in("plan-line.schema.json", json.loads(line)) for line in lines] == [[], [], []]


def test_the_plans_of_all_scheduled_jobs_are_lines_of_the_format():
    matrix = json.loads(run("matrix", "--workflow", "trunk.yml"))
    assert errors_in("matrix.schema.json", matrix) == []
    lines = run("plan", "--jobs", "-", stdin=json.dumps(matrix)).splitlines()
    assert len(lines) == len(matrix["include"]) > 40
    assert [line for line in lines if errors_in("plan-line.schema.json", json.loads(line))] == []


def test_records(records):
    files = list(records.glob("runs/*.jsonl"))
    events = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    assert {event["event"] for event in events} == {
        "run started", "step started", "step ended", "run ended",
    }  # fmt: skip
    assert [error for event in events for error in errors_in("record.schema.json", event)] == []
    assert any(event.get("route", {}).get("shadow") for event in events)
    assert any(event["cases"]["failed"] for event in events if event.get("cases"))


def test_an_event_of_another_kind_or_type_is_not_valid(records):
    path = next(records.glob("runs/*.jsonl"))
    first = json.loads(path.read_text().splitlines()[0])
    for change in ({"event": "run paused"}, {"format": 2}, {"runner": "perl"}, {"started": 7}):
        assert errors_in("record.schema.json", {**first, **change})


def test_history_and_rollout(records):
    history = json.loads(run("history", "--records", records, "--json"))
    assert len(history) >= 4
    assert errors_in("history.schema.json", history) == []
    rollout = json.loads(run("rollout", "--records", records, "--json"))
    assert errors_in("rollout.schema.json", rollout) == []
    forecast = json.loads(
        run("rollout", "--records", records, "--plan", "--runs-per-day", "20", "--json")
    )
    assert errors_in("rollout-plan.schema.json", forecast) == []


def test_parity():
    assert errors_in("parity.schema.json", json.loads(run("parity", "--json", "--no-cache"))) == []


def enums_in(schema, key=""):
    """Yield each closed set of values in a schema, with the key whose value it is."""
    if isinstance(schema, dict):
        if "enum" in schema:
            yield key, schema["enum"]
        for name, part in schema.items():
            inner = key if name in ("anyOf", "oneOf", "items") else name
            yield from enums_in(part, inner)
    elif isinstance(schema, list):
        for part in schema:
            yield from enums_in(part, key)


@pytest.mark.parametrize(
    "name", ["record.schema.json", "history.schema.json", "plan.schema.json", "parity.schema.json"]
)
def test_closed_sets_are_those_of_the_code(name):
    for key, values in enums_in(SCHEMAS[name]):
        if key in ENUMS:
            assert set(values) - {"running"} == {one.value for one in ENUMS[key]}, key
    kinds = [
        set(values) for _, values in enums_in(SCHEMAS["plan.schema.json"]) if "helper" in values
    ]
    assert kinds
    assert all(one == {kind.value for kind in Kind} for one in kinds)
    totals = SCHEMAS["parity.schema.json"]["$defs"]["totals"]["properties"]
    assert set(totals) == {verdict.value for verdict in JobVerdict}
    verdict = SCHEMAS["rollout.schema.json"]["$defs"]["configuration"]["properties"]["verdict"]
    assert set(verdict["enum"]) == {action.value for action in Action}


def test_what_runs_where():
    jobs = json.dumps(
        [
            {**JOB, "shard": 1, "num_shards": 1, "workflows": ["pull.yml"]},
            {**JOB, "config": "default"},
        ]
    )
    for name, words in {
        "where": ("where", "test_jit_legacy"),
        "shards": ("shards", "default", "--target-minutes", "20"),
        "audit": ("audit",),
    }.items():
        found = json.loads(run(*words, "--json", "--no-cache", "--jobs", "-", stdin=jobs))
        assert errors_in(f"{name}.schema.json", found) == []
        assert found
