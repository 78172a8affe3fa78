"""Helpers for the tests of the recorder: trace a small tree and return the recording."""

from __future__ import annotations

import shutil
from pathlib import Path

from ci_sessions.parity.pool import trace_jobs
from ci_sessions.parity.profile import read_profile
from ci_sessions.parity.staging import read_stage
from ci_sessions.parity.tracer import RECORDER, Tracer

SCRIPT = ".ci/pytorch/test.sh"


def trace(root, variables=None, *, script=SCRIPT, limit=20.0, profile=None):
    """Trace one job and return the recording."""
    profile = profile or read_profile()
    stage = read_stage(root, script, profile)
    (recording,) = trace_jobs([variables or {}], stage, profile, workers=1, limit=limit)
    return recording


def trace_without_sandbox(root, base):
    """Trace in this process, as this user: only the recorder confines the script."""
    base.mkdir()
    profile = read_profile()
    tracer = Tracer(
        stage=read_stage(root, SCRIPT, profile),
        profile=profile,
        bash=shutil.which("bash"),
        tools=str(Path(shutil.which("sed")).parent),
        recorder=RECORDER.read_text(),
        limit=20.0,
    )
    return tracer.trace({}, base)


def tree_of(folder, text, **files):
    """Write a tree with ``text`` as test.sh, and other files by path."""
    for name, content in {SCRIPT: text, "test/run_test.py": "", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder
