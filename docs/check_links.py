"""Checks every internal link of the built site: its page and its anchor exist.

Sphinx checks the links in the text; this also sees those that directives, drawings and the theme
write. Usage: check_links.py FOLDER
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors and the links of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an anchor, a link, an image."""
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif value and (name == "href" or (name == "src" and tag != "script")):
                self.links.append(value)


def broken_links(folder: Path) -> list[str]:
    """Return a line for each link without a target."""
    pages = {path: Page(path) for path in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            target, anchor = unquote(parts.path), unquote(parts.fragment)
            if parts.scheme or parts.netloc:
                continue
            other = (path.parent / target).resolve() if target else path
            is_known = other in pages and (not anchor or anchor in pages[other].anchors)
            if not is_known and (other in pages or not other.is_file()):
                found.append(f"{path.relative_to(folder)}: {link}")
    return found


def main() -> int:
    """Print the links without a target."""
    folder = Path(sys.argv[1]).resolve()
    broken = broken_links(folder)
    print("\n".join(broken) or f"{len(list(folder.rglob('*.html')))} pages, no broken link")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
