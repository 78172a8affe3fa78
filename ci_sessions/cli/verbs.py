"""The commands and their summaries. The module of a command is imported only when it is called."""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ci_sessions.cli.options import Context

__all__ = ["COMMANDS", "load_command"]

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "plan": "Show what a job would run, without running it.",
        "run": "Run a job in Python.",
        "dispatch": "Run a job in Python or with its script, depending on USE_PYTHON_TEST_RUNNER.",
        "explain": "Explain what a job runs, and what another shard or build would change.",
        "matrix": "Print the scheduled jobs, of all workflows or one, as a GitHub Actions matrix.",
        "where": "Find the jobs that run a test.",
        "audit": "Find tests that no scheduled job runs, and jobs that run none.",
        "shards": "Show how long each shard takes, and how many a configuration needs.",
        "parity": "Check that the plans run what the checkout's own test.sh runs.",
        "history": "List past runs, newest first.",
        "rollout": "Show the evidence and a verdict for each configuration of the rollout.",
        "report": "Write an HTML page about one run, or about the runs of a fleet.",
    }
)
"""Each command with its summary."""


def load_command(name: str) -> Callable[[Sequence[str], Context], int]:
    """Import a command's module and return its ``main``, which returns an exit code."""
    module = importlib.import_module(f"ci_sessions.cli.{name}")
    return cast("Callable[[Sequence[str], Context], int]", module.main)
