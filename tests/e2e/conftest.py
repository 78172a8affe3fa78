"""Fixtures for end-to-end tests: act, and two real releases of PyTorch (see ``releases``)."""

from __future__ import annotations

import pytest
from e2e.act import Act, table
from e2e.releases import read_1_13, read_2_6, source_1_13


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="also run what takes long or 6 GB")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes long, or needs 6 GB; runs only with --all")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--all"):
        skip = pytest.mark.skip(reason="takes long or needs 6 GB: --all runs it")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(skip)


@pytest.fixture
def act(request, tmp_path):
    """act, in a repository with the sample checkout and a copy of the package; or skip."""
    return Act.with_sample(tmp_path, request.node.name.removeprefix("test_"))


def pytest_terminal_summary(terminalreporter):
    """Print what act said about each workflow that it ran."""
    if rows := table():
        terminalreporter.section("workflows run by act")
        terminalreporter.line("| case | act's exit code | jobs | artifacts | errors / warnings |")
        terminalreporter.line("| --- | --- | --- | --- | --- |")
        for row in rows:
            terminalreporter.line(row)


@pytest.fixture(scope="session")
def source():
    """Return the full source tree of PyTorch 1.13.1, downloaded on first use."""
    return source_1_13()


@pytest.fixture(scope="session")
def pytorch():
    """Return PyTorch 1.13.1, set up on first use."""
    return read_1_13()


@pytest.fixture(scope="session")
def modern():
    """Return PyTorch 2.6.0, set up on first use."""
    return read_2_6()
