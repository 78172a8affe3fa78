"""What all tests share: jobs and plans as values, and the place of the reference data."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.job.environment import Environment
from ci_sessions.job.job import read_job

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))


def make_job(config="jit_legacy", build="linux-jammy-py3.10-gcc11", shard="1/1", **variables):
    """Return a job as the environment would name it."""
    number, total = shard.split("/")
    named = {
        "TEST_CONFIG": config,
        "BUILD_ENVIRONMENT": build,
        "SHARD_NUMBER": number,
        "NUM_TEST_SHARDS": total,
    }
    return read_job(Environment({**named, **variables}), lookup=config_facts)


def make_plan(config="jit_legacy", build="linux-jammy-py3.10-gcc11", shard="1/1", **variables):
    """Return a job's plan for the recorded checkout."""
    return plan_job(make_job(config, build, shard, **variables), RECORDED)


@pytest.fixture
def root():
    """Return the repository's root."""
    return ROOT
