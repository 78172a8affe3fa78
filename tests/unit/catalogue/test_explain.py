from __future__ import annotations

import re
from dataclasses import replace

from conftest import make_job, make_plan

from ci_sessions.catalogue.explain import Change, Variants, explain, shard_coverage
from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.scheduled import scheduled_matrices
from ci_sessions.catalogue.table import config_facts, config_problem, find_row
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.job.job_json import job_from_json
from ci_sessions.plan.plan import Test, TestKind
from ci_sessions.report.explanation import describe_explanation

CUDA = "linux-jammy-cuda13.0-py3.10-gcc11"


def test_an_explanation_lists_earlier_and_later_rows():
    found = explain(make_job("inductor_distributed"), RECORDED)
    assert found.row.name == "inductor distributed"
    assert [row.name for row in found.later] == ["inductor"]
    assert "jit legacy" in [row.name for row in found.earlier]


def test_an_explanation_shows_changes_for_other_builds_and_shards():
    found = explain(make_job("distributed", CUDA, "2/3"), RECORDED)
    changes = {name: item.change for item in found.variants for name in item.names}
    assert len(changes["shard 1 of 3"].added) == 9
    assert changes["a CPU build"].removed == (
        "python test/run_test.py --distributed-tests --multigpu-filter multigpu --shard N M --verbose",
    )
    assert "- PYTORCH_TESTING_DEVICE_ONLY_FOR=cuda" in changes["a CPU build"].exports
    assert {"~ VALGRIND=ON → OFF", "+ HIP_PLATFORM=(unset)"} <= set(changes["a ROCm build"].exports)
    assert "shard 3 of 3" not in changes, "it runs the same commands, on its own part"


def test_an_explanation_as_text():
    text = describe_explanation(explain(make_job("docs_test"), RECORDED))
    assert re.search(r"^row \d+ of \d+: config is docs_test \(docs\)$", text, re.MULTILINE)
    assert "\nlater rows that also match:\n  none\n" in text
    assert "error: NUM_TEST_SHARDS is 3, but docs_test cannot be sharded" in text


def test_variants_with_the_same_changes_are_one_entry():
    found = explain(make_job("distributed", CUDA, "1/3"), RECORDED)
    assert found.variants[0].names == ("shard 2 of 3", "shard 3 of 3")
    text = describe_explanation(found)
    assert "\n  shard 2 of 3, shard 3 of 3\n    - python test/run_test.py" in text
    assert "\n    exports\n      - TORCH_CUDA_ARCH_LIST=" in text


def test_a_long_command_is_wrapped_and_not_cut():
    found = explain(make_job("inductor_cpp_wrapper", CUDA, "1/2"), RECORDED)
    (command,) = found.variants[0].change.removed
    text = describe_explanation(found)
    assert len(command) > 100
    assert command not in text
    assert command in " ".join(text.split())


def test_many_commands_are_counted():
    change = Change(added=tuple(f"command {number}" for number in range(13)))
    found = explain(make_job("docs_test"), RECORDED)
    text = describe_explanation(replace(found, variants=(Variants(("x",), change),)))
    assert text.endswith("    + command 9\n    + … and 3 more")


def test_all_scheduled_configurations_are_known_and_planned():
    for matrix in scheduled_matrices():
        assert config_problem(matrix.config) is None
        for job in matrix.jobs():
            plan = plan_job(job_from_json(job, config_facts), RECORDED)
            assert plan.has_tests or plan.notices, job


RUN_TWICE = {
    # The script's functions for these ignore the shard number, and so do the plans.
    "inductor_core": "--include-inductor-core-tests",
    "default": "aten/tools/run_tests.sh build/bin",
}


def test_every_scheduled_matrix_is_covered_and_nothing_runs_twice():
    faults = {}
    divided = 0
    for matrix in scheduled_matrices():
        coverage = shard_coverage(
            plan_job(job_from_json(job, config_facts), RECORDED) for job in matrix.jobs()
        )
        divided += bool(coverage.divided) and len(matrix.shards) > 1
        for fault in coverage.faults:
            faults.setdefault(matrix.config, []).append(fault)
    assert set(faults) == set(RUN_TWICE)
    for config, (fault, *more) in faults.items():
        assert RUN_TWICE[config] in fault
        assert not more
    assert divided > 90


def test_extras_are_listed_by_shard():
    coverage = shard_coverage(make_plan("distributed", CUDA, f"{n}/3") for n in (1, 2, 3))
    assert [line.split("--")[1].strip() for line in coverage.divided] == ["distributed-tests"]
    assert set(coverage.extras) == {1}
    assert len(coverage.extras[1]) == 9
    assert coverage.faults == ()


def test_a_shard_without_its_part_is_a_fault():
    plans = [make_plan("distributed", CUDA, f"{n}/3") for n in (1, 2, 3)]
    plans[1] = replace(
        plans[1], tests=(Test(name="x", kind=TestKind.REPLACES, steps=(), replaces=("x",)),)
    )
    (fault,) = shard_coverage(plans).faults
    assert fault.startswith(
        "shard 2 does not run its part of: python test/run_test.py --distributed-tests"
    )


def test_a_dashboard_job_without_benchmarks_has_a_notice():
    plan = make_plan("inductor_timm_perf_xpu", "linux-noble-xpu-n-py3.10", "1/6")
    assert [notice.partition(":")[0] for notice in plan.notices] == ["dashboard-no-op"]
    assert not plan.has_tests
    busy = make_plan(
        "inductor_timm_perf_xpu",
        "linux-noble-xpu-n-py3.10",
        DASHBOARD_TAG="training-true-default-true",
    )
    assert busy.has_tests
    assert busy.notices == ()
    assert find_row(make_job("inductor_timm_perf_compare")).name == "timm"
    assert make_plan("inductor_timm_perf_compare").notices == ()
