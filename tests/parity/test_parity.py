"""For every recorded job of PyTorch's workflows, the plan is what the script ran.

``traces.jsonl.xz`` contains 602 jobs recorded from the real script (September 2026), one per line:
the job, the environment that all of its commands share, and the commands in order.
"""

from __future__ import annotations

import json
import lzma
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.job.job_json import job_from_json
from ci_sessions.parity.recording import classify
from ci_sessions.plan.recorded import trace_line

TRACES = Path(__file__).parent / "traces.jsonl.xz"
COMPARISON = ROOT.parent / "shared" / "pytorch-ci"
IGNORED_VARIABLES = {
    "PATH",
    "TERM",
    "PYTHONUNBUFFERED",
}  # plans set these for clean logs; the script sets some of them too


@cache
def traces():
    with lzma.open(TRACES, "rt") as lines:
        return [json.loads(line) for line in lines]


def name(job):
    more = "".join(f" {k}={v}" for k, v in job.get("env", {}).items())[:40]
    return f"{job['config']} {job['build_environment']} {job['shard']}/{job['num_shards']}{more}"


def value(text):
    return ":".join(part for part in text.split(":") if part)


def commands(common, steps, kind):
    """Return normalised argv, cwd and full environment of each command of a kind."""
    found = []
    for step in steps:
        if step["kind"] != kind:
            continue
        env = {**common, **step.get("env", {})}
        env = {k: value(v) for k, v in env.items() if k not in IGNORED_VARIABLES}
        # The recorded checkout was directly in $TMP.
        cwd = step.get("cwd", ".").replace("$TMP", "..").replace("$ROOT/", "").replace("$ROOT", ".")
        found.append((list(step["argv"]), cwd, env if kind == "test" else None))
    return found


def planned(trace):
    plan = plan_job(job_from_json(trace["job"], config_facts), RECORDED)
    line = trace_line(plan, trace["job"])
    steps = [
        step
        for test in line["tests"]
        if test["origin"] == "test.sh" and not test["skipped"]
        for step in test["steps"]
    ]
    return line["env"], steps


def differing(kind):
    bad = {}
    for trace in traces():
        want = commands(trace["env"], trace["commands"], kind)
        have = commands(*planned(trace), kind)
        if want != have:
            first = next(
                (pair for pair in zip(want, have, strict=False) if pair[0] != pair[1]), None
            )
            bad[name(trace["job"])] = first or (len(want), len(have))
    return bad


def test_the_traces_are_complete():
    assert len(traces()) == 602
    assert sum(len(trace["commands"]) for trace in traces()) == 16782


@pytest.mark.parametrize("kind", ["test", "helper", "preflight"])
def test_all_jobs_run_the_same_commands(kind):
    assert differing(kind) == {}


def requirements(steps):
    """Return what is installed or removed, ignoring pip's options."""
    found = set()
    for step in steps:
        words = " ".join(step["argv"])
        match = re.search(r"pip3? (install|uninstall|wheel) (.*)", words)
        if step["kind"] == "install" and match:
            found.add(
                (match[1], *(w for w in match[2].split() if not w.startswith("-") and w != "off"))
            )
    return found


def test_all_jobs_install_the_same_packages():
    bad = [
        name(trace["job"])
        for trace in traces()
        if requirements(trace["commands"]) != requirements(planned(trace)[1])
    ]
    assert bad == []


def test_the_printed_lines_pass_an_independent_comparison(tmp_path):
    """Some machines have a comparison script that shares no code with this project."""
    if not COMPARISON.is_dir():
        pytest.skip("no comparison script on this machine; other tests compare the same traces")
    jobs, plans = tmp_path / "jobs.jsonl", tmp_path / "plans.jsonl"
    jobs.write_text("".join(json.dumps(trace["job"]) + "\n" for trace in traces()))
    with plans.open("w") as out:
        words = [sys.executable, "-m", "ci_sessions", "plan", "--jobs", str(jobs)]
        subprocess.run(words, stdout=out, check=True)
    words = [
        sys.executable,
        str(COMPARISON / "compare.py"),
        str(plans),
        str(COMPARISON / "traces.jsonl"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "parity: 602 of 602 jobs" in done.stdout


def test_commands_are_classified_as_in_the_traces():
    """A different recorder wrote the traces; all 16,782 commands get the same kind from this one."""
    wrong = Counter()
    for trace in traces():
        for command in trace["commands"]:
            argv = tuple(command["argv"])
            if (kind := classify(argv)) != command["kind"]:
                wrong[command["kind"], kind, " ".join(argv)[:80]] += 1
    assert wrong == {}
