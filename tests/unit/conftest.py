"""Unit tests cannot start processes, and their environment is empty."""

from __future__ import annotations

import os
import subprocess

import pytest


@pytest.fixture(autouse=True)
def isolated(monkeypatch):
    """Forbid processes and empty the environment."""

    def refuse(*args, **_):
        raise AssertionError(f"a unit test started a process: {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for name in list(os.environ):
        if not name.startswith(("PYTEST_", "COVERAGE_", "COV_")):
            monkeypatch.delenv(name)
