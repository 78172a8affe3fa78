"""Helpers for all tests: jobs, plans, and the repository's root."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.job.environment import Environment
from ci_sessions.job.job import read_job

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))

# A run respects signals that are ignored, as under nohup, and so do its children. The tests send them.
for _name in ("SIGINT", "SIGHUP", "SIGQUIT"):
    if signal.getsignal(_number := getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _name == "SIGINT" else signal.SIG_DFL)

# The ordinary run tries the same few examples each time; a long one looks for new ones:
# pytest --hypothesis-profile=long.
settings.register_profile("ordinary", deadline=None, derandomize=True, max_examples=60)
settings.register_profile("long", deadline=None, max_examples=3000)
settings.load_profile("ordinary")


def make_job(config="jit_legacy", build="linux-jammy-py3.10-gcc11", shard="1/1", **variables):
    """Return a job as read from the environment."""
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
