"""Checks of the project's own configuration: what stands in two files is the same in both."""

from __future__ import annotations

import re

import nox
import pytest
import yaml
from conftest import ROOT

from ci_sessions import __version__

PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
NAME = re.compile(r"[A-Za-z0-9._-]+")


def test_the_version_is_that_of_the_package():
    assert PROJECT["project"]["version"] == __version__


def test_hooks_have_the_versions_of_the_lint_session():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    pinned = {one for hook in hooks for one in hook["additional_dependencies"]}
    assert pinned
    assert pinned <= set(PROJECT["dependency-groups"]["lint"])
    assert all("==" in one for one in pinned)


@pytest.mark.parametrize("part", ["dependencies", "optional-dependencies"])
def test_every_dependency_has_a_lowest_version_that_can_be_tested(part):
    found = PROJECT["project"][part]
    needed = (
        found if isinstance(found, list) else [one for extra in found.values() for one in extra]
    )
    assert all(re.search(r">=[0-9.]+", one) for one in needed)


def test_the_noxfile_needs_what_the_package_needs():
    header = (ROOT / "noxfile.py").read_text().partition('# ///\n"""')[0]
    listed = set(re.findall(r'^#   "(.*)",$', header, re.MULTILINE))
    assert listed == set(PROJECT["project"]["dependencies"])


def test_every_issue_form_and_the_policy_are_there():
    forms = {path.stem for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")}
    assert {"bug", "difference", "idea", "config"} <= forms
    assert "Report a vulnerability" in (ROOT / "SECURITY.md").read_text()
