"""The verbs: what each does, and where it is. A verb's module is imported when it is called."""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ci_sessions.cli.options import Call

__all__ = ["VERBS", "load_verb"]

VERBS: Mapping[str, str] = MappingProxyType(
    {
        "plan": "Show what a job would run, and run nothing.",
        "run": "Run the job that options and environment name, in Python.",
        "dispatch": "Run the job that the environment names, in Python or by the script, as the "
        "flag says.",
        "explain": "Say why a job runs what it runs, and what another shard or build would change.",
        "matrix": "Print the scheduled jobs, all or of one workflow, for GitHub's fromJSON.",
        "parity": "Prove that the plans run what the checkout's own test.sh runs.",
        "rollout": "Show what the records say of each phase, with verdicts; --apply takes one "
        "step.",
    }
)
"""Each verb, and what it does."""


def load_verb(verb: str) -> Callable[[Sequence[str], Call], int]:
    """Import a verb's module and return its function: options and call to an exit code."""
    module = importlib.import_module(f"ci_sessions.cli.{verb}")
    return cast("Callable[[Sequence[str], Call], int]", module.main)
