"""Shared by the commands that plan a job: locate the checkout, read the job, and plan it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions.catalogue.narrow import narrow_test
from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import Checkout, read_checkout
from ci_sessions.checkout.files import read_regular, reason_of
from ci_sessions.checkout.locate import find_checkout
from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.job.job import JobOptions, read_job
from ci_sessions.job.variables import HF_CACHE
from ci_sessions.run.machine import Machine
from ci_sessions.text import shorten

if TYPE_CHECKING:
    from ci_sessions.cli.options import SelectionGroup
    from ci_sessions.job.environment import Environment
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Plan

__all__ = ["PreparedJob", "local_label", "prepare_job", "read_job_file", "read_known_job"]

_MAX_JOBS = 64 << 20  # bytes of a file with jobs


_SETUP = "setup"  # names the job's set-up, like the test of a step


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedJob:
    """A job that is ready to be shown or run."""

    plan: Plan
    checkout: Checkout
    machine: Machine
    environment: Environment

    @property
    def root(self) -> Path:
        """The root of the checkout."""
        return self.machine.root


def local_label() -> str:
    """Return the default build label on this machine: a plain CPU build."""
    name = os.uname().machine
    machine = {"x86_64": "", "arm64": "aarch64-"}.get(name, f"{name}-")
    return f"linux-{machine}py{sys.version_info.major}.{sys.version_info.minor}"


def read_known_job(environment: Environment, options: JobOptions) -> Job:
    """Read the job from the options and the environment, and reject unknown configurations."""
    return read_job(environment, options, config_facts)


def prepare_job(
    options: JobOptions,
    checkout_path: str | None,
    selection: SelectionGroup,
    environment: Environment,
    *,
    with_added: bool,
) -> PreparedJob:
    """Plan a job for its checkout. Raises one error with all problems.

    ``with_added``: include the tests that test.sh does not have, unless the options say otherwise.
    """
    root, problems = Path(), []
    try:
        root = find_checkout(checkout_path)
    except CheckoutError as error:
        problems.append(str(error.args[0]))
    try:
        job = read_known_job(environment, options)
    except InputError as error:
        if problems:
            raise InputError(*problems, *error.problems) from error
        raise
    if problems:
        raise CheckoutError(*problems)
    checkout = read_checkout(root, machine=os.uname().machine, hf_cache=environment[HF_CACHE])
    plan = _select(plan_job(job, checkout), selection, checkout, with_added=with_added)
    variables = {**environment.variables, **job.shown_variables()}
    machine = Machine(root, variables, plan.questions)
    return PreparedJob(plan=plan, checkout=checkout, machine=machine, environment=environment)


def _select(plan: Plan, selection: SelectionGroup, checkout: Checkout, *, with_added: bool) -> Plan:
    wants_added = with_added if selection.added is None else selection.added
    if not wants_added:
        plan = plan.without_added()
    number = selection.step
    if selection.test == (_SETUP,) and number is not None:
        return plan.only_setup_step(number)
    if selection.test:
        plan = plan.select(selection.test)
    if selection.file or selection.case:
        test = narrow_test(plan.tests, number, selection.file, selection.case, checkout)
        plan = plan.only_test(test, with_setup=selection.setup)
    elif number is not None:
        plan = plan.only_step(number, with_setup=selection.setup)
    return plan if selection.install else plan.without_installs("--no-install")


def read_job_file(name: str) -> list[Any]:
    """Read the jobs in a file, or with ``-`` from standard input; see ``parse_jobs``.

    Raises InputError if it cannot be read, or contains no jobs.
    """
    source = f"--jobs {shorten(name)}"
    try:
        data = _read_input() if name == "-" else read_regular(Path(name), _MAX_JOBS)
        text = data.decode()
    except (OSError, ValueError, AttributeError) as error:
        hint = "" if name == "-" else " Give a file, or - to read standard input."
        raise InputError(f"{source} cannot be read: {reason_of(error)}.{hint}") from error
    from ci_sessions.job.job_json import parse_jobs  # noqa: PLC0415 - not for a single job

    return parse_jobs(text, source)


def _read_input() -> bytes:
    """Read standard input to its end. Raises ValueError if it is too large."""
    data = sys.stdin.buffer.read(_MAX_JOBS + 1)
    if len(data) > _MAX_JOBS:
        raise ValueError(f"it is larger than {_MAX_JOBS >> 20} MB")
    return data
