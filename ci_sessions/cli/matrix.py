"""``matrix``: print the jobs that a checkout's workflows schedule, for GitHub's ``fromJSON``.

The jobs come from the checkout's own ``.github/workflows``. The sample checkout has none, so it
uses the recorded jobs of a PyTorch release.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci_sessions.catalogue.scheduled import scheduled_jobs
from ci_sessions.catalogue.table import config_problem
from ci_sessions.checkout.checkout import locate_scripts
from ci_sessions.checkout.locate import find_checkout
from ci_sessions.cli.options import OptionParser, Options, parse_options
from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.github.workflows import file_name, read_workflows
from ci_sessions.job.variables import GITHUB_ACTIONS
from ci_sessions.text import count, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Context

__all__ = ["main"]

_MAX_JOBS = 256  # that GitHub Actions accepts in one matrix
_KEYS = ("build_environment", "config", "shard", "num_shards", "runner")


@dataclass(frozen=True, kw_only=True)
class MatrixOptions(Options):
    """The options of ``matrix``."""

    config: str | None = None
    workflow: str | None = None
    part: str | None = None
    checkout: str | None = None

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options."""
        parser.add_argument("config", nargs="?", help="only the jobs of this configuration")
        parser.add_argument(
            "--workflow", metavar="NAME", help="only the jobs of this workflow, such as pull.yml"
        )
        parser.add_argument(
            "--part",
            metavar="N/M",
            help=f"only part N of M: a matrix on GitHub has at most {_MAX_JOBS} jobs",
        )
        parser.add_argument(
            "--checkout",
            metavar="DIR",
            help="PyTorch checkout (default: the one that contains the current folder, or the "
            "sample checkout)",
        )


def main(argv: Sequence[str], context: Context) -> int:
    """Print the matrix."""
    options = parse_options(MatrixOptions, argv, context)
    file = file_name(options.workflow) if options.workflow else None
    jobs = _scheduled(options, file)
    if file is not None:
        jobs = [job for job in jobs if file in job["workflows"]]
    if options.config:
        problem = config_problem(options.config)
        jobs = [job for job in jobs if job["config"] == options.config]
        if not jobs:
            where = options.workflow or "any workflow"
            raise InputError(problem or f"{shown(options.config)} is not scheduled by {where}.")
    entries = _part([_entry(job) for job in jobs], options.part)
    print(json.dumps({"include": entries}), file=context.out)
    return 0


def _scheduled(options: MatrixOptions, file: str | None) -> list[dict[str, Any]]:
    """Return all jobs that the checkout schedules. Raises InputError if ``file`` has none."""
    root = find_checkout(options.checkout)
    checkout = locate_scripts(root)
    folder = root / ".github" / "workflows"
    if checkout.is_sample:
        jobs = scheduled_jobs()
    elif not any(folder.glob("*.y*ml")):
        raise CheckoutError(f"{folder} contains no workflows: there are no jobs to print.")
    else:
        jobs = read_workflows(root, checkout.script, file, per_runner=True)
    known = sorted({workflow for job in jobs for workflow in job["workflows"]})
    if not known:
        raise InputError(f"no workflow in {folder} runs {checkout.script}.")
    if file is not None and file not in known:
        close = difflib.get_close_matches(file, known, n=3)
        hint = (
            f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(known)}."
        )
        raise InputError(
            f"--workflow is {shown(options.workflow)}, but no workflow of that name runs tests: "
            f"{hint}"
        )
    return jobs


def _entry(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job as an entry of a matrix; GitHub itself sets GITHUB_ACTIONS."""
    env = {name: text for name, text in job.get("env", {}).items() if name != GITHUB_ACTIONS.name}
    return {**{key: job[key] for key in _KEYS}, **({"env": env} if env else {})}


def _part(jobs: list[dict[str, Any]], part: str | None) -> list[dict[str, Any]]:
    """Return a part of the jobs, N/M. Raises InputError if it is empty or more than a matrix."""
    number, total = 1, 1
    if part is not None:
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", part)
        number, total = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= total:
            raise InputError(f"--part is {shown(part)}: use N/M, such as 1/3, with N from 1 to M.")
    found = jobs[len(jobs) * (number - 1) // total : len(jobs) * number // total]
    least = -(-len(jobs) // _MAX_JOBS)
    if len(found) > _MAX_JOBS:
        what = "the matrix has" if part is None else f"part {part} has"
        raise InputError(
            f"{what} {len(found):,} jobs, but GitHub accepts at most {_MAX_JOBS} in one: use "
            f"--part 1/{least} to --part {least}/{least}, or select jobs with --workflow."
        )
    if not found:
        raise InputError(
            f"--part is {shown(part)}, which is empty: there is no more than "
            f"{count(len(jobs), 'job')}, so use fewer parts."
        )
    return found
