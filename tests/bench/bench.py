"""Benchmarks: start-up, planning, output, records, inventories and tracing.

    nox -s bench                      all cases, with a million runs: many minutes
    nox -s bench -- --fast            small sizes, in less than a minute
    nox -s bench -- --check           exit code 1 if a ratio is above its limit (limits.toml)
    nox -s bench -- --against REV     the same cases with the package of another revision, in turn
    nox -s bench -- --json FILE       also write all numbers as JSON

Each command runs alternately with its baseline. A ratio is the median of the ratios in each round:
of the CPU time of the whole process tree. A rate is per second of CPU time; that of output, of time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cases
from cases import ROOT, Case
from measuring import Usage, alternate, environment, median, ratio

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Path(__file__).with_name("limits.toml")
ATTEMPTS = 3  # of a case that exceeds a limit, so that a moment of load is no failure


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The medians of a case. ``ratio`` is that of its measure to the baseline.

    ``other`` is what the other revision used, and ``speed`` how this one compares with it.
    """

    case: Case
    usage: Usage
    baseline: Usage
    ratio: float
    other: Usage | None = None
    speed: float | None = None

    @property
    def rate(self) -> float | None:
        """What the case handles per second."""
        time = getattr(self.usage, self.case.rate_of)
        return self.case.amount / time if self.case.amount else None

    def row(self) -> str:
        """Return a row of the table."""
        rate = f"{self.rate:,.0f} {self.case.unit}/s" if self.rate else ""
        cells = (
            f"{self.case.name:28}{self.usage.wall:8.2f}{self.usage.cpu:8.2f}{self.usage.peak:7.0f}"
            f"  {rate:16}{self.ratio:6.2f} x {self.case.measure:4} of {self.case.baseline_name}"
        )
        return cells if self.speed is None else f"{cells}; {self.speed:.2f} x the other revision"

    def to_json(self) -> dict[str, object]:
        """Return all numbers."""
        return {
            "case": self.case.name,
            "baseline": self.case.baseline_name,
            "measure": self.case.measure,
            "ratio": self.ratio,
            "rate": self.rate,
            "unit": self.case.unit,
            "usage": asdict(self.usage),
            "baseline_usage": asdict(self.baseline),
            "other_usage": asdict(self.other) if self.other else None,
            "to_other": self.speed,
        }


def measure(case: Case, other: Path | None) -> Result:
    """Run a case, its baseline and, if given, the package in ``other``, in turn."""
    commands = [case.baseline, case.command(ROOT)]
    commands += [case.command(other)] if other else []
    baseline, ours, *theirs = alternate(commands, case.rounds)
    return Result(
        case=case,
        usage=median(ours),
        baseline=median(baseline),
        ratio=ratio(ours, baseline, case.measure) / case.scale,
        other=median(theirs[0]) if theirs else None,
        speed=ratio(ours, theirs[0], case.measure) if theirs else None,
    )


def failures(result: Result, limits: dict[str, dict[str, float]]) -> list[str]:
    """Return which limits a result exceeds."""
    limit = limits.get(result.case.name, {})
    found = []
    if result.ratio > limit.get("ratio", float("inf")):
        found.append(f"{result.case.name}: {result.ratio:.2f} x, at most {limit['ratio']:g} x")
    if result.usage.peak > limit.get("peak", float("inf")):
        found.append(f"{result.case.name}: {result.usage.peak:.0f} MB, at most {limit['peak']:g}")
    return found


def machine() -> dict[str, object]:
    """Return the facts about this machine that explain the numbers."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    models = [
        line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


@contextmanager
def revision(name: str | None) -> Iterator[Path | None]:
    """Check out a revision in a worktree of its own, and remove that in the end."""
    if name is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run(
            [*git, "add", "--quiet", "--detach", str(tree), name], env=environment({}), check=True
        )
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], env=environment({}), check=True)


def all_cases(folder: Path, *, is_fast: bool) -> Iterator[Case]:
    """Yield the cases; files that one needs are written just before."""
    rounds = 5 if is_fast else 9
    yield from cases.start_up(folder, rounds)
    yield from cases.checks(folder, 3)
    yield from cases.planning(folder, rounds - 2, 0 if is_fast else 30_000)
    yield from cases.output(folder, 3, 50 if is_fast else 200)
    yield from cases.records(folder, 3, 10_000 if is_fast else 100_000, 0 if is_fast else 1_000_000)
    yield from cases.inventories(folder, 1 if is_fast else 3)
    yield from cases.pages(folder, 1 if is_fast else 3, 10_000, 0 if is_fast else 100_000)
    if not is_fast:
        yield from cases.tracing(folder, 3)


def main() -> int:
    """Measure, and print a row for each case as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fast", action="store_true", help="small sizes, in less than a minute")
    parser.add_argument("--check", action="store_true", help="fail if a limit is exceeded")
    parser.add_argument("--against", metavar="REV", help="also measure another revision")
    parser.add_argument("--only", metavar="TEXT", default="", help="cases whose name contains TEXT")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers to a file")
    options = parser.parse_args()
    limits = tomllib.loads(LIMITS.read_text()) if options.check else {}
    facts, results, failed = machine(), [], []
    print("  ".join(f"{name}: {value}" for name, value in facts.items()))
    print(f"{'case':28}{'wall s':>8}{'CPU s':>8}{'MB':>7}  {'':16}ratio")
    with revision(options.against) as other, tempfile.TemporaryDirectory() as folder:
        for case in all_cases(Path(folder), is_fast=options.fast):
            if options.only not in case.name:
                continue
            for _ in range(ATTEMPTS):
                result = measure(case, other)
                print(result.row(), flush=True)
                if not (exceeded := failures(result, limits)):
                    break
            results.append(result)
            failed += exceeded
    for line in failed:
        print(f"too slow or too large: {line}")
    if options.json:
        data = {"machine": facts, "results": [result.to_json() for result in results]}
        Path(options.json).write_text(json.dumps(data, indent=1) + "\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
