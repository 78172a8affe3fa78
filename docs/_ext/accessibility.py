"""Corrects what axe reports about the pages that Sphinx and furo write.

The captions of the contents are headings without a level, code and tables that scroll cannot be
reached with the keyboard, two sidebars have no name, a table without a header has empty header
cells, and the search page has no heading.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

CHANGES = (
    ('role="heading">', 'role="heading" aria-level="2">'),
    ('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
    ("<pre>", '<pre tabindex="0">'),
    ('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="All pages">'),
    ('<aside class="toc-drawer">', '<aside class="toc-drawer" aria-label="On this page">'),
    ('<th class="head"><p></p></th>', "<td></td>"),
    ('<div id="search-results">', '<h1>Search</h1><div id="search-results">'),
)


def correct(app: Sphinx, failure: Exception | None) -> None:
    """Change the pages, once they are all written."""
    if failure is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            text = path.read_text(encoding="utf-8")
            for old, new in CHANGES:
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the function."""
    app.connect("build-finished", correct)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
