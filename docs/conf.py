"""Configuration of the documentation site: ``nox -s docs`` builds it."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "ci_sessions"
author = "The ci_sessions authors"
project_copyright = author
version = release = importlib.metadata.version("ci-sessions")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "reference",
    "drawings",
    "accessibility",
]
exclude_patterns = ["_build"]
nitpicky = True
# Without a network there is no inventory of Python's names. The others are types that only this
# package uses.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(collections\.abc|typing|pathlib|datetime|enum|types|re|argparse|dataclasses|io)\..*",
    ),
    (r"py:.*", r"(bool|bytes|dict|float|int|list|object|set|str|tuple|type|None|Path)(\[.*)?"),
    (r"py:.*", r"(Any|Callable|Iterable|Iterator|Mapping|Sequence|[A-Z]|.*\.[A-Z])(\[.*)?"),
    (r"py:.*", r"(Command|ConfigLookup|Exports|Item|NextStep|Part|Setup|Variables)"),
    (r"py:(exc|class)", r"[A-Z][A-Za-z]*(Error|Warning)|Exception"),
]

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
toc_object_entries = False

html_theme = "furo"
html_title = f"ci_sessions {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": False}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

linkcheck_timeout = 20
linkcheck_anchors = False


def drop_unmatched(_: Sphinx, name: str, source: list[str]) -> None:
    """Drop the patterns in the contents that match no page: a branch may not have it yet."""
    if name == "index":
        lines = source[0].splitlines()
        source[0] = "\n".join(
            line
            for line in lines
            if not line.endswith("*") or " " in line or any(HERE.glob(f"{line}.md"))
        )


def unlink_folders(app: Sphinx, name: str, source: list[str]) -> None:
    """Show a link to a folder of the repository as its text: the site does not have it."""
    place = Path(app.env.doc2path(name)).parent

    def text_of(match: re.Match[str]) -> str:
        return match[1] if (place / match[2]).is_dir() else match[0]

    source[0] = re.sub(r"\[([^\]\n]+)\]\((\.\.[^)#\n]+)\)", text_of, source[0])


def drop_unread(app: Sphinx) -> list[str]:
    """Drop from the list of sources what is no module: the invented one of a named tuple."""
    modules = app.env._viewcode_modules  # noqa: SLF001 - Sphinx lists them without a page
    for name in [name for name, source in modules.items() if not source]:
        del modules[name]
    return []


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("source-read", drop_unmatched)
    app.connect("source-read", unlink_folders)
    app.connect("html-collect-pages", drop_unread, priority=100)
