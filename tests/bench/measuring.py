"""Runs commands in turn and measures them: time, CPU time of the whole process tree, memory.

Machines differ and are noisy. So the commands that are compared run alternately, and what counts is
the median of the ratios within each round. CPU time depends less on other load than wall time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command to measure. Its output is discarded."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command used. Times are in seconds, ``peak`` is in MB.

    ``cpu`` is of all processes together, ``peak`` that of the largest process.
    """

    wall: float
    cpu: float
    peak: float


def run(command: Command) -> Usage:
    """Run a command and return what it used. Raises RuntimeError if it fails.

    The peak includes this process's own memory at the start, so keep that small.
    """
    start = time.perf_counter()
    null = subprocess.DEVNULL
    child = subprocess.Popen(
        command.argv, cwd=command.cwd, env=environment(command.env), stdin=null, stdout=null, stderr=null
    )  # fmt: skip
    _, status, used = os.wait4(child.pid, 0)  # includes the children that it has waited for
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"exit code {child.returncode} from {' '.join(command.argv)}")
    wall = time.perf_counter() - start
    return Usage(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a command: without what slows Python or changes what runs.

    An installed package has compiled modules, so modules may be compiled here, too.
    """
    dropped = ("PYTHON", "NOX", "GITHUB_", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "CI": "", "NO_COLOR": "1", **more}


def alternate(commands: Sequence[Command], rounds: int) -> list[list[Usage]]:
    """Run the commands in turn, ``rounds`` times after a first round that does not count.

    Returns the rounds of each command.
    """
    for command in commands:
        run(command)
    found: list[list[Usage]] = [[] for _ in commands]
    for number in range(rounds):
        order = range(len(commands)) if number % 2 else reversed(range(len(commands)))
        for position in order:
            found[position].append(run(commands[position]))
    return found


def median(rounds: Sequence[Usage]) -> Usage:
    """Return the median of each value."""
    return Usage(
        statistics.median(one.wall for one in rounds),
        statistics.median(one.cpu for one in rounds),
        statistics.median(one.peak for one in rounds),
    )


def ratio(rounds: Sequence[Usage], baseline: Sequence[Usage], measure: str) -> float:
    """Return the median of a measure's ratios to the baseline in the same round."""
    pairs = zip(rounds, baseline, strict=True)
    return statistics.median(
        getattr(one, measure) / getattr(other, measure) for one, other in pairs
    )
