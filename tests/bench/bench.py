"""Benchmarks of operations that scale with the number of jobs.

Machines differ and are noisy, so compare ratios, not seconds. Each result is the best of a few
rounds, relative to a plain baseline on the same data.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ci_sessions.catalogue.table import listed_configs
from ci_sessions.checkout.locate import sample_checkout
from ci_sessions.cli.plan import plan_jobs
from ci_sessions.gate.evidence import Evidence, collect_evidence
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.gate.verdict import judge
from ci_sessions.parity.pool import trace_jobs
from ci_sessions.parity.profile import read_profile
from ci_sessions.parity.staging import read_stage
from ci_sessions.records.query import read_summaries

TRACES = Path(__file__).parents[1] / "parity" / "traces.jsonl.xz"
RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
ROUNDS = 3
LINES = 500_000  # of 100 bytes
STEPS = 6  # steps of a run, each with two events that a summary skips


def best(work):
    """Return the shortest time of a few rounds, in seconds."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def plan_all(lines):
    """Plan all recorded jobs and print their lines."""
    plan_jobs(lines, io.StringIO())


def trace_sample():
    """Trace the sample's script for each configuration, with two workers and no cache."""
    root, profile = sample_checkout(), read_profile()
    stage = read_stage(root, ".ci/pytorch/test.sh", profile)
    jobs = [{"TEST_CONFIG": config, "BUILD_ENVIRONMENT": "linux"} for config in listed_configs()]
    return list(trace_jobs(jobs, stage, profile, workers=2))


def write_runs(folder):
    """Write a generated history: RUNS runs in 100 files, like merged artifacts."""
    configs = list(read_rollout().configurations)
    for part in range(100):
        with (folder / f"{part}.jsonl").open("w") as out:
            for n in range(part, RUNS, 100):
                runner = "python" if n // 100 % 2 else "shell"
                job = {"config": configs[n % len(configs)], "id": f"job-{n % 5000}"}
                start = {
                    "event": "run started", "format": 1, "id": str(n), "job": job, "started": f"{n:09}",
                    "runner": runner, "route": {"intended": runner, "commit": f"c{n // 10000}"},
                }  # fmt: skip
                out.write(json.dumps(start) + "\n")
                for step in range(2 * STEPS):
                    out.write(
                        json.dumps(
                            {"event": "step ended", "id": f"{n}.{step}", "command": "x" * 120}
                        )
                        + "\n"
                    )
                end = {"event": "run ended", "id": str(n), "outcome": "passed", "wall": 100 + n % 7}
                out.write(json.dumps(end) + "\n")


def summarise(folder):
    """Read all runs and compute each configuration's verdict."""
    rollout = read_rollout()
    found = collect_evidence(read_summaries(sorted(folder.glob("*.jsonl"))))
    return [judge(found.get(name, Evidence(name)), rollout) for name in rollout.configurations]


def pass_output(folder):
    """Return the seconds that a job takes that prints LINES lines, and those of a plain pipe."""
    root = folder / "checkout"
    shutil.copytree(sample_checkout(), root)
    code = (
        f"import sys\nfor n in range({LINES} // 100): sys.stdout.write(('x' * 99 + '\\n') * 100)\n"
    )
    (root / "test" / "run_test.py").write_text(code)
    run = [sys.executable, "-m", "ci_sessions", "run", "jit_legacy", "--test", "test_jit_legacy"]
    env = {**os.environ, "CI": ""}

    def run_job():
        null = subprocess.DEVNULL
        subprocess.run(run, cwd=root, env=env, stdout=null, stderr=null, check=True)

    def pipe():
        line = f"{shlex.quote(sys.executable)} test/run_test.py | cat > {folder}/copy"
        subprocess.run(["bash", "-c", line], cwd=root, env=env, check=True)

    return best(run_job), best(pipe)


def main():
    """Print each result: seconds, and the ratio to its baseline."""
    with lzma.open(TRACES, "rt") as text:
        traces = text.read().splitlines()
    lines = [json.dumps(json.loads(line)["job"]) for line in traces]
    parse = best(lambda: [json.loads(line) for line in traces])
    plan = best(lambda: plan_all(lines))
    print(
        f"plan {len(lines)} jobs             {plan:7.2f} s   {plan / parse:6.1f} x parsing their traces"
    )
    jobs = trace_sample()
    started = best(lambda: [subprocess.run([sys.executable, "-c", ""], check=True) for _ in jobs])
    took = best(trace_sample)
    print(
        f"trace {len(jobs)} jobs             {took:7.2f} s   {took / started:6.1f} x starting Python as often"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_runs(folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
        read = best(lambda: [path.read_text().splitlines() for path in folder.iterdir()])
        took = best(lambda: summarise(folder))
    print(
        f"summarise {RUNS:,} runs    {took:7.2f} s   {took / read:6.1f} x reading the {size / 1e6:,.0f} MB"
    )
    with tempfile.TemporaryDirectory() as name:
        took, piped = pass_output(Path(name))
    print(
        f"run, with {LINES // 10_000} MB of output  {took:7.2f} s   {took / piped:6.1f} x a pipe into a file"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory                {peak:7.0f} MiB")


if __name__ == "__main__":
    main()
