"""``matrix``: print the scheduled jobs as a matrix for GitHub's ``fromJSON``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.catalogue.scheduled import scheduled_matrices, to_github_matrix, workflow_matrices
from ci_sessions.catalogue.table import config_problem
from ci_sessions.cli.options import OptionParser, Options, parse_options
from ci_sessions.errors import InputError
from ci_sessions.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Context

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class MatrixOptions(Options):
    """The options of ``matrix``."""

    config: str | None = None
    workflow: str | None = None

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options."""
        parser.add_argument("config", nargs="?", help="only the jobs of this configuration")
        parser.add_argument(
            "--workflow", metavar="NAME", help="only the jobs of this workflow, such as pull.yml"
        )


def main(argv: Sequence[str], context: Context) -> int:
    """Print the matrix."""
    options = parse_options(MatrixOptions, argv, context)
    matrices = workflow_matrices(options.workflow) if options.workflow else scheduled_matrices()
    if options.config:
        problem = config_problem(options.config)
        matrices = [matrix for matrix in matrices if matrix.config == options.config]
        if not matrices:
            where = options.workflow or "any workflow"
            raise InputError(problem or f"{shown(options.config)} is not scheduled by {where}.")
    print(json.dumps(to_github_matrix(matrices)), file=context.out)
    return 0
