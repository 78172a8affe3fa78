"""Shared by the commands that ask what runs where: the jobs of a checkout, and their inventory."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions.catalogue.scheduled import scheduled_jobs
from ci_sessions.checkout.checkout import read_checkout
from ci_sessions.checkout.locate import find_checkout
from ci_sessions.cli.options import OptionParser, Options
from ci_sessions.cli.prepare import read_job_file
from ci_sessions.errors import InputError
from ci_sessions.inventory.cache import AnswerCache
from ci_sessions.inventory.survey import survey
from ci_sessions.job.job_json import job_variables, merge_jobs
from ci_sessions.log import logger
from ci_sessions.records.folder import records_folder
from ci_sessions.text import count, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.cli.options import Context
    from ci_sessions.inventory.survey import Survey

__all__ = ["InventoryGroup", "run_words", "take_survey", "write_result"]


@dataclass(frozen=True, kw_only=True)
class InventoryGroup(Options):
    """The checkout, its jobs, and the times of its tests."""

    checkout: str | None = None
    jobs: str | None = None
    times: str | None = None
    records: str | None = None
    cache: bool = True
    script: bool = False
    json: bool = False

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options that the commands share."""
        add = parser.add_argument_group("inventory").add_argument
        add(
            "--checkout",
            metavar="DIR",
            help="PyTorch checkout (default: the one that contains the current folder, or the "
            "sample checkout)",
        )
        add(
            "--jobs",
            metavar="FILE",
            help="jobs in a file: JSON Lines, a list, or a matrix; - is stdin (default: those that "
            "the checkout's workflows schedule, or the recorded ones of a release)",
        )
        add(
            "--times",
            metavar="FILE",
            help="timing file (default: .additional_ci_files/test-times.json of the checkout)",
        )
        add(
            "--records",
            metavar="DIR",
            help="folder for answers that are kept, and with records (default: .ci-sessions in the "
            "root of the checkout)",
        )
        add(
            "--script",
            action="store_true",
            help="ask about the commands of the checkout's own script, traced as parity does, and "
            "not those of the plans: for older releases",
        )
        add("--no-cache", dest="cache", action="store_false", help="ask run_test.py again")
        add("--json", action="store_true", help="print JSON")


@contextmanager
def take_survey(options: InventoryGroup) -> Iterator[Survey]:
    """Take the inventory of the selected jobs. Raises InputError and CheckoutError."""
    root = find_checkout(options.checkout)
    checkout = read_checkout(root, machine=os.uname().machine)
    folder = records_folder(options.records, root) if options.cache else None
    times = None if options.times is None else Path(options.times)
    jobs = _jobs(options, root, checkout)
    plan = None
    if options.script:
        from ci_sessions.cli.script_jobs import script_planner  # noqa: PLC0415 - only for that

        plan = script_planner(root, checkout)
    with survey(root, checkout, jobs, times, AnswerCache(folder), plan) as found:
        _warn_of_problems(found)
        yield found


def _warn_of_problems(found: Survey) -> None:
    """Say that some jobs have no plan, so that nobody takes them for jobs without the test."""
    problems = [job.problem for job in found.jobs if job.problem is not None]
    if problems:
        number, reason = count(len(problems), "job"), " ".join(problems[0].split())
        logger.warning("%s cannot be planned, and no test of it is known: %s", number, reason)


def _jobs(options: InventoryGroup, root: Path, checkout: Checkout) -> list[dict[str, Any]]:
    if options.jobs is not None:
        jobs = read_job_file(options.jobs)
        for job in jobs:
            if isinstance(job, InputError):
                raise job
            job_variables(job)  # raises if it is no job
        return merge_jobs(jobs, per_runner=True)
    if not checkout.is_sample and any((root / ".github" / "workflows").glob("*.y*ml")):
        from ci_sessions.github.workflows import read_workflows  # noqa: PLC0415 - needs PyYAML

        return read_workflows(root, checkout.script, None, per_runner=True)
    if not checkout.is_sample:
        logger.info("the checkout has no workflows: its jobs are the recorded ones of a release")
    return scheduled_jobs()


def run_words(context: Context, command: str) -> tuple[str, ...]:
    """Return the command line of ``run``, called as ``command`` was."""
    return tuple("run" if word == command else word for word in context.program)


def write_result(option: str, name: str, text: str) -> None:
    """Write the file that an option names. Raises InputError."""
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{option} is {shown(name)}: it cannot be written: {error.strerror}."
        ) from error
