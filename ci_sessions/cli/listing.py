"""The nox tags of a configuration: its phase, device, suites and tests."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_problem, listed_configs
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.errors import CiSessionsError
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.job.build_environment import BuildEnvironment
from ci_sessions.job.job import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["config_tags"]

_BUILD = "linux-jammy-cuda13.0-py3.10-gcc11"  # skips no tests


def config_tags(config: str) -> tuple[str, ...]:
    """Return the tags of a configuration; none if it is unknown."""
    return () if config_problem(config) is not None else tuple(dict.fromkeys(_tags(config)))


_rollout = functools.cache(read_rollout)  # for all configurations


def _tags(config: str) -> Iterator[str]:
    entry = _rollout().configurations.get(config)
    if entry is not None:
        yield f"phase-{entry.phase}"
    device = listed_configs().get(config)
    if device is not None:
        yield device
    try:
        plan = plan_job(Job(config=config, build=BuildEnvironment.parse(_BUILD)), RECORDED)
    except CiSessionsError:
        return  # it needs more variables; running it reports which
    yield from plan.suites
    yield from (test.name for test in plan.tests)
