"""Verdicts from generated histories with known rates."""

from __future__ import annotations

import io
import json
import random
import statistics
from bisect import bisect_right
from dataclasses import replace

import pytest
from conftest import ROOT

from ci_sessions.cli import rollout as command
from ci_sessions.cli.options import Context
from ci_sessions.cli.stdout import Stdout
from ci_sessions.errors import InputError
from ci_sessions.gate.evidence import collect_evidence, relevant_runs
from ci_sessions.gate.findings import NextStep
from ci_sessions.gate.pairs import Measure
from ci_sessions.gate.rollout import Acknowledged, Configuration, read_rollout
from ci_sessions.gate.statistics import (
    Interval,
    Rate,
    _resampled_median,
    bootstrap_median,
    difference,
    is_one_sided,
    wilson,
)
from ci_sessions.gate.verdict import judge
from ci_sessions.job.environment import Environment
from ci_sessions.records.details import RunDetails
from ci_sessions.records.query import Summary, read_summaries
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.report.rollout import describe_rollout
from ci_sessions.report.rollout_json import rollout_to_json
from ci_sessions.text import Redactor

SEED = 20260923
STATE = replace(
    read_rollout(),
    open_phases=frozenset({"1", "2A"}),
    configurations={"docs_test": Configuration("2A", 25), "smoke": Configuration("1", 0)},
)


def run(number, runner="python", outcome="passed", wall=100.0, **more):
    values = {
        "id": f"{runner}-{number}",
        "config": "docs_test",
        "job": f"job-{number}",
        "commit": "c",
        "started": f"{number:06}",
    }
    return Summary(
        **{
            **values,
            "runner": Runner(runner),
            "outcome": Outcome(outcome),
            "wall": wall,
            **more,
        }
    )


def history(python, *, fallbacks=0, errors=0, slowdown=-0.04, pairs=40, disagree=0):
    """Generate runs with these counts; a printed seed shuffles their order and times."""
    print(f"seed {SEED}")
    source = random.Random(SEED)
    runs = []
    for n in range(python - fallbacks):
        outcome = "runner error" if n < errors else "passed"
        runs.append(run(n, outcome=outcome, wall=100 * (1 + slowdown) * source.uniform(0.97, 1.03)))
    runs += [run(10_000 + n, "shell", fallback="unknown-config") for n in range(fallbacks)]
    for n in range(errors, errors + pairs):
        outcome = "failed" if n < errors + disagree else "passed"
        runs.append(run(n, "shell", outcome=outcome, wall=100 * source.uniform(0.97, 1.03)))
    source.shuffle(runs)
    return runs


def verdict(runs, share=25):
    state = replace(STATE, configurations={"docs_test": Configuration("2A", share)})
    return judge(collect_evidence(runs)["docs_test"], state)


def test_wilsons_interval_is_the_known_one():
    """Expected values are from the closed formula, for 2 of 20, and from the rule of three, for 0."""
    found = wilson(2, 20)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0279, 0.3010)
    assert wilson(0, 0) == wilson(0, 0).__class__(0.0, 1.0)
    assert wilson(0, 400).low == 0.0
    assert 0.009 < wilson(0, 400).high < 0.01
    assert wilson(5, 5).high == 1.0


def test_the_median_interval_holds_the_median_and_repeats():
    values = [1 + n / 100 for n in range(-20, 21)]
    found = bootstrap_median(values)
    assert found.low < 1.0 < found.high
    assert found == bootstrap_median(values)
    assert bootstrap_median([]).high == float("inf")


def test_good_evidence_promotes_by_one_step():
    found = verdict(history(500))
    assert (found.action, found.share) == ("promote", 50)


def test_all_in_python_is_done():
    found = verdict(history(500), share=100)
    assert (found.action, found.next) == ("done", NextStep.WAIT)
    assert verdict(history(500, disagree=2), share=100).share == 100, "held where it is"


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        (history(100), "errors: 89 more clean runs needed"),
        (history(189, fallbacks=14), "fallback: "),
        (history(500, pairs=0), "time: 10 more pairs needed"),
        (history(500, slowdown=0.0999, pairs=40), "time: may still exceed its target"),
        (history(500, disagree=2), "2 of 40 pairs differ: the shell is red, and no test cases"),
        (history(500, disagree=1), "1 of 40 pairs differ"),
        (history(500, errors=7), "errors: "),
    ],
)
def test_thin_or_mixed_evidence_holds(runs, reason):
    found = verdict(runs)
    assert found.action == "hold"
    assert found.share == 25
    assert reason in found.reason


@pytest.mark.parametrize("runs", [history(500, disagree=2), history(500, slowdown=0.2)])
def test_what_is_against_a_configuration_is_to_be_inspected(runs):
    assert verdict(runs, share=0).next is NextStep.INSPECT


def test_the_smallest_share_can_be_rolled_back():
    found = at_targets(history(500, errors=20), share=1, steps=(0, 1, 100))
    assert (found.action, found.share) == ("roll back", 0)


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        (history(500, fallbacks=60), "falls back in at least 9."),
        (history(500, errors=20), "runner fails in at least 2."),
        (history(500, slowdown=0.2), "time: at least "),
    ],
)
def test_bad_evidence_rolls_back_and_names_the_runs(runs, reason):
    found = verdict(runs)
    assert (found.action, found.share) == ("roll back", 5)
    assert reason in found.reason
    assert found.runs
    assert found.next is NextStep.APPLY


def test_a_configuration_at_zero_percent_cannot_be_rolled_back():
    found = verdict(history(500, slowdown=0.2), share=0)
    assert (found.action, found.share) == ("hold", 0)
    assert "time: at least" in found.reason


def test_the_boundary_is_the_intervals_edge_not_the_mean():
    """With 0 errors, 381 runs are the fewest whose upper limit is below 1 %."""
    assert wilson(0, 380).high >= 0.01 > wilson(0, 381).high


@pytest.mark.parametrize(("share", "runs"), [(5, 93), (25, 189), (50, 381)])
def test_a_step_needs_as_many_clean_runs_as_its_next_share_risks(share, runs):
    """The next share times the upper limit of the rate of errors must be below 1 %."""
    held = verdict(history(runs - 1), share)
    assert held.reason == "errors: 1 more clean run needed"
    assert (held.next, len(held.runs)) == (NextStep.WAIT, runs - 1)
    assert verdict(history(runs), share).action == "promote"


def test_a_single_failed_run_holds_and_does_not_roll_back():
    found = verdict(history(1, fallbacks=1, pairs=0))
    assert (found.action, found.share) == ("hold", 25)


def test_only_complete_routed_runs_since_the_last_change_count():
    state = replace(STATE, configurations={"docs_test": Configuration("2A", 25, "000100")})
    runs = [run(n) for n in range(200)]
    assert len(list(relevant_runs(runs, state))) == 100
    assert list(relevant_runs([run(150, reason=""), run(151, is_partial=True)], state)) == []


def test_the_newest_pairs_are_those_that_count():
    def pair(number, ratio, outcome="passed"):
        return [
            run(number, wall=100 * ratio, outcome=outcome),
            run(number, "shell", outcome=outcome),
        ]

    old = [item for n in range(500) for item in pair(n, 1.0)]
    new = [item for n in range(500, 1000) for item in pair(n, 3.0)]
    assert collect_evidence(old + new)["docs_test"].excess(Measure.TIME) == 2.0
    red = [item for n in range(20) for item in pair(n, 0.01, "failed")]
    found = collect_evidence(red)["docs_test"]
    assert (len(found.pairs), found.ratios(Measure.TIME)) == (20, [])


def test_a_failure_in_a_run_is_counted_once_despite_two_records():
    runs = [run(1, outcome="runner error"), run(2, "shell", fallback="bug-in-run")]
    found = collect_evidence(runs)["docs_test"]
    assert (found.attempts, found.fallback_rate, found.error_rate) == (1, Rate(1, 1), Rate(1, 1))


def test_interrupted_runs_are_ignored():
    assert collect_evidence([run(1, outcome="interrupted"), run(2, outcome="aborted")]) == {}


def test_the_first_job_needs_successful_shadow_runs():
    def first(count, shadow="equal", phase="1"):
        verdict = JobVerdict(shadow)
        runs = [run(n, "shell", config="smoke", shadow=verdict) for n in range(count)]
        state = replace(STATE, configurations={"smoke": Configuration(phase, 0)})
        return judge(collect_evidence(runs)["smoke"], state)

    assert first(5).reason == "15 more clean shadow comparisons needed"
    assert first(19).reason == "1 more clean shadow comparison needed"
    assert first(19).next is NextStep.SHADOW
    assert (first(20).action, first(20).share) == ("promote", 5)
    held = first(20, "different")
    assert held.reason == (
        "20 of 20 shadow comparisons did not match the script: 20 clean ones must follow, 0 did"
    )
    assert (held.next, len(held.runs)) == (NextStep.COMPARE, 20)
    assert first(20, phase="2C").reason == "phase 2C is closed, and can be opened now"
    assert first(20, "other-script").reason == "20 more clean shadow comparisons needed"


def write_history(folder, runs):
    """Write a history as one record file with many runs."""
    folder.mkdir(parents=True)
    with (folder / "merged.jsonl").open("w") as out:
        for item in runs:
            start = {
                "event": "run started", "format": 1, "id": item.id, "job": {"config": item.config, "id": item.job},
                "started": item.started, "runner": item.runner,
                "route": {"commit": item.commit, "fallback": item.fallback, "reason": "split-in"},
            }  # fmt: skip
            end = {"event": "run ended", "id": item.id, "outcome": item.outcome, "wall": item.wall}
            out.write(json.dumps(start) + "\n")
            out.write('{"event": "step ended", "torn\n')
            out.write(json.dumps(end) + "\n")


def test_records_of_many_machines_are_merged(tmp_path, caplog):
    runs = history(500)
    write_history(tmp_path / "a" / "b", runs[:300])
    write_history(tmp_path / "c", runs[300:])
    (tmp_path / "old.jsonl").write_text(
        '{"event": "run started", "format": 0, "id": "x"}\n{"event": "run ended", torn'
    )
    (tmp_path / "cut.jsonl").write_text(
        '{"event": "run started", "format": 1, "id": "y", "job": {"config": "z"}}\n'
    )
    read = list(read_summaries(tmp_path.rglob("*.jsonl")))
    assert sorted(item.id for item in read if item.outcome != "aborted") == sorted(
        item.id for item in runs
    )
    assert [item.config for item in read if item.outcome == "aborted"] == ["z"]
    assert "skipped 2 records that cannot be read" in caplog.text
    assert "old.jsonl" in caplog.text
    assert judge(collect_evidence(read)["docs_test"], STATE).action == "promote"


def options(tmp_path, *args):
    path = tmp_path / "rollout.toml"
    if not path.exists():
        text = read_rollout().source.replace(
            'docs_test = { phase = "2A", share = 0 }', 'docs_test = { phase = "2A", share = 25 }'
        )
        path.write_text(
            text.replace(
                '2A = { risk = "low", open = false }', '2A = { risk = "low", open = true }'
            )
        )
    return ["--rollout", str(path), "--records", str(tmp_path / "records"), *args]


def rollout(args, out):
    context = Context(
        program=("x", "rollout"),
        summary="",
        out=Stdout(out),
        environment=Environment(),
        redact=Redactor({}),
    )
    return command.main(args, context)


def test_the_table_and_the_exit_code(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT / "examples" / "checkout")  # elsewhere, commands have its path
    write_history(tmp_path / "records", history(500, fallbacks=60))
    out = io.StringIO()
    assert rollout(options(tmp_path), out) == 1
    lines = out.getvalue().splitlines()
    row = next(line for line in lines if line.startswith("  docs_test"))
    assert "500 / 40" in row
    assert "12 (9.4–15)" in row
    assert "roll back to 5 %: falls back in at least 9.4 % of runs, target 5 %" in out.getvalue()
    assert "    runs    60, shell-10000 to shell-10059 (--json lists all)" in lines
    commands = ("--", str(tmp_path))  # an option or a path is not broken
    assert max(len(line) for line in lines if not any(one in line for one in commands)) <= 100


def test_a_step_is_applied_once_and_reported(tmp_path):
    write_history(tmp_path / "records", history(500))
    out = io.StringIO()
    assert rollout(options(tmp_path, "--apply"), out) == 0
    assert "applied: docs_test 25 % → 50 % in" in out.getvalue()
    assert read_rollout(tmp_path / "rollout.toml").configurations["docs_test"].share == 50
    out = io.StringIO()
    assert rollout(options(tmp_path, "--apply"), out) == 0
    assert "applied: nothing to change" in out.getvalue(), "the same evidence does not count twice"
    with pytest.raises(InputError, match="pass your own with --rollout FILE"):
        rollout(["--apply", "--records", str(tmp_path)], out)


def test_nothing_to_apply_is_reported(tmp_path):
    out = io.StringIO()
    write_history(tmp_path / "records", history(30))
    rollout(options(tmp_path, "--apply"), out)
    assert "applied: nothing to change" in out.getvalue()


def test_json_for_machines(tmp_path):
    write_history(tmp_path / "records", history(500))
    out = io.StringIO()
    assert rollout(options(tmp_path, "--json"), out) == 0
    entry = json.loads(out.getvalue())["docs_test"]
    assert (entry["verdict"], entry["to_share"], entry["python"], entry["pairs"]) == (
        "promote",
        50,
        500,
        40,
    )
    assert entry["errors"]["high"] < 0.01
    assert entry["red"]["python"]["hits"] == 0
    assert len(entry["runs"]) == 540
    (command,) = entry["next"]
    assert command.endswith("--apply")
    assert entry["more"]["time"]["pairs"] == 40
    assert entry["more"]["cpu"] is None


def test_a_shadow_is_shown():
    runs = [run(1, "shell", shadow=JobVerdict.EQUAL), run(2, "shell", shadow=JobVerdict.ERROR)]
    evidence = collect_evidence(runs)
    state = replace(STATE, configurations={"docs_test": Configuration("2A", 0)})
    verdicts = {"docs_test": judge(evidence["docs_test"], state)}
    text = describe_rollout(state, evidence, verdicts, {"docs_test": ("next",)})
    assert "    shadow  2 comparisons, 1 did not match the script" in text
    data = rollout_to_json(state, evidence, verdicts, {"docs_test": ("next",)})["docs_test"]
    assert data["is_done"] is False
    assert data["failed_shadows"] == ["shell-2"]


@pytest.mark.parametrize(
    ("hits", "total", "limit"),
    [(0, 0, 0.5), (0, 100, 0.01), (0, 10, 0.05), (1, 100, 0.04), (2, 150, 0.03), (0, 7, 0.3), (50, 400, 0.01)],
)  # fmt: skip
def test_the_clean_runs_needed_are_the_fewest_that_are_enough(hits, total, limit):
    more = Rate(hits, total).clean_runs_needed(limit)
    assert wilson(hits, total + more).high < limit <= wilson(hits, total + more - 1).high
    assert type(more) is int


def test_no_runs_are_needed_for_a_limit_that_is_met_and_none_are_enough_for_0():
    assert Rate(0, 100).clean_runs_needed(0.2) == Rate(0, 0).clean_runs_needed(20) == 0
    assert Rate(0, 100).clean_runs_needed(0.0) == -1


def test_a_limit_that_equals_the_target_is_not_below_it():
    target = wilson(0, 50).high
    assert Rate(0, 25).clean_runs_needed(target) == 26
    assert Rate(0, 50).clean_runs_needed(target) == 1


def test_the_interval_of_a_difference_is_newcombes():
    """Expected values are of Newcombe's example, 56 of 70 and 48 of 80 (method 10)."""
    found = difference(Rate(56, 70), Rate(48, 80))
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    found = difference(Rate(56, 70), Rate(48, 80), 2.5758293035489004)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0054, 0.3718), "99 %"


def test_the_sign_test_needs_6_of_6():
    assert not is_one_sided(5, 0)
    assert is_one_sided(6, 0)
    assert is_one_sided(0, 6)
    assert not is_one_sided(6, 1)
    assert is_one_sided(9, 1)
    assert is_one_sided(8, 1), "by chance, 10 of 512 are like this on either side: 3.9 %"
    assert not is_one_sided(7, 1)


def test_the_upper_limit_is_1_if_every_run_is_a_hit():
    assert {wilson(total, total).high for total in range(1, 300)} == {1.0}
    assert all(wilson(total - 1, total).high < 1 for total in range(1, 300))


def test_a_median_interval_is_the_same_in_every_release():
    """A rerun of the rollout command on the same records gives the same verdict."""
    values = [1.0, 1.1, 0.9, 1.3, 0.8, 1.05, 1.2]
    assert bootstrap_median(values) == bootstrap_median(values, seed=0) == Interval(0.9, 1.2)
    many = [n / 97 for n in range(97)]
    assert bootstrap_median(many) == Interval(low=0.4020618556701031, high=0.5876288659793815)
    assert bootstrap_median(many, seed=1) == Interval(
        low=0.4020618556701031, high=0.5773195876288659
    )
    assert bootstrap_median([]) == Interval(0.0, float("inf"))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9, 30, 31, 330])
def test_medians_of_resamples_are_drawn_as_if_each_resample_was(size):
    """The distributions are equal: that of 4,000 medians is compared with 4,000 plain ones."""
    source = random.Random(size)
    values = sorted(source.gauss(1, 0.1) for _ in range(size))
    drawn = sorted(_resampled_median(values, source) for _ in range(4000))
    plain = sorted(statistics.median(source.choices(values, k=size)) for _ in range(4000))
    both = sorted({*drawn, *plain})
    distance = max(abs(bisect_right(drawn, at) - bisect_right(plain, at)) for at in both) / 4000
    assert distance < 0.036, "the limit of Kolmogorov and Smirnov at 1 %"


def test_runs_of_a_configuration_that_is_not_in_the_file_count():
    assert [one.id for one in relevant_runs([run(1, config="other")], STATE)] == ["python-1"]


def test_an_undecided_run_is_a_fallback_only_if_python_was_to_run_it():
    state = replace(STATE, configurations={"docs_test": Configuration("2A", 25)})
    jobs = [f"job-{n}" for n in range(40)]
    runs = [
        run(n, "shell", job=job, reason="undecided", fallback="bug") for n, job in enumerate(jobs)
    ]
    runs.append(run(99, "shell", config="other", job=jobs[0], reason="undecided", fallback="bug"))
    found = list(relevant_runs(runs, state))
    assert [one.id for one in found] == [one.id for one in runs]
    assert [one.fallback for one in found] == [
        "bug" if state.bucket(job) < 25 else "" for job in jobs
    ] + [""]
    decided = run(1, "shell", config="other", fallback="bug")
    assert list(relevant_runs([decided], state)) == [decided]


def test_runs_after_a_fallback_count_too():
    found = collect_evidence([run(1, "shell", fallback="bug"), run(2), run(3, "shell")])[
        "docs_test"
    ]
    assert (len(found.fallbacks), len(found.python), len(found.shell)) == (1, 1, 1)
    assert (found.attempts, found.fallback_rate) == (2, Rate(1, 2))
    assert found.fallback_rate.value == 0.5
    assert Rate(0, 0).value == 0.0


def test_a_failed_shadow_is_kept():
    bad = run(1, "shell", shadow=JobVerdict.DIFFERENT)
    found = collect_evidence([bad, run(2, "shell", shadow=JobVerdict.ACCEPTED)])["docs_test"]
    assert (len(found.shadows), found.failed_shadows) == (2, [bad])


@pytest.mark.parametrize(
    "more",
    [
        {"commit": ""},
        {"outcome": "runner error"},
        {"outcome": "unknown"},
        {"outcome": "interrupted"},
    ],
)
@pytest.mark.parametrize("side", ["python", "shell"])
def test_a_run_without_a_commit_or_result_is_in_no_pair(side, more):
    other = "shell" if side == "python" else "python"
    runs = [run(1, side, **more), run(1, other, **({"commit": ""} if "commit" in more else {}))]
    found = collect_evidence(runs).get("docs_test")
    assert found is None or (found.pairs, found.ratios(Measure.TIME)) == ([], [])


def test_repeated_runs_of_a_job_are_paired_in_order_of_time():
    def at(second, runner, wall, **more):
        return run(1, runner, id=f"{runner}-{second}", started=f"{second}", wall=wall, **more)

    runs = [
        at(3, "python", 30), at(1, "python", 10), at(2, "python", 20, outcome="failed"), at(4, "python", 99),
        at(6, "shell", 10), at(5, "shell", 10), at(4, "shell", 20),
    ]  # fmt: skip
    found = collect_evidence(runs)["docs_test"]
    assert len(found.pairs) == 3
    assert found.ratios(Measure.TIME) == [0.5, 3.0]
    assert [pair.python.id for pair in found.differing_pairs] == ["python-2"]


def test_a_shell_run_without_a_duration_gives_no_ratio():
    runs = [run(1), run(1, "shell", wall=0.0), run(2, wall=1.0), run(2, "shell", wall=0.5)]
    assert collect_evidence(runs)["docs_test"].ratios(Measure.TIME) == [2.0]


def at_targets(runs, share=25, steps=STATE.steps, **targets):
    state = replace(
        STATE,
        steps=steps,
        targets=replace(STATE.targets, **targets),
        configurations={"docs_test": Configuration("2A", share)},
    )
    return judge(collect_evidence(runs)["docs_test"], state)


def pairs(ratios):
    return [
        run(n, runner, wall=100 * ratio if runner == "python" else 100.0)
        for n, ratio in enumerate(ratios)
        for runner in ("python", "shell")
    ]


def test_20_runs_are_the_fewest_for_a_rollback():
    assert at_targets(history(19, fallbacks=19, pairs=0)).action == "hold"
    found = at_targets(history(20, fallbacks=20, pairs=0))
    assert (found.action, found.share, len(found.runs)) == ("roll back", 5, 20)
    assert found.reason == "falls back in at least 83.9 % of runs, target 5 %"


def test_10_pairs_are_the_fewest_for_a_verdict_about_time():
    assert at_targets(pairs([1.25] * 9), errors=1, fallback=1).reason == "time: 1 more pair needed"
    found = at_targets(pairs([1.25] * 10))
    assert found.reason == "time: at least 25.0 % more, target 10 %"
    assert (found.action, len(found.runs)) == ("roll back", 20)
    assert at_targets(pairs([1.0] * 10), errors=1, fallback=1).action == "promote"
    assert at_targets(pairs([1.0] * 3), errors=1, fallback=1).reason == "time: 7 more pairs needed"


def test_a_lower_limit_that_equals_the_target_misses_it():
    runs = history(100, fallbacks=10, pairs=0)
    low = collect_evidence(runs)["docs_test"].fallback_rate.interval.low
    assert at_targets(runs, fallback=low).action == "roll back"
    assert at_targets(runs, fallback=low + 1e-9).action == "hold"
    assert at_targets(pairs([1.25] * 10), time=0.25).action == "roll back"
    assert at_targets(pairs([1.25] * 10), time=0.250001, errors=1, fallback=1).action == "promote"


def test_an_upper_limit_that_equals_the_target_does_not_meet_it():
    high = wilson(0, 100).high
    needed = at_targets(history(100), fallback=high / 2, errors=1)
    assert needed.reason == "fallback: 1 more clean run needed"
    needed = at_targets(history(100), fallback=1, errors=high / 2)
    assert needed.reason == "errors: 1 more clean run needed"
    assert at_targets(history(100), fallback=high / 2 + 1e-9, errors=1).action == "promote"
    mixed = pairs([1.0] * 5 + [1.5] * 6)
    limit = collect_evidence(mixed)["docs_test"].excess_interval(Measure.TIME).high
    found = at_targets(mixed, time=limit, errors=1, fallback=1)
    assert (found.action, found.reason) == ("hold", "time: may still exceed its target")
    assert at_targets(mixed, time=limit + 1e-9, errors=1, fallback=1).action == "promote"


def test_a_verdict_lists_all_that_is_missing():
    found = at_targets(history(30, fallbacks=2, pairs=0))
    assert found.reason == "errors: 159 more clean runs needed; time: 10 more pairs needed"
    assert found.share == 25


def test_a_verdict_names_the_share_that_it_leads_to():
    good = history(500)
    assert verdict(good).reason == "25 % → 50 %"
    done = verdict(good, share=100)
    assert (done.share, done.reason) == (100, "all of its jobs run in Python")
    closed = judge(
        collect_evidence(good)["docs_test"],
        replace(STATE, configurations={"docs_test": Configuration("2C", 25)}),
    )
    assert (closed.action, closed.share, closed.next) == ("hold", 25, NextStep.OPEN)
    slow = history(500, slowdown=0.2)
    assert at_targets(slow, share=5, steps=(0, 5, 100)).share == 0
    assert at_targets(slow, share=25, steps=(50, 100)).share == 0


def shadows(number, shadow="equal", start=0):
    return [run(n, "shell", shadow=JobVerdict(shadow)) for n in range(start, start + number)]


def test_shadow_comparisons_are_needed_only_before_the_first_job():
    assert at_targets(shadows(20), share=0).action == "promote"
    assert "time: 10 more pairs needed" in at_targets(shadows(20), share=25).reason
    assert "shadow" not in at_targets(history(500), share=25).reason


def test_runs_in_python_at_share_0_never_replace_shadow_comparisons():
    """Nor are they waited for, since no job runs in Python at 0 %."""
    assert at_targets(history(500), share=0).reason == "20 more clean shadow comparisons needed"
    assert at_targets([*shadows(20), run(99)], share=0).action == "promote"
    failed = [*shadows(20), run(99, outcome="runner error")]
    held = at_targets(failed, share=0)
    assert (held.action, held.next) == ("hold", NextStep.PAIR)
    assert held.reason.startswith("errors: 24 more clean runs needed (no job of it runs in Python")


def test_differing_shadows_hold_at_any_share_until_20_clean_ones_follow():
    bad = [run(n, "shell", shadow=JobVerdict.DIFFERENT) for n in range(1000, 1006)]
    for share in (0, 5, 25, 50, 100):
        held = at_targets([*history(412), *bad], share=share)
        assert (held.action, held.next) == ("hold", NextStep.COMPARE)
        assert held.runs == tuple(one.id for one in bad)
        assert held.reason.startswith("6 of 6 shadow comparisons did not match the script")
    assert at_targets([*bad, *shadows(19, start=1006)], share=0).action == "hold"
    assert at_targets([*bad, *shadows(20, start=1006)], share=0).action == "promote"
    assert at_targets([*shadows(20), *bad], share=0).action == "hold"
    assert at_targets([*bad, *shadows(19, start=1006)], share=0).run == bad[-1].id
    assert at_targets([*bad, *shadows(20, start=1006)], share=0).run == ""


def at_share(share, runs, details=None, **more):
    acknowledged = more.pop("acknowledged", ())
    entry = Configuration("2A", share, compare=more.pop("compare", True))
    state = replace(STATE, configurations={"docs_test": entry}, acknowledged=acknowledged)
    return judge(collect_evidence(runs, details, acknowledged)["docs_test"], state)


def red(python, shell, ours=500, theirs=1000):
    """Runs of which these many are red; pairs agree."""
    runs = [run(n, outcome="failed" if n < python else "passed", commit="") for n in range(ours)]
    runs += [
        run(n, "shell", outcome="failed" if n < shell else "passed", commit="")
        for n in range(theirs)
    ]
    return [*runs, *(one for one in history(40, pairs=40) if one.outcome is Outcome.PASSED)]


def test_a_significantly_higher_red_rate_in_python_holds_and_says_so():
    held = at_share(50, red(60, 40))
    assert held.action == "hold"
    assert held.reason == (
        "significantly more often red: Python 11.1 % of 540 runs, shell 3.8 % of 1,040"
    )
    assert len(held.runs) == 60
    assert at_share(50, red(20, 40)).action == "promote"
    assert at_share(50, red(0, 400)).action == "promote", "a lower rate is no fault"


def test_a_red_rate_in_doubt_waits_for_more_runs():
    held = at_share(5, red(6, 40, ours=60))
    assert (held.action, held.next, len(held.runs)) == ("hold", NextStep.WAIT, 6)
    assert held.reason == (
        "may be more often red, more runs will tell: Python 6.0 % of 100 runs, shell 3.8 % of 1,040"
    )
    assert at_share(5, red(4, 40, ours=60)).action == "hold"
    assert at_share(5, red(12, 40, ours=300)).action == "promote"
    assert at_share(5, red(0, 40, ours=60)).action == "promote", "nothing is red: no doubt"


def test_red_rates_are_not_compared_without_enough_runs():
    def reason(python, shell):
        """Return the verdict's reason for red runs in Python and green ones in the shell."""
        ours = [run(n, outcome="failed", commit="") for n in range(100, 100 + python)]
        theirs = [run(n, "shell", commit="") for n in range(200, 200 + shell)]
        return at_share(0, [*shadows(20), *ours, *theirs]).reason

    assert "red" not in reason(19, 40)
    assert "significantly more often red" in reason(20, 40)
    only_python = [run(n, outcome="failed", commit="") for n in range(100, 140)]
    assert "red" not in at_share(25, only_python).reason, "there is nothing to compare with"


def test_a_configuration_that_the_script_lacks_needs_no_shadows_and_no_pairs():
    held = at_share(0, [run(n) for n in range(19)], compare=False)
    assert held.reason == "1 more clean run with the flag at 1 needed"
    assert at_share(0, [run(n) for n in range(20)], compare=False).action == "promote"
    assert at_share(5, [run(n) for n in range(93)], compare=False).action == "promote"


def test_a_step_that_moves_no_job_waits_for_no_runs_in_python():
    """The only job has bucket 42 of this salt, so it is in the shell at 5 % and at 25 %."""
    job = next(f"only-{n}" for n in range(1000) if STATE.bucket(f"only-{n}") == 42)
    runs = [run(n, "shell", job=job, commit=f"c{n}") for n in range(20)]
    found = at_share(5, runs)
    assert (found.action, len(found.runs)) == ("promote", 20)
    assert at_share(5, runs[:19]).action == "hold", "its jobs are not known yet"
    new = next(f"new-{n}" for n in range(1000) if STATE.bucket(f"new-{n}") == 42)
    once = [*runs, run(20, "shell", job=new, commit="c20")]
    assert at_share(5, once).action == "hold", "others may not have run yet"
    held = at_share(25, runs)
    assert held.next is NextStep.PAIR
    assert "no job of it runs in Python at 25 %, so only made on purpose" in held.reason


# --- pairs, case by case


def pair_of(number, python, shell, **more):
    """A pair with these failed cases, of 100; "stopped" runs only 60 of them."""
    runs, details = [], {}
    for runner, failed in (("python", python), ("shell", shell)):
        one = run(number, runner, outcome="failed" if failed else "passed")
        runs.append(one)
        details[one.id] = RunDetails(
            total=more.get(f"{runner}_total", 100), failed=frozenset(failed), cpu=more.get(f"{runner}_cpu", 0.0),
            peak=more.get(f"{runner}_peak", 0), is_complete=more.get("is_complete", True),
        )  # fmt: skip
    return runs, details


def with_pairs(*found, more=500):
    runs = [run(n, commit="") for n in range(more)]
    details = {}
    for one, its in [*found, *(pair_of(10_000 + n, (), ()) for n in range(20))]:
        runs += one
        details |= its
    return runs, details


def test_one_flaky_case_is_listed_and_does_not_hold():
    runs, details = with_pairs(pair_of(900, {"t.a"}, ()))
    (case,) = collect_evidence(runs, details)["docs_test"].flaky
    assert (case.name, len(case.python), len(case.shell), case.is_suspect) == ("t.a", 1, 0, False)
    assert at_share(25, runs, details).action == "promote"
    runs, details = with_pairs(pair_of(900, {"t.a"}, (), python_total=60))
    assert at_share(25, runs, details).action == "promote", "the red run stopped early"


def test_a_case_that_fails_repeatedly_on_one_side_holds_until_acknowledged():
    runs, details = with_pairs(*(pair_of(n, {"t.a"}, ()) for n in (900, 901)))
    held = at_share(25, runs, details)
    assert (held.action, held.next, held.case) == ("hold", NextStep.INSPECT, "t.a")
    assert held.reason == "t.a failed in Python only in 2 pairs, in the shell only in 0"
    assert held.runs == ("python-900", "shell-900", "python-901", "shell-901")
    known = (Acknowledged(config="docs_test", case="t.a", reason="the load"),)
    assert at_share(25, runs, details, acknowledged=known).action == "promote"
    other = (Acknowledged(config="docs_test", case="t.b", reason="the load"),)
    assert at_share(25, runs, details, acknowledged=other).action == "hold"


def test_a_case_that_fails_in_few_pairs_of_its_job_does_not_hold():
    """Two failures of ten pairs of one job are flaky, six are not chance."""

    def of_ten(failures):
        found = [pair_of(n, {"t.a"} if n < 1000 + failures else (), ()) for n in range(1000, 1010)]
        return with_pairs(
            *(([replace(one, job="job") for one in runs], more) for runs, more in found)
        )

    assert at_share(25, *of_ten(2)).action == "promote"
    assert at_share(25, *of_ten(5)).action == "promote"
    assert at_share(25, *of_ten(6)).reason.startswith("t.a failed in Python only in 6 pairs")


def test_a_case_that_fails_on_both_sides_in_turn_does_not_hold():
    found = [pair_of(900, {"t.a"}, ()), pair_of(901, {"t.a"}, ()), pair_of(902, (), {"t.a"})]
    assert at_share(25, *with_pairs(*found)).action == "promote"
    found += [pair_of(910 + n, {"t.a"}, ()) for n in range(8)]
    assert at_share(25, *with_pairs(*found)).action == "hold", "10 of 11 on one side"


@pytest.mark.parametrize(
    ("pair", "difference"),
    [
        (pair_of(900, (), (), python_total=90), "Python ran 90 cases (0 skipped), the shell 100 (0 skipped)"),
        (pair_of(900, {"t.a"}, (), python_total=101), "Python ran 101 cases (0 skipped), the shell 100 (0 skipped)"),
        (pair_of(900, {"t.a"}, (), is_complete=False), "Python is red, and no test cases are recorded for both"),
        (pair_of(900, (), {"t.a"}, is_complete=False), "the shell is red, and no test cases are recorded for both"),
    ],
)  # fmt: skip
def test_pairs_in_which_other_cases_ran_differ_until_acknowledged(pair, difference):
    runs, details = with_pairs(pair)
    held = at_share(25, runs, details)
    assert held.reason == f"1 of 21 pairs differ: {difference}"
    assert (held.runs, held.run) == (("python-900", "shell-900"), "python-900")
    known = (Acknowledged(config="docs_test", run="shell-900", reason="a machine died"),)
    assert at_share(25, runs, details, acknowledged=known).action == "promote"


def test_a_red_run_without_a_failed_case_differs():
    runs, details = with_pairs(pair_of(900, {"t.a"}, ()))
    details["python-900"] = replace(details["python-900"], failed=frozenset())
    assert "Python is red without a failed test case" in at_share(25, runs, details).reason


def test_cpu_time_and_memory_have_targets_as_time_has():
    def at(cpu, peak, pairs=20):
        found = [
            pair_of(n, (), (), python_cpu=cpu, shell_cpu=100.0, python_peak=peak, shell_peak=100)
            for n in range(900, 900 + pairs)
        ]
        return at_share(25, *with_pairs(*found))

    assert at(105.0, 105).action == "promote"
    assert at(120.0, 100).reason == "CPU: at least 20.0 % more, target 10 %"
    found = at(100.0, 120)
    assert (found.action, found.reason) == (
        "roll back",
        "memory: at least 20.0 % more, target 10 %",
    )
    assert len(found.runs) == 80
    assert at(120.0, 120, pairs=9).action == "promote", "too few pairs have them"


@pytest.mark.parametrize("outcome", ["unknown", "interrupted", "aborted"])
def test_runs_after_one_without_a_result_count_too(outcome):
    found = collect_evidence([run(1, "shell", outcome=outcome), run(2), run(3, "shell")])
    assert (len(found["docs_test"].python), len(found["docs_test"].shell)) == (1, 1)


def test_a_closed_phase_waits_for_what_can_be_made_without_opening_it():
    state = replace(
        STATE, open_phases=frozenset(), configurations={"docs_test": Configuration("2A", 25)}
    )
    found = judge(collect_evidence(history(100, pairs=0))["docs_test"], state)
    assert found.action == "hold"
    assert any("10 more pairs needed" in reason for reason in found.reasons)
    assert not any("clean runs" in reason for reason in found.reasons)
