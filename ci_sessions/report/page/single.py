"""The page about one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_sessions import clock
from ci_sessions.report.page.run import view_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.records.record import RunRecord
    from ci_sessions.report.page.html import Templates

__all__ = ["run_page"]


def run_page(
    run: RunRecord, commands: Mapping[str, Sequence[str]], path: str, templates: Templates
) -> str:
    """Return the page. ``commands`` repeat what failed; ``path`` is the file of the record."""
    view = view_run(run, commands, path)
    sections = [
        ("failures", "Failures", bool(view.failed or view.note)),
        ("repeat", "Repeat", bool(view.commands)),
        ("time", "Time", True),
        ("steps", "Steps", True),
        ("facts", "The run", True),
    ]
    values = {
        "title": f"{view.config} {view.outcome}: ci_sessions report",
        "sections": [(name, title) for name, title, is_there in sections if is_there],
        "made": clock.timestamp()[:16].replace("T", " ") + " UTC",
        "run": view,
    }
    return templates.page("run.html", values)
