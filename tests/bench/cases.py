"""What is measured, and the plain baseline that each case is compared with.

Every case is a command, so that it is measured from the outside and an earlier version of the
package can run it too: ``tree`` is the folder whose package runs.
"""

from __future__ import annotations

import json
import lzma
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import Command, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
TRACES = ROOT / "tests" / "parity" / "traces.jsonl.xz"
CONFIG = "jit_legacy"
STEPS = 6  # of a run, each with two events that a summary skips
FILES = 100  # of records, like merged artifacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A command with a baseline.

    ``measure`` is the time whose ratio to the baseline counts, and ``rate_of`` that of a rate.

    ``scale`` divides that ratio, if the baseline has less to do. ``amount`` of ``unit`` is what the
    command handles, for a rate.
    """

    name: str
    command: Callable[[Path], Command]
    baseline: Command
    baseline_name: str
    rounds: int
    measure: str = "cpu"
    rate_of: str = "cpu"
    scale: float = 1.0
    amount: float = 0.0
    unit: str = ""


def python(tree: Path, *argv: str, cwd: Path, **env: str) -> Command:
    """Return a command of this Python that imports the package in ``tree``."""
    variables = {"PYTHONPATH": str(tree), "PATH": search_path()} | env
    return Command(argv=(sys.executable, *argv), cwd=cwd, env=variables)


def search_path() -> str:
    """Return PATH with this Python first, as in an activated environment."""
    return f"{Path(sys.executable).parent}:{environment({}).get('PATH', '')}"


def start_up(folder: Path, rounds: int) -> Iterator[Case]:
    """Yield the cases that show what a command takes before it does its own work."""
    checkout = idle_checkout(folder / "checkout")
    empty = folder / "empty"
    empty.mkdir()
    code = 'import nox\n\n@nox.session(venv_backend="none")\ndef empty(session):\n    pass\n'
    (empty / "noxfile.py").write_text(code)
    config = f"ci(config='{CONFIG}')"
    yield Case(
        name="plan a job",
        command=lambda tree: python(tree, "-m", "ci_sessions", "plan", CONFIG, cwd=checkout),
        baseline=python(ROOT, "-c", "pass", cwd=checkout),
        baseline_name="python -c pass",
        rounds=rounds,
    )
    yield Case(
        name="nox -l",
        command=lambda tree: python(tree, "-m", "nox", "-l", cwd=checkout),
        baseline=python(ROOT, "-m", "nox", "-l", cwd=empty),
        baseline_name="nox -l, an empty session",
        rounds=rounds,
    )
    yield Case(
        name="run a job with nox",
        command=lambda tree: python(tree, "-m", "nox", "-s", config, cwd=checkout),
        baseline=python(ROOT, "-m", "nox", "-s", "empty", cwd=empty),
        baseline_name="nox -s, an empty session",
        rounds=rounds,
    )


def idle_checkout(folder: Path, code: str = "") -> Path:
    """Create a checkout whose run_test.py only runs ``code``, as a git repository."""
    shutil.copytree(ROOT / "examples" / "checkout", folder)
    (folder / "test" / "run_test.py").write_text(code)
    (folder / "noxfile.py").write_text("import ci_sessions.sessions\n")
    (folder / ".gitignore").write_text("__pycache__/\n.ci-sessions/\n.nox/\n")
    author = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    for argv in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "checkout"]):
        subprocess.run(["git", *argv], cwd=folder, env=environment({}), check=True)
    return folder


def planning(folder: Path, rounds: int, most: int) -> Iterator[Case]:
    """Yield the cases with many jobs: as many as were recorded, and ``most``, if that is more."""
    few = sum(1 for _ in recorded_jobs())
    yield (
        case := Case(
            name=f"plan {few:,} jobs",
            command=plan_jobs(folder / "few.jsonl", few),
            baseline=python(ROOT, "-c", _COPY_JSON, str(folder / "few.jsonl"), cwd=folder),
            baseline_name=f"copying {_COPIES} times as much JSON",
            rounds=rounds,
            amount=few,
            unit="plans",
        )
    )
    if most > few:
        yield larger(case, most, plan_jobs(folder / "many.jsonl", most))


_COPIES = 100
_COPY_JSON = f"""
import json, sys
for line in open(sys.argv[1]):
    for _ in range({_COPIES}):
        json.dumps(json.loads(line))
"""


def plan_jobs(path: Path, number: int) -> Callable[[Path], Command]:
    """Write a file with different jobs, and return the command that plans them."""
    with path.open("w") as out:
        written = 0
        while written < number:
            for job in recorded_jobs():
                if written < number:
                    label = job["build_environment"] + (f"-x{written}" if written >= 602 else "")
                    out.write(json.dumps({**job, "build_environment": label}) + "\n")
                    written += 1
    argv = ("-m", "ci_sessions", "plan", "--jobs", str(path))
    return lambda tree: python(tree, *argv, cwd=path.parent)


def recorded_jobs() -> Iterator[dict[str, object]]:
    """Yield the jobs of the recorded traces."""
    with lzma.open(TRACES, "rt") as lines:
        for line in lines:
            yield json.loads(line)["job"]


def output(folder: Path, rounds: int, size: int) -> Iterator[Case]:
    """Yield the case of a job that prints ``size`` MB, as on GitHub and with a secret to redact."""
    checkout = idle_checkout(folder / "printing", _PRINT.replace("SIZE", str(size)))
    run = f'"{sys.executable}" -m ci_sessions run {CONFIG} --test test_jit_legacy'
    env = {"GITHUB_ACTIONS": "true", "CI": "true", "UPLOAD_TOKEN": "a-long-and-secret-value"}
    yield Case(
        name=f"pass on {size} MB of output",
        command=lambda tree: through_cat(f"{run} --no-added", tree, checkout, env),
        baseline=through_cat(f'"{sys.executable}" test/run_test.py', ROOT, checkout, env),
        baseline_name="the same through cat",
        rounds=rounds,
        rate_of="wall",
        amount=size,
        unit="MB",
    )


def checks(folder: Path, rounds: int) -> Iterator[Case]:
    """Yield the case of a job that checks the installed torch before its test, as the script does.

    Importing a stand-in for torch takes as long as starting Python 40 times, and no test runs.
    """
    checkout = idle_checkout(folder / "checked")
    (checkout / _SAMPLE).unlink()  # it leaves out the checks
    with (checkout / ".ci" / "pytorch" / "test.sh").open("a") as script:
        script.write(f"# {_CHECKS[0]}\n")  # not all releases have this one
    tools = folder / "tools"
    (tools / "torch").mkdir(parents=True)
    (tools / "torch" / "__init__.py").write_text(_TORCH)
    for name in ("pip", "python"):
        program = "true" if name == "pip" else sys.executable
        (tools / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        (tools / name).chmod(0o755)
    env = {"PATH": f"{tools}:{search_path()}"}
    lines = " && ".join(f"python -c 'import torch; {code}'" for code in _CHECKS)
    argv = ("-m", "ci_sessions", "run", CONFIG, "--test", "test_jit_legacy")
    yield Case(
        name="check torch",
        command=lambda tree: python(tree, *argv, cwd=checkout, **env, **_paths(tree, tools)),
        baseline=Command(argv=("bash", "-c", lines), cwd=checkout, env=env | _paths(tools)),
        baseline_name="a Python for each check",
        rounds=rounds,
    )


def _paths(*folders: Path) -> dict[str, str]:
    return {"PYTHONPATH": ":".join(map(str, folders))}


_SAMPLE = ".ci-sessions-sample"
_CHECKS = (
    "torch._C._crash_if_debug_asserts_fail(424242)",
    "print(torch.__config__.show())",
    "print(torch.__config__.parallel_info())",
)
_TORCH = """
import subprocess, sys
for _ in range(40):
    subprocess.run([sys.executable, "-c", ""], check=True)
class _C:
    def _crash_if_debug_asserts_fail(number): pass
class __config__:
    def show(): return "a stand-in"
    def parallel_info(): return "one thread"
"""

# What tests print: names and results, log lines, addresses, colours, and long lines.
_PRINT = r"""
import sys

lines = []
for n in range(7000):
    lines += [
        f"test_case_{n} (test_jit.TestJit.test_case_{n}) ... ok",
        f"I1128 05:41:{n % 60:02}.{n:06} {n} torch/_inductor/graph.py:{n} [0/{n}] compiled graph {n}",
        f"\x1b[32mtest/test_jit.py::TestJit::test_{n} PASSED\x1b[0m [{n / 70:3.0f} %]",
    ]
    if n % 5 == 0:
        lines += [f"  warnings.warn('see https://pytorch.org/docs/{n}, or ask ci@pytorch.org')"]
block = "\n".join([*lines, "x" * 4000, ""]).encode()
left = SIZE * 1_000_000
while left > 0:
    sys.stdout.buffer.write(block[:left])
    left -= len(block)
"""


def through_cat(line: str, tree: Path, checkout: Path, env: dict[str, str]) -> Command:
    """Return a command whose output goes through a pipe."""
    argv = ("bash", "-c", f"set -o pipefail; {line} | cat > /dev/null")
    variables = {"PYTHONPATH": str(tree), "PATH": search_path(), **env}
    return Command(argv=argv, cwd=checkout, env=variables)


def records(folder: Path, rounds: int, few: int, most: int) -> Iterator[Case]:
    """Yield the cases that read the records of ``few`` runs, and of ``most``, if that is more."""
    small = write_runs(folder / "few", few)
    code = "import sys\nfor path in sys.argv[1:]:\n    for line in open(path, 'rb'): pass\n"
    files = [str(path) for path in sorted(small.iterdir())]
    yield (
        case := Case(
            name=f"rollout, {few:,} runs",
            command=judge_runs(small),
            baseline=python(ROOT, "-c", code, *files, cwd=folder),
            baseline_name="reading the lines",
            rounds=rounds,
            amount=few,
            unit="runs",
        )
    )
    if most > few:
        yield larger(case, most, judge_runs(write_runs(folder / "many", most)))


def pages(folder: Path, rounds: int, few: int, most: int) -> Iterator[Case]:
    """Yield the cases that write a page about a fleet, compared with reading its runs."""
    from fleet_files import write_fleet_files  # noqa: PLC0415 - it imports the package

    for number in dict.fromkeys((few, most)):
        if number:
            fleet = folder / f"fleet-{number}"
            records = write_fleet_files(fleet / "records", number)
            yield Case(
                name=f"report, {number:,} runs",
                command=write_page(records),
                baseline=python(ROOT, *_HISTORY, str(records), cwd=fleet),
                baseline_name="history, the same runs",
                rounds=rounds,
                amount=number,
                unit="runs",
            )


_HISTORY = ("-m", "ci_sessions", "history", "--last", "1", "--records")


def write_page(records: Path) -> Callable[[Path], Command]:
    """Return the command that writes a page about a fleet, beside its records."""
    fleet = records.parent
    files = ("--rollout", str(fleet / "rollout.toml"), "--out", str(fleet / "page.html"))
    argv = ("-m", "ci_sessions", "report", "--records", str(records), *files)
    return lambda tree: python(tree, *argv, cwd=fleet)


def larger(case: Case, amount: int, command: Callable[[Path], Command]) -> Case:
    """Return a case with more to do. Its baseline is the smaller one, so a ratio of 1 is linear."""
    scale = amount / case.amount
    return replace(
        case,
        name=case.name.replace(f"{case.amount:,}", f"{amount:,}"),
        command=command,
        baseline=case.command(ROOT),
        baseline_name=f"{scale:.1f} x {case.name}",
        rounds=max(1, case.rounds // 3),
        scale=scale,
        amount=amount,
    )


def judge_runs(folder: Path) -> Callable[[Path], Command]:
    """Return the command that reads a folder of records and prints the verdicts."""
    argv = ("-m", "ci_sessions", "rollout", "--records", str(folder))
    return lambda tree: python(tree, *argv, cwd=folder)


def write_runs(folder: Path, number: int) -> Path:
    """Write the records of a fleet that moves over: shadows, runs on both sides, pairs."""
    folder.mkdir()
    rollout = (ROOT / "ci_sessions" / "resources" / "rollout.toml").read_text().splitlines()
    start = rollout.index("[configurations]")
    configs = [line.split()[0] for line in rollout[start + 1 :] if " = { phase" in line]
    filler = [
        json.dumps({"event": "step ended", "id": f"job.test.{step}", "command": "x" * 120, "outcome": "passed"})
        for step in range(2 * STEPS)
    ]  # fmt: skip
    for part in range(FILES):
        with (folder / f"{part}.jsonl").open("w") as out:
            for n in range(part, number, FILES):
                out.write("\n".join(_events(n, configs, filler)) + "\n")
    return folder


def _events(n: int, configs: list[str], filler: list[str]) -> Iterator[str]:
    """Yield the events of a run. Of fifty runs one is a pair's second, and one is red."""
    pair = n - 1 if n % 50 == 1 else n
    runner = "python" if (n // 50 + n) % 2 else "shell"
    started = (
        f"2026-{1 + n // 100_000 % 12:02}-{1 + n // 4_000 % 25:02}T00:00:{n % 60:02}.{n % 1000:03}Z"
    )
    job = {
        "config": configs[pair // 2 % len(configs)], "id": f"linux-jammy-py3.10.job-{pair // 2 % 500}",
        "build_environment": "linux-jammy-py3.10-gcc11", "shard": 1, "num_shards": 1,
    }  # fmt: skip
    reason = {"python": "split-in", "shell": "split-out"}[runner]
    route = {
        "runner": runner, "intended": runner, "reason": reason, "commit": f"{pair:040x}", "is_partial": False,
    }  # fmt: skip
    if n % 50 == 7:
        route |= {"reason": "shadow", "shadow": "equal"}
    name = f"{started}/{job['id']}/{n:08x}"
    start = {"event": "run started", "format": 1, "id": name, "job": job, "started": started}
    yield json.dumps({**start, "checkout": "/checkout", "runner": runner, "route": route})
    yield from filler
    outcome = "failed" if n % 50 == 9 else "passed"
    end = {
        "event": "run ended",
        "id": name,
        "ended": started,
        "wall": 100 + n % 7,
        "outcome": outcome,
    }
    yield json.dumps({**end, "exit_code": 0, "note": "", "route": route})


def tracing(folder: Path, rounds: int) -> Iterator[Case]:
    """Yield the case that traces the sample's script for each listed configuration."""
    argv = ("-m", "ci_sessions", "parity", "--no-cache", "--workers", "2")
    starts = (
        f"import subprocess, sys\nfor _ in range(9): subprocess.run([{sys.executable!r}, '-c', ''])"
    )
    yield Case(
        name="trace the sample's jobs",
        command=lambda tree: python(tree, *argv, cwd=ROOT / "examples" / "checkout"),
        baseline=python(ROOT, "-c", starts, cwd=folder),
        baseline_name="starting Python nine times",
        rounds=rounds,
    )


def inventories(folder: Path, rounds: int) -> Iterator[Case]:
    """Yield the cases that ask run_test.py what all recorded jobs select: at first, and again."""
    checkout = ROOT / "examples" / "checkout"
    where = ("-m", "ci_sessions", "where", "test_ops", "--json")
    dry_run = [sys.executable, "test/run_test.py", "--dry-run"]
    alone = (
        f"import subprocess\nfor _ in range(8): subprocess.run({dry_run!r}, capture_output=True)"
    )
    case = Case(
        name="ask what 584 jobs run",
        command=lambda tree: python(tree, *where, "--no-cache", cwd=checkout),
        baseline=python(ROOT, "-c", alone, cwd=checkout),
        baseline_name="8 dry runs of the sample's run_test.py",
        rounds=rounds,
        amount=584,
        unit="jobs",
    )
    yield case
    kept = ("--records", str(folder / "answers"))
    subprocess.run(
        [sys.executable, *where, *kept], cwd=checkout, capture_output=True, check=True,
        env=environment({"PYTHONPATH": str(ROOT), "PATH": search_path()}),
    )  # fmt: skip
    yield replace(
        case,
        name="ask what 584 jobs run, again",
        command=lambda tree: python(tree, *where, *kept, cwd=checkout),
    )
