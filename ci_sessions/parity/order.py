"""The order in which a script started its processes, from what they recorded about themselves.

Processes that one command of one shell starts (a pipeline, substitutions) have only their process
IDs and their start times to tell them apart. IDs wrap around; start times do not, but they are in
clock ticks of 10 ms, so IDs decide within a tick. In a tick, a kernel hands out far fewer IDs than
there are, so the largest gap in a circle of IDs is where they begin.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["PID_LIMIT", "Step", "parse_steps", "sort_key"]

PID_LIMIT = 2**22  # the largest possible pid_max on Linux
Step = tuple[int, int, int]
"""The number of a command in a shell, and the ID and start of the process that it started.

The start is in clock ticks since the machine's; -1 if it is not known.
"""
Key = tuple[tuple[int, int, int], ...]


def parse_steps(text: str) -> tuple[Step, ...]:
    """Read ``number:ID:start`` for each enclosing shell, outermost first."""
    found = (word.split(":") for word in text.split())
    return tuple((int(number), int(pid), int(start or -1)) for number, pid, start in found)


def sort_key(
    chains: Iterable[tuple[Step, ...]], pid_max: int = PID_LIMIT
) -> tuple[Callable[[tuple[Step, ...]], Key], bool]:
    """Return a key that sorts chains of steps in script order, and whether the order is certain."""
    groups: dict[object, set[int]] = defaultdict(set)
    for chain in chains:
        for level, (number, pid, start) in enumerate(chain):
            groups[chain[:level], number, start].add(pid)
    ranks: dict[object, dict[int, int]] = {}
    is_certain = True
    for group, pids in groups.items():
        ordered, gap = _around(pids, pid_max)
        ranks[group] = {pid: rank for rank, pid in enumerate(ordered)}
        if len(pids) > 1:
            is_timed = isinstance(group, tuple) and group[2] >= 0
            is_certain = is_certain and is_timed and gap > pid_max // 2

    def key(chain: tuple[Step, ...]) -> Key:
        return tuple(
            (number, start, ranks[chain[:level], number, start][pid])
            for level, (number, pid, start) in enumerate(chain)
        )

    return key, is_certain


def _around(pids: Iterable[int], pid_max: int) -> tuple[list[int], int]:
    """Return IDs in the order in which a circle hands them out, and the largest gap in it."""
    ordered = sorted(pids)
    gaps = [(pid - ordered[index - 1]) % pid_max or pid_max for index, pid in enumerate(ordered)]
    first = gaps.index(max(gaps))
    return [*ordered[first:], *ordered[:first]], max(gaps)
