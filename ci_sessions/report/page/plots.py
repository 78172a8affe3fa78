"""Plots as numbers for small SVG drawings, which the templates write.

Positions are in percent of the width, or in a box of 1,000 x 100 that is stretched to fit. So a
plot is as wide as its column, and its labels keep their size: no library for plots does that, and
none makes them as small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.gate.statistics import Interval, Rate

__all__ = ["IntervalPlot", "PairPlot", "SeriesPlot", "interval_plot", "pair_plot", "series_plot"]

_WIDTH, _HEIGHT = 1000, 100
_STEPS = (1, 2, 2.5, 5, 10)
_LEAST = 0.005  # of a rate's axis: half a percent
_MOST_DOTS = 250


@dataclass(frozen=True, kw_only=True, slots=True)
class IntervalPlot:
    """A value with its interval and a limit, in percent of the width."""

    low: float
    high: float
    value: float
    limit: float | None

    @property
    def width(self) -> float:
        """The width of the interval; at least so much that it is seen."""
        return max(self.high - self.low, 0.8)


def interval_plot(rate: Rate, limit: float | None) -> IntervalPlot:
    """Return the plot of a rate whose upper limit is to stay below ``limit`` (a fraction)."""
    limits = rate.interval
    most = max(_LEAST, min(1.0, max(limits.high, 1.6 * (limit or 0.0), 1.15 * rate.value)))

    def place(fraction: float) -> float:
        return round(100 * min(1.0, fraction / most), 2)

    return IntervalPlot(
        low=place(limits.low),
        high=place(limits.high),
        value=place(rate.value),
        limit=None if limit is None or limit > most else place(limit),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesPlot:
    """Rates over time. ``ranges`` and ``dots`` are paths; ``ticks`` are (place in %, label).

    ``target`` is its place from the top, in percent; None if it is not in the plot.
    """

    ranges: str
    dots: str
    other_dots: str
    ticks: tuple[tuple[float, str], ...]
    target: float | None


def series_plot(
    rates: Sequence[Rate], target: float | None, others: Sequence[Rate] = ()
) -> SeriesPlot:
    """Return the plot of a rate in successive periods; ``others`` are of another kind of runs."""
    highest = [rate.value for rate in (*rates, *others) if rate.total]
    # Intervals of few runs are long: they are cut off, so that the values can be told apart.
    most = _nice(max([_LEAST, 1.6 * (target or 0.0), 1.6 * max(highest, default=0.0)]))
    count = max(1, len(rates))

    def x(number: int) -> float:
        return round(_WIDTH * (number + 0.5) / count, 1)

    def y(fraction: float) -> float:
        return round(_HEIGHT * (1 - min(1.0, fraction / most)), 1)

    def dots(of: Sequence[Rate], shift: float = 0.0) -> str:
        return "".join(
            f"M{x(number) + shift:g} {y(rate.value):g}h0"
            for number, rate in enumerate(of)
            if rate.total
        )

    ranges = "".join(
        f"M{x(number):g} {y(rate.interval.low):g}V{y(rate.interval.high):g}"
        for number, rate in enumerate(rates)
        if rate.total
    )
    ticks = tuple((y(most * part), percent(most * part)) for part in (0.0, 0.5, 1.0))
    return SeriesPlot(
        ranges=ranges,
        dots=dots(rates),
        other_dots=dots(others, 0.25 * _WIDTH / count if others else 0.0),
        ticks=ticks,
        target=None if target is None else y(target),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PairPlot:
    """What Python takes more than the shell in each pair: dots, median and interval, in percent.

    ``dots`` is a path in a box of 1,000 x 100.
    """

    dots: str
    median: float
    low: float
    width: float


def pair_plot(excess: Sequence[float], median: float, limits: Interval, most: float) -> PairPlot:
    """Return the plot of some pairs on an axis from ``-most`` to ``most`` (fractions)."""

    def place(fraction: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, fraction / most)), 2)

    shown = excess[-_MOST_DOTS:]
    dots = "".join(
        # The rows spread the dots, so that equal values can be counted.
        f"M{10 * place(value):g} {12 + 76 * (number * 7 % 11) / 10:g}h0"
        for number, value in enumerate(shown)
    )
    low, high = place(limits.low), place(limits.high)
    return PairPlot(dots=dots, median=place(median), low=low, width=max(0.5, high - low))


def percent(fraction: float) -> str:
    """Return a fraction in percent, with as many digits as it needs: ``0.4 %``, ``12 %``."""
    number = 100 * fraction
    digits = 0 if number == 0 or number >= 9.95 else 1  # noqa: PLR2004 - rounds to 10
    return f"{number:.{digits}f} %"


def _nice(least: float) -> float:
    """Return the next round number for the end of an axis, at most 1."""
    size = 10.0 ** math.floor(math.log10(least))
    return min(1.0, next(step * size for step in _STEPS if step * size >= least - 1e-12))
