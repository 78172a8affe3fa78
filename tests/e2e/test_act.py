"""The workflows as written, run by act: from the caller's inputs to exit code and artifacts."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys

from e2e.act import REQUIREMENTS, ROOT

EXAMPLES = ROOT / "examples" / "workflows"
BUILD = "linux-jammy-py3.10-gcc11"
DOCS = {"build-environment": BUILD, "test-config": "docs_test"}
ON = {"use-python-test-runner": "1"}
RED = """import unittest
class T(unittest.TestCase):
    def test_red(self):
        print('\\n::error::forged')
        self.assertEqual(1, 2, 'sums')
"""
LINE = """
on: workflow_dispatch
permissions: {contents: read}
jobs:
  test:
    runs-on: ubuntu-latest
    env: {TEST_CONFIG: %s, BUILD_ENVIRONMENT: linux-py3, USE_PYTHON_TEST_RUNNER: "1"}
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683
      - run: sh ci_sessions/resources/dispatch.sh
      - if: always()
        uses: actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02
        with: {name: records, path: .ci-sessions/runs/*.jsonl, include-hidden-files: true}
"""


def only_record(report):
    (record,) = report.records
    return record


def open_rollout(act):
    """Write a rollout file in which docs_test runs in Python, as `rollout --apply` would in time."""
    text = (ROOT / "ci_sessions" / "resources" / "rollout.toml").read_text()
    for old, new in (
        ('2A = { risk = "low", open = false }', '2A = { risk = "low", open = true }'),
        ('docs_test = { phase = "2A", share = 0 }', 'docs_test = { phase = "2A", share = 100 }'),
    ):
        assert old in text
        text = text.replace(old, new)
    act.write("settings/roll out.toml", text)
    return "settings/roll out.toml"


def test_a_green_job(act):
    report = act.run(act.caller(**DOCS, **ON))
    assert (report.code, report.results) == (0, ["success"])
    assert report.summary.startswith(f"### ✅ docs_test on {BUILD}, shard 1 of 1")
    assert "Run by **python**: `flag-on`" in report.summary
    assert report.annotations("error") == report.annotations("warning") == []
    record = only_record(report)
    assert (record["runner"], record["outcome"]) == ("python", "passed")


def test_a_red_job(act):
    act.write("test/test_jit_legacy.py", RED)
    report = act.run(act.caller(**{**DOCS, "test-config": "jit_legacy"}, **ON))
    assert (report.code, report.results) == (1, ["failure"])
    title = "test_jit_legacy: test_jit_legacy.T.test_red"
    assert (title, "AssertionError: 1 != 2 : sums") in report.annotations("error")
    assert "forged" not in [message for _, message in report.annotations("error")]
    assert report.summary.startswith("### ❌ jit_legacy")
    record = only_record(report)
    assert (record["outcome"], record["exit_code"]) == ("failed", 1)


def test_flag_0(act):
    report = act.run(act.caller(**DOCS, **{"use-python-test-runner": "0"}))
    assert (report.code, report.results) == (0, ["success"])
    assert "Run by **shell**: `flag-off`" in report.summary
    assert only_record(report)["route"]["reason"] == "flag-off"


def test_flag_0_with_a_red_script(act):
    act.write(".ci/pytorch/test.sh", "#!/bin/bash\nexit 3\n", 0o755)
    report = act.run(act.caller(**DOCS))
    assert (report.code, report.results) == (1, ["failure"])
    assert only_record(report)["exit_code"] == 3


def test_shadow(act):
    report = act.run(act.caller(**DOCS, **{"use-python-test-runner": "shadow"}))
    assert (report.code, report.results) == (0, ["success"])
    assert "Plan and script compared: equal" in report.summary
    assert only_record(report)["runner"] == "shell"


def test_rollout_with_the_checkouts_own_settings(act):
    flag = {"use-python-test-runner": "rollout", "rollout-file": open_rollout(act)}
    report = act.run(act.caller(**DOCS, **flag))
    assert (report.code, report.results) == (0, ["success"])
    assert only_record(report)["route"]["reason"] == "split-in"


def test_rollout_with_the_settings_of_the_package(act):
    report = act.run(act.caller(**DOCS, **{"use-python-test-runner": "rollout"}))
    assert (report.code, report.results) == (0, ["success"])
    assert only_record(report)["route"]["reason"] == "phase-closed"


def test_pairs_of_a_night(act):
    """Each job by both runners, then what the records of both say, with the checkout's settings."""
    for path in sorted((ROOT / ".github" / "workflows").glob("ci-sessions*.yml")):
        act.workflow(path)
    inputs = {**DOCS, "rollout-file": open_rollout(act)}
    lines = "".join(f"      {name}: {json.dumps(value)}\n" for name, value in inputs.items())
    act.write(
        ".github/workflows/caller.yml",
        "name: caller\non: workflow_dispatch\npermissions: {contents: read}\njobs:\n"
        f"  call:\n    uses: ./.github/workflows/ci-sessions-pairs.yml\n    with:\n{lines}",
    )
    report = act.run("caller.yml")
    assert (report.code, set(report.results)) == (0, {"success"})
    assert sorted(record["runner"] for record in report.records) == ["python", "shell"]
    assert re.search(r"docs_test +100 % +1 / 1 ", report.output)
    assert "pairs   1, 0 differ" in report.output


def test_nox_missing_under_the_line_that_ci_calls(act):
    act.write(".github/workflows/line.yml", LINE % "docs_test")
    report = act.run("line.yml")
    assert (report.code, report.results) == (0, ["success"])
    (warning,) = report.annotations("warning")
    assert warning[1] == "nox -s dispatch cannot start; running .ci/pytorch/test.sh instead"
    assert only_record(report)["route"]["fallback"] == "not-started"


def test_multigpu_with_nox_missing(act):
    act.write(".github/workflows/line.yml", LINE % "multigpu")
    act.write(".ci/pytorch/multigpu-test.sh", "#!/bin/bash\necho several devices\n", 0o755)
    report = act.run("line.yml")
    assert (report.code, report.results) == (0, ["success"])
    assert "several devices" in report.output.splitlines()
    assert only_record(report)["route"]["reason"] == "multigpu"


def test_nox_cannot_be_installed(act):
    act.env["PIP_FIND_LINKS"] = "/none"
    report = act.run(act.caller(**DOCS, **ON))
    assert (report.code, report.results) == (1, ["failure"])
    assert ("ci_sessions cannot be used", "pip could not install the pinned requirements") in (
        report.annotations("error")
    )
    assert report.records == []


def test_nox_cannot_be_installed_with_the_flag_at_0(act):
    act.env["PIP_FIND_LINKS"] = "/none"
    report = act.run(act.caller(**DOCS))
    assert (report.code, report.results) == (0, ["success"])
    assert "ci_sessions cannot be used" in [title for title, _ in report.annotations("warning")]
    assert only_record(report)["route"]["reason"] == "flag-off"


def test_package_broken(act):
    act.write("ci_sessions/cli/verbs.py", "this is not Python\n")
    report = act.run(act.caller(**DOCS, **ON))
    assert (report.code, report.results) == (0, ["success"])
    warning = ("ci_sessions", "ci_sessions cannot be imported; running .ci/pytorch/test.sh instead")
    assert report.annotations("warning") == [warning]
    record = only_record(report)
    assert (record["route"]["fallback"], record["outcome"]) == ("import-error", "passed")


def test_package_broken_and_no_fallback(act):
    act.write("ci_sessions/cli/verbs.py", "this is not Python\n")
    report = act.run(act.caller(**DOCS, **ON, **{"no-shell-fallback": "1"}))
    assert (report.code, report.results) == (1, ["failure"])
    text = "dispatch cannot start, and NO_SHELL_FALLBACK is 1"
    assert ("ci_sessions", text) in report.annotations("error")


def test_no_session_dispatch(act):
    act.write("noxfile.py", "")
    report = act.run(act.caller(**DOCS, **ON))
    assert (report.code, report.results) == (1, ["failure"])
    (error,) = [text for title, text in report.annotations("error") if title.startswith("ci_")]
    assert error.startswith("nox -l lists no session dispatch")


def test_a_release_that_the_checkout_pins(act):
    """A wheel and its dependencies, with hashes; the checkout has no copy of the package."""
    shutil.rmtree(act.root / "ci_sessions")
    wheel = act.build_wheel("pins")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pins = f"./pins/{wheel.name} --hash=sha256:{digest}\n" + REQUIREMENTS.read_text()
    act.write("pins/requirements.txt", pins)
    given = {"requirements": "pins/requirements.txt", "rollout-file": open_rollout(act)}
    report = act.run(act.caller(**DOCS, **given, **{"use-python-test-runner": "rollout"}))
    assert (report.code, report.results) == (0, ["success"])
    record = only_record(report)
    assert (record["runner"], record["route"]["reason"]) == ("python", "split-in")


def test_a_matrix_of_two_builds_with_entries_of_the_same_name(act):
    odd = "a 'b' \"c\" $HOME `d` é\nf"
    entry = {"config": "docs_test", "shard": 1, "num_shards": 1, "runner": "ubuntu-latest"}
    include = [
        {**entry, "build_environment": "linux-a"},
        {**entry, "build_environment": "linux-b"},
        {**entry, "build_environment": "linux-b", "env": {"EXTRA_FLAGS": odd}},
    ]
    matrix = {"test-matrix": json.dumps({"include": include})}
    report = act.run(act.caller(**matrix, **ON))
    assert (report.code, report.results) == (0, ["success"] * 3)
    jobs = [record["job"] for record in report.records]
    assert sorted(job["build_environment"] for job in jobs) == ["linux-a", "linux-b", "linux-b"]
    assert [job["env"]["EXTRA_FLAGS"] for job in jobs if "EXTRA_FLAGS" in job["env"]] == [odd]


def test_the_matrix_of_the_checkouts_own_workflows(act):
    (act.root / ".ci-sessions-sample").unlink()
    act.write(
        ".github/workflows/pull.yml",
        """
on: push
jobs:
  test:
    strategy: {matrix: {include: [{build: linux-a}, {build: linux-b}]}}
    runs-on: ubuntu-latest
    steps:
      - env: {TEST_CONFIG: jit_legacy, BUILD_ENVIRONMENT: "${{ matrix.build }}"}
        run: .ci/pytorch/test.sh
""",
    )
    act.caller()
    act.workflow(EXAMPLES / "matrix.yml")
    report = act.run("matrix.yml")
    assert (report.code, report.results) == (0, ["success"] * 3)
    builds = [record["job"]["build_environment"] for record in report.records]
    assert sorted(builds) == ["linux-a", "linux-b"]


def pull_request(act):
    event = {"pull_request": {"number": 7, "head": {"ref": "b"}, "base": {"ref": "main"}}}
    path = act.folder / "event.json"
    path.write_text(json.dumps(event))
    return "-e", str(path)


def test_parity_on_a_pull_request_that_changes_the_script(act):
    act.workflow(EXAMPLES / "parity.yml")
    act.commit()
    script = act.root / ".ci" / "pytorch" / "test.sh"
    old = "run_test --distributed-tests"
    assert old in script.read_text()
    script.write_text(script.read_text().replace(old, f"{old} --changed"))
    report = act.run("parity.yml", *pull_request(act), event="pull_request")
    assert (report.code, report.results) == (1, ["failure"])
    assert "Jobs affected by this change" in report.summary
    assert "❌ Plans compared with the script" in report.summary
    assert "--changed" in report.summary


def test_parity_on_a_pull_request_that_changes_nothing_in_it(act):
    act.workflow(EXAMPLES / "parity.yml")
    act.commit()
    act.write("docs/new.md", "new\n")
    report = act.run("parity.yml", *pull_request(act), event="pull_request")
    assert (report.code, report.results) == (0, ["success"])
    assert "✅ Plans compared with the script" in report.summary


def test_this_projects_own_workflow_on_a_pull_request(act):
    """All of validate.yml; of the sessions with all checks, which take long, only that they exist."""
    shutil.rmtree(act.root)
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, files.stdout.split("\0")):
        if (ROOT / name).is_file():
            (act.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, act.root / name)
    venv = act.folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    for name in ("python", "python3"):
        act.command(name, f'exec {venv}/bin/python "$@"')
    long = '"-s lint types docs tests" | "-s tests_lowest release_check"'
    act.command("nox", f'case "$*" in {long}) set -- -l "$@" ;; esac\nexec {venv}/bin/nox "$@"')
    options = ("--matrix", "python:3.12", *pull_request(act))
    report = act.run("validate.yml", *options, event="pull_request")
    assert (report.code, report.results) == (0, ["success", "success"])
    assert "Plan and script compared: equal" in report.summary
