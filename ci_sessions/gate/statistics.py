"""Rates and medians with confidence intervals."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Interval", "Rate", "bootstrap_median", "difference", "is_one_sided", "wilson"]

_Z = 1.959963984540054  # 95 %, two-sided
_RESAMPLES = 1000
_MOST_RUNS = 10**9  # more will never run
_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``total``, with its Wilson score interval."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """The observed fraction."""
        return self.hits / self.total if self.total else 0.0

    @property
    def interval(self) -> Interval:
        """The 95 % Wilson score interval; 0 to 1 without any runs."""
        return wilson(self.hits, self.total)

    def clean_runs_needed(self, limit: float) -> int:
        """Return how many more runs without a hit bring the upper limit below ``limit``.

        -1 if no number of runs does, as for a limit of 0.
        """
        low, high = -1, 0
        while wilson(self.hits, self.total + high).high >= limit:
            low, high = high, max(1, 2 * high)
            if high > _MOST_RUNS:
                return -1
        while high - low > 1:
            middle = (low + high) // 2
            is_enough = wilson(self.hits, self.total + middle).high < limit
            low, high = (low, middle) if is_enough else (middle, high)
        return high


def wilson(hits: int, total: int, z: float = _Z) -> Interval:
    """Return the Wilson score interval of a fraction; 95 % by default."""
    if total == 0:
        return Interval(0.0, 1.0)
    fraction, square = hits / total, z * z
    scale = 1 + square / total
    middle = (fraction + square / (2 * total)) / scale
    spread = fraction * (1 - fraction) / total + square / (4 * total * total)
    half = z * math.sqrt(spread) / scale
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == total else min(1.0, middle + half)
    return Interval(low, high)


def difference(one: Rate, other: Rate, z: float = _Z) -> Interval:
    """Return Newcombe's interval of ``one`` minus ``other``, from their Wilson intervals."""
    ours, theirs = wilson(one.hits, one.total, z), wilson(other.hits, other.total, z)
    between = one.value - other.value
    return Interval(
        between - math.hypot(one.value - ours.low, theirs.high - other.value),
        between + math.hypot(ours.high - one.value, other.value - theirs.low),
    )


def is_one_sided(one: int, other: int) -> bool:
    """Return whether two counts that chance would make equal are not (sign test, 95 %)."""
    total, fewest = one + other, min(one, other)
    tail = sum(math.comb(total, number) for number in range(fewest + 1))
    return 2 * tail < _ALPHA * (1 << total)


def bootstrap_median(values: Sequence[float], seed: int = 0) -> Interval:
    """Return the 95 % bootstrap interval of a median; the seed makes it reproducible."""
    return _resampled(tuple(values), seed) if values else Interval(0.0, math.inf)


@functools.lru_cache(maxsize=256)
def _resampled(values: tuple[float, ...], seed: int) -> Interval:
    """Draw medians of resamples. Cached, since both the verdict and the table use the interval."""
    source = random.Random(seed)  # noqa: S311 - resampling, not a secret
    ordered = sorted(values)
    medians = sorted(_resampled_median(ordered, source) for _ in range(_RESAMPLES))
    edge = round(_RESAMPLES * 0.025)
    return Interval(medians[edge], medians[-edge - 1])


def _resampled_median(ordered: Sequence[float], source: random.Random) -> float:
    """Draw the median of a resample of sorted values, without drawing the resample.

    A resample of n values picks them by n uniform numbers. The one in the middle of these has a
    beta distribution; of an even number there are two, and the upper is the lowest of all above.
    """
    size = len(ordered)
    above = size // 2  # of the numbers, not counting the one in the middle or the lower of two
    lower = source.betavariate(size - above, above + 1)
    if size % 2:
        return ordered[_position(lower, size)]
    upper = 1 - (1 - lower) * source.random() ** (1 / above)
    return (ordered[_position(lower, size)] + ordered[_position(upper, size)]) / 2


def _position(fraction: float, size: int) -> int:
    return min(int(fraction * size), size - 1)
