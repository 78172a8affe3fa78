"""Writes a page: one HTML file, with a content security policy that allows only what is in it.

Jinja2 escapes every value (autoescape). Scripts and styles are allowed by their hashes, so that
nothing that a test wrote into a record could run, even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any

from ci_sessions import __version__
from ci_sessions.errors import MissingToolError
from ci_sessions.text import clock_duration, count, for_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment

__all__ = ["Templates"]

_PACKAGE = "ci_sessions.report.page"


class Templates:
    """The templates of pages. ``redact`` hides secrets. Raises MissingToolError without Jinja2."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._environment = _environment(redact)
        self._style = _read("page.css")
        self._script = _read("page.js")

    def part(self, name: str, values: dict[str, Any]) -> str:
        """Return a part of a page, such as the details of a run."""
        return self._environment.get_template(name).render(values)

    def page(self, name: str, values: dict[str, Any]) -> str:
        """Return a whole page."""
        shared = {
            "style": self._style,
            "script": self._script,
            "policy": _policy(self._style, self._script),
            "version": __version__,
        }
        return self._environment.get_template(name).render({**shared, **values})


def _environment(redact: Callable[[str], str]) -> Environment:
    try:
        from jinja2 import (  # noqa: PLC0415 - an extra
            Environment,
            FunctionLoader,
            StrictUndefined,
            select_autoescape,
        )
    except ImportError as error:
        raise MissingToolError(
            "report needs Jinja2, which is not installed: pip install 'ci-sessions[report]'."
        ) from error
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        # Secrets are hidden, and control characters and changes of the text direction visible.
        finalize=lambda value: for_log(redact(value)) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock_duration
    environment.globals["counted"] = count
    return environment


def _read(name: str) -> str:
    return (resources.files(_PACKAGE) / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    sources = {"script-src": _hash(script), "style-src": _hash(style), "img-src": "data:"}
    rules = ("default-src 'none'", "base-uri 'none'", "form-action 'none'")
    return "; ".join([*rules, *(f"{name} {source}" for name, source in sources.items())])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
