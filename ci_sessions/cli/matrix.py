"""``matrix``: the scheduled jobs as the JSON that GitHub's fromJSON takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.catalogue.scheduled import as_github_matrix, of_workflow, scheduled
from ci_sessions.catalogue.table import config_fault
from ci_sessions.cli.options import OptionParser, Options, parse_options
from ci_sessions.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Call

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class MatrixOptions(Options):
    """The options of ``matrix``."""

    config: str | None = None
    workflow: str | None = None

    @classmethod
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add the options."""
        parser.add_argument("config", nargs="?", help="only the jobs of this configuration")
        parser.add_argument("--workflow", metavar="NAME", help="only the jobs of pull.yml, say")


def main(words: Sequence[str], call: Call) -> int:
    """Run the verb."""
    options = parse_options(MatrixOptions, words, call)
    matrices = of_workflow(options.workflow) if options.workflow else scheduled()
    if options.config:
        fault = config_fault(options.config)
        matrices = [matrix for matrix in matrices if matrix.config == options.config]
        if not matrices:
            where = options.workflow or "any workflow"
            raise InputError(fault or f"{options.config!r} is not scheduled by {where}.")
    print(json.dumps(as_github_matrix(matrices)), file=call.out)
    return 0
