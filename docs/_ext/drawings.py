"""Draws a page's mermaid flowcharts as SVG, in rows that follow the import contract.

The text stays in Markdown, where GitHub draws it and a test compares it with the imports. The site
has no script to draw it, so this does, in the theme's colours: there is a light and a dark form.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROW, WIDTH, HEIGHT, GAP, MARGIN, CORNER = 58, 150, 34, 50, 8, 12  # pixels
LANES = {
    **dict.fromkeys(("catalogue", "plan", "toml"), 0),
    **dict.fromkeys(("sessions", "cli", "report", "parity", "inventory", "run", "checkout"), 1),
    **dict.fromkeys(("github", "records", "base"), 2),
    **dict.fromkeys(("gate", "job"), 3),
}
"""The columns of the nodes, chosen so that edges find a way around the others. The default is 0."""
Cell = tuple[int, int]  # column, row
_NODE = re.compile(r'(\w+)(?:\["([^"]*)"\])?')


def read_flowchart(text: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the labels of the nodes, in order, and the edges."""
    labels: dict[str, str] = {}
    edges = []
    for line in text.splitlines()[1:]:
        sides = [[match.groups() for match in _NODE.finditer(side)] for side in line.split("-->")]
        for name, label in (one for side in sides for one in side):
            labels[name] = label or labels.get(name, name)
        if len(sides) > 1:
            edges += [(start[0], end[0]) for start in sides[0] for end in sides[1]]
    return labels, edges


def layers() -> dict[str, int]:
    """Return the row of each package, from the contract of the import linter."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    rows = next(one["layers"] for one in contracts if one["type"] == "layers")
    found = {}
    for number, row in enumerate(rows):
        for name in row.split("|"):
            found[name.strip().removeprefix("ci_sessions.").strip("_")] = number
    return found


def place(labels: dict[str, str]) -> dict[str, Cell]:
    """Return the cell of each node: its column, and its row by the contract."""
    contract = layers()
    bottom = max(contract.values())
    order = sorted({contract.get(name, bottom) for name in labels})
    return {name: (LANES.get(name, 0), order.index(contract.get(name, bottom))) for name in labels}


def draw(text: str) -> str:
    """Return a flowchart as SVG."""
    labels, edges = read_flowchart(text)
    cells = place(labels)
    width = max(_centre(cell)[0] for cell in cells.values()) + WIDTH / 2 + MARGIN
    height = max(_centre(cell)[1] for cell in cells.values()) + HEIGHT / 2 + MARGIN
    description = "; ".join(f"{labels[start]} imports {labels[end]}" for start, end in edges)
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="layers-title" '
        'xmlns="http://www.w3.org/2000/svg" font-family="var(--font-stack)" font-size="14">'
        f'<title id="layers-title">{html.escape(description)}</title>'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" '
        'fill="var(--color-foreground-muted)"/></marker></defs>'
    )
    lines = [_edge(cells[start], cells[end], set(cells.values())) for start, end in edges]
    boxes = [_box(cell, labels[name]) for name, cell in cells.items()]
    return "".join([head, *lines, *boxes, "</svg>"])


def _centre(cell: Cell) -> tuple[float, float]:
    column, row = cell
    return MARGIN + WIDTH / 2 + column * (WIDTH + GAP), MARGIN + HEIGHT / 2 + row * ROW


def _box(cell: Cell, label: str) -> str:
    x, y = _centre(cell)
    return (
        f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" '
        'rx="6" fill="var(--color-background-secondary)" stroke="var(--color-brand-primary)"/>'
        f'<text x="{x:g}" y="{y + 5:g}" text-anchor="middle" '
        f'fill="var(--color-foreground-primary)">{html.escape(label)}</text>'
    )


def _edge(start: Cell, end: Cell, taken: set[Cell]) -> str:
    return (
        f'<path d="{_way(start, end, taken - {start, end})}" fill="none" '
        'stroke="var(--color-foreground-muted)" stroke-width="1.2" marker-end="url(#tip)"/>'
    )


def _way(start: Cell, end: Cell, taken: set[Cell]) -> str:
    """Return a way from one node to another: straight, around one corner, or else a curve."""
    (x1, y1), (x2, y2) = _centre(start), _centre(end)
    half = WIDTH / 2 if x2 > x1 else -WIDTH / 2
    turn = CORNER if x2 > x1 else -CORNER
    rows = range(start[1], end[1] + 1)
    columns = range(min(start[0], end[0]), max(start[0], end[0]) + 1)
    if start[0] == end[0]:
        return f"M{x1:g} {y1 + HEIGHT / 2:g}V{y2 - HEIGHT / 2:g}"
    if taken.isdisjoint([*((one, start[1]) for one in columns), *((end[0], row) for row in rows)]):
        return (
            f"M{x1 + half:g} {y1:g}H{x2 - turn:g}Q{x2:g} {y1:g} {x2:g} {y1 + CORNER:g}"
            f"V{y2 - HEIGHT / 2:g}"
        )
    if taken.isdisjoint([*((start[0], row) for row in rows), *((one, end[1]) for one in columns)]):
        return (
            f"M{x1:g} {y1 + HEIGHT / 2:g}V{y2 - CORNER:g}Q{x1:g} {y2:g} {x1 + turn:g} {y2:g}"
            f"H{x2 - half:g}"
        )
    middle = (x1 + x2) / 2
    return f"M{x1 + half:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2 - half:g} {y2:g}"


class Drawings(SphinxPostTransform):
    """Replaces the text of each flowchart by its drawing."""

    default_priority = 5
    formats = ("html",)

    def run(self, **_: object) -> None:
        """Replace them."""
        for block in list(self.document.findall(nodes.literal_block)):
            if block.get("language") == "mermaid":
                figure = f'<figure class="drawing" tabindex="0">{draw(block.astext())}</figure>'
                block.replace_self(nodes.raw("", figure, format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform."""
    app.add_post_transform(Drawings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
