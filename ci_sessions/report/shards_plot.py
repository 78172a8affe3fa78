"""Draws the minutes of shards as an SVG that follows the reader's light or dark mode.

It has no script and refers to nothing outside, so it can be put into a pull request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions.text import for_html

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_sessions.inventory.shards import Division, ShardLoad
    from ci_sessions.report.shards import ShardPlan

__all__ = ["draw"]

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _HEAD = 760, 60, 70, 14, 4, 46
_STYLE = """\
svg { font: 12px system-ui, sans-serif; background: #ffffff; }
text { fill: #1f2328; } .dim { fill: #59636e; } .tests { fill: #2f6fb3; } .other { fill: #c9772b; }
.line { stroke: #59636e; stroke-width: 1; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; } text { fill: #e6edf3; } .dim { fill: #9198a1; }
  .tests { fill: #6cb0f5; } .other { fill: #e8a15c; } .line { stroke: #9198a1; }
}"""


def draw(plans: Sequence[ShardPlan]) -> str:
    """Return an SVG with a bar for each shard: first as today, then as the target needs."""
    blocks = [(title, one) for plan in plans for title, one in _divisions(plan)]
    scale = max([one.longest for _, one in blocks] + [1.0])
    target = next((plan.target for plan in plans if plan.target is not None), None)
    body: list[str] = []
    y = 10
    for title, one in blocks:
        body += _block(title, one, y, scale, target)
        y += _HEAD + one.num_shards * (_BAR + _GAP) + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" '
        f'viewBox="0 0 {_WIDTH} {y}" role="img" aria-label="Minutes of each shard">\n'
        f"<style>\n{_STYLE}\n</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _divisions(plan: ShardPlan) -> Iterator[tuple[str, Division]]:
    one = plan.today
    yield f"{one.config} on {one.build_environment}: {one.num_shards} shards today", one
    other = plan.needed if plan.needed is not None else plan.chosen
    if other.num_shards != one.num_shards:
        yield f"with {other.num_shards} shards", other


def _block(title: str, one: Division, y: int, scale: float, target: int | None) -> Iterator[str]:
    yield f'<text x="{_LEFT}" y="{y + 14}" font-weight="600">{for_html(title)}</text>'
    legend = f"longest {one.longest:.1f} min, lower bound {one.lower_bound or 0:.1f} min"
    yield f'<text x="{_LEFT}" y="{y + 32}" class="dim">{legend}</text>'
    top = y + _HEAD
    for number, shard in enumerate(one.shards):
        yield from _bar(shard, top + number * (_BAR + _GAP), scale)
    if target is not None and target <= scale:
        x = _LEFT + _length(target, scale)
        bottom = top + one.num_shards * (_BAR + _GAP)
        yield f'<line class="line" x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'<text x="{x + 3:.1f}" y="{top - 6}" class="dim">{target} min</text>'


def _bar(shard: ShardLoad, y: int, scale: float) -> Iterator[str]:
    first, more = _length(shard.minutes or 0.0, scale), _length(shard.other_minutes, scale)
    base = y + _BAR - 3
    name = f"shard {shard.number}"
    yield f'<text x="{_LEFT - 6}" y="{base}" text-anchor="end" class="dim">{name}</text>'
    yield _rectangle("tests", _LEFT, y, first, f"{name}: tests {shard.minutes or 0.0:.1f} min")
    if more:
        title = f"{name}: other work {shard.other_minutes:.1f} min"
        yield _rectangle("other", _LEFT + first, y, more, title)
    yield f'<text x="{_LEFT + first + more + 5:.1f}" y="{base}">{shard.total:.1f}</text>'


def _rectangle(kind: str, x: float, y: int, width: float, title: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}">'
        f"<title>{for_html(title)}</title></rect>"
    )


def _length(minutes: float, scale: float) -> float:
    return minutes / scale * (_WIDTH - _LEFT - _RIGHT)
