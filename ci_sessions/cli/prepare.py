"""What verbs that plan a job share: find the tree, read the job, plan it, open the machine."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import Checkout, read_checkout
from ci_sessions.checkout.locate import find_checkout
from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.job.job import JobOptions, read_job
from ci_sessions.job.variables import HF_CACHE
from ci_sessions.run.machine import Machine

if TYPE_CHECKING:
    from ci_sessions.cli.options import SelectionGroup
    from ci_sessions.job.environment import Environment
    from ci_sessions.job.job import Job
    from ci_sessions.plan.plan import Plan

__all__ = ["Prepared", "local_label", "prepare", "read_named_job"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A job that can be shown or run: its plan, the tree, the machine, the caller's environment."""

    plan: Plan
    checkout: Checkout
    machine: Machine
    environment: Environment

    @property
    def root(self) -> Path:
        """The root of the tree, which every prepared job has."""
        return self.machine.root


def local_label() -> str:
    """Return the BUILD_ENVIRONMENT of this machine, where nobody named one: a plain CPU build."""
    machine = {"x86_64": "", "arm64": "aarch64-"}.get(platform.machine(), f"{platform.machine()}-")
    return f"linux-{machine}py{sys.version_info.major}.{sys.version_info.minor}"


def read_named_job(environment: Environment, options: JobOptions) -> Job:
    """Return the job that options and environment name; raise one error with all faults."""
    return read_job(environment, options, config_facts)


def prepare(
    options: JobOptions,
    named_checkout: str | None,
    selection: SelectionGroup,
    environment: Environment,
    *,
    with_added: bool,
) -> Prepared:
    """Plan a job for its checkout, and open the machine that will answer for it.

    ``with_added``: whether tests that test.sh lacks are wanted where the options do not say.
    """
    root, faults = Path(), []
    try:
        root = find_checkout(named_checkout, Path.cwd())
    except CheckoutError as error:
        faults.append(str(error.args[0]))
    try:
        job = read_named_job(environment, options)
    except InputError as error:
        if faults:
            raise InputError(*faults, *error.faults) from error
        raise
    if faults:
        raise CheckoutError(*faults)
    checkout = read_checkout(root, machine=platform.machine(), hf_cache=environment[HF_CACHE])
    plan = _selected(plan_job(job, checkout), selection, with_added=with_added)
    machine = Machine(root, environment.texts, plan.questions)
    return Prepared(plan=plan, checkout=checkout, machine=machine, environment=environment)


def _selected(plan: Plan, selection: SelectionGroup, *, with_added: bool) -> Plan:
    wants_added = with_added if selection.added is None else selection.added
    if not wants_added:
        plan = plan.without_added()
    if selection.test:
        plan = plan.select(selection.test, selection.step)
    return plan if selection.install else plan.without_installs("--no-install")
