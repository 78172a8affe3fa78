"""The reusable workflows, as far as the package depends on them."""

from __future__ import annotations

import yaml
from conftest import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"


def test_pairs_run_each_job_by_both_runners_and_keep_both_records():
    jobs = yaml.safe_load((WORKFLOWS / "ci-sessions-pairs.yml").read_text())["jobs"]
    pair = jobs["pair"]
    assert pair["strategy"]["matrix"]["flag"] == ["0", "1"]
    assert pair["with"]["use-python-test-runner"] == "${{ matrix.flag }}"
    assert pair["uses"] == "$/.github/workflows/ci-sessions.yml"
    steps = yaml.safe_load((WORKFLOWS / "ci-sessions.yml").read_text())["jobs"]["test"]["steps"]
    (upload,) = (step for step in steps if "upload-artifact" in step.get("uses", ""))
    # An artifact's name is unique in a run; this one has a random part.
    assert upload["with"]["name"] == "${{ steps.install.outputs.artifact }}"
    (install,) = (step for step in steps if step.get("id") == "install")
    assert 'echo "artifact=ci-sessions-$name-$GITHUB_RUN_ATTEMPT-$random"' in install["run"]
    (download,) = (one for one in jobs["verdict"]["steps"] if "download" in one.get("uses", ""))
    assert download["with"]["pattern"] == "ci-sessions-*"


def test_pairs_are_scheduled():
    # YAML reads the key `on` as true.
    triggers = yaml.safe_load((WORKFLOWS / "ci-sessions-pairs.yml").read_text())[True]
    assert set(triggers) == {"schedule", "workflow_dispatch", "workflow_call"}
