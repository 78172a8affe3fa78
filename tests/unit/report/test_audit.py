from __future__ import annotations

import datetime as dt

from inventories import job, part, step

from ci_sessions.inventory.audit import audit
from ci_sessions.inventory.baseline import Accepted, Baseline
from ci_sessions.report.audit import Verdict, audit_to_json, describe_audit

JOBS = [
    job(step(part("test_ops"))),
    job(step(), config="empty"),
    job(step(unknown=["--new"]), config="new"),
]
FOUND = audit(
    JOBS,
    ["test_ops", "test_a", "test_b", "test_c"],
    lambda names: dict.fromkeys(names, "same reason"),
    8,
)
TODAY = dt.date(2026, 11, 28)


def accepted(kind, what):
    return Accepted(kind=kind, what=what, why="x", since=TODAY)


def test_findings_with_the_same_reason_share_a_line():
    assert describe_audit(Verdict.of(FOUND, None, {})).splitlines() == [
        "3 test files run in no scheduled job",
        "  same reason",
        "    3 files: test_a, test_b, test_c",
        "",
        "2 jobs select nothing",
        "  run_test.py selects no test file",
        "    2 jobs: empty, linux-jammy-py3.10-gcc11, new, linux-jammy-py3.10-gcc11",
        "",
        "1 step that run_test.py of this checkout cannot run",
        "  new, test_python 1: run_test.py of this checkout does not know --new",
        "",
        "3 jobs, 4 test files; --write-baseline FILE accepts what is found, to see only what is new",
    ]


def test_against_a_baseline_only_what_is_new_is_shown():
    baseline = Baseline(
        accepted=(
            accepted("unrun", "test_[ab]"),
            accepted("empty", "*"),
            accepted("refused", "*"),
            accepted("unrun", "gone"),
        ),
        files={"default": 3},
    )
    verdict = Verdict.of(FOUND, baseline, {"default": 1})
    assert verdict.has_news
    assert describe_audit(verdict).splitlines() == [
        "3 test files run in no scheduled job (2 of them accepted)",
        "  test_c: same reason   NEW",
        "",
        "2 jobs select nothing (2 of them accepted)",
        "",
        "1 step that run_test.py of this checkout cannot run (1 of them accepted)",
        "",
        "default runs 1 test file, 3 when the baseline was written   NEW",
        "no longer found, remove it from the baseline: gone",
        "3 jobs, 4 test files; 2 new findings",
    ]
    found = audit_to_json(verdict)
    assert [one["new"] for one in found["unrun"]] == [False, False, True]
    assert found["changed"] == [{"config": "default", "before": 3, "now": 1}]


def test_a_long_list_is_cut_unless_all_is_wanted():
    many = audit(
        [], [f"test_{n:02}" for n in range(40)], lambda names: {name: name for name in names}, 8
    )
    assert "… 10 more lines: --every shows all" in describe_audit(Verdict.of(many, None, {}))
    assert "test_39: test_39" in describe_audit(Verdict.of(many, None, {}), every=True)
