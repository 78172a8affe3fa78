from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fleets import Fleet

from ci_sessions.gate.evidence import collect_evidence
from ci_sessions.gate.pairs import newest_pairs
from ci_sessions.gate.verdict import judge
from ci_sessions.records import query, run_list
from ci_sessions.records.query import by_time, read_summaries
from ci_sessions.records.record import Outcome
from ci_sessions.records.route import Runner
from ci_sessions.records.run_list import RunChain, RunIds, RunList, members_of_newest_pairs


def write_fleet(path, fleet):
    """Write the runs of a fleet to one file."""
    with path.open("w") as out:
        for run in fleet.records:
            route = {"commit": run.commit, "reason": str(run.reason)}
            route |= {"shadow": str(run.shadow)} if run.shadow else {}
            job = {"config": run.config, "id": run.job, "build_environment": "linux-x"}
            start = {"event": "run started", "id": run.id, "job": job, "started": run.started}
            end = {
                "event": "run ended",
                "id": run.id,
                "outcome": str(run.outcome),
                "wall": run.wall,
            }
            for event in ({**start, "runner": str(run.runner), "route": route}, end):
                out.write(json.dumps(event) + "\n")


@pytest.fixture(scope="module", params=[0, 1, 2])
def runs(request, tmp_path_factory):
    """Return the runs of a fleet, read from a file."""
    kinds = (
        {"share": 0, "differing_shadows": 0.01, "runs": 80},
        {"share": 25, "errors": 0.02, "red": 0.2},
        {"share": 50, "pairs": 40, "flaky": 0.2},
    )
    fleet = Fleet(request.param, **kinds[request.param])
    for _ in range(10):
        fleet.run_one_day()
    path = tmp_path_factory.mktemp("records") / "all.jsonl"
    write_fleet(path, fleet)
    return fleet.state, list(read_summaries([path]))


def without_place(found):
    return [replace(run, place=-1) for run in found]


def test_a_list_is_equal_to_the_runs_that_it_was_given(runs):
    _, found = runs
    kept = RunList(found)
    assert kept == found
    assert kept == RunList(without_place(found))
    assert (kept[0], kept[-1], kept[3:5]) == (found[0], found[-1], found[3:5])
    chain = RunChain(kept, RunList(found[:2]))
    assert (len(chain), chain[-1], chain) == (len(found) + 2, found[1], [*found, *found[:2]])
    assert repr(RunList(found[:1])) == f"RunList([{found[0]!r}])"
    assert kept != found[1:]
    assert kept != 7


def test_columns_select_as_the_runs_themselves_do(runs):
    _, found = runs
    for kept in (RunList(found), RunList(without_place(found))):
        assert kept.with_outcome(lambda one: one is Outcome.FAILED) == [
            run for run in found if run.outcome is Outcome.FAILED
        ]
        assert kept.with_shadow(lambda one: one.is_failure) == [
            run for run in found if run.shadow is not None and run.shadow.is_failure
        ]
        middle = sorted(found, key=by_time)[len(found) // 2]
        assert kept.after(middle) == [run for run in found if by_time(run) > by_time(middle)]
        assert kept.has_split_in == any(run.reason == "split-in" for run in found)
        newest = max(found, key=lambda run: run.started)
        assert kept.newest_with_build == newest


def test_a_time_that_is_not_written_as_usual_is_compared_as_text(runs):
    _, found = runs
    odd = [replace(run, started=f"{number:04}") for number, run in enumerate(found[:20])]
    kept = RunList(odd)
    assert kept == odd
    assert kept.after(odd[15]) == odd[16:]
    same = [replace(run, started=found[0].started, place=-1) for run in found[:20]]
    key = sorted(same, key=by_time)[9]
    assert sorted(RunList(same).after(key), key=by_time) == sorted(same, key=by_time)[10:]


def test_a_verdict_is_the_same_however_many_runs_there_are(runs, monkeypatch):
    state, found = runs
    expected = collect_evidence(without_place(found), {}, ())
    verdicts = {name: judge(one, state) for name, one in expected.items()}
    ids = {name: tuple(verdict.runs) for name, verdict in verdicts.items()}
    monkeypatch.setattr(run_list, "_FEW", 0)
    evidence = collect_evidence(found, {}, ())
    assert {name: judge(one, state) for name, one in evidence.items()} == verdicts
    for name, verdict in verdicts.items():
        again = judge(evidence[name], state).runs
        assert isinstance(again, RunIds)
        assert (len(again), again[0], again[-1]) == (len(ids[name]), ids[name][0], ids[name][-1])
        assert (again[1:3], again) == (list(ids[name][1:3]), verdict.runs)


@pytest.mark.parametrize("most", [1, 5, 20, 1000])
def test_only_the_runs_of_the_newest_pairs_are_read_again(runs, monkeypatch, most):
    _, found = runs
    again = [replace(run, id=f"{run.id}-2", place=-1) for run in found[::7]]  # of the same commit
    both = [*found, *again]
    sides = [RunList(run for run in both if run.runner is runner) for runner in Runner]
    members = members_of_newest_pairs(*sides, most)
    monkeypatch.setattr("ci_sessions.gate.pairs.MAX_PAIRS", most)
    assert newest_pairs(members) == newest_pairs(both)
    assert len(members) <= 4 * most + 4


def test_runs_whose_file_is_gone_are_counted(tmp_path):
    fleet = Fleet(0)
    fleet.run_one_day()
    write_fleet(tmp_path / "a.jsonl", fleet)
    kept = RunList(read_summaries([tmp_path / "a.jsonl"]))
    (tmp_path / "a.jsonl").unlink()
    ids = RunIds([kept])
    assert (len(kept), list(kept), len(ids)) == (44, [], 44)
    assert (ids[0], ids[-1], list(ids)) == ("", "", [])


def test_an_objection_does_not_vanish_with_its_file(tmp_path):
    fleet = Fleet(0, share=0, differing_shadows=0.2, runs=80)
    fleet.run_one_day()
    path = tmp_path / "all.jsonl"
    write_fleet(path, fleet)
    kept = RunList(read_summaries([path]))
    failed = kept.with_shadow(lambda verdict: verdict.is_failure)
    path.unlink()
    assert len(list(failed)) == len(failed) > 0


def test_runs_without_an_end_are_not_searched_for_again(tmp_path, monkeypatch):
    path = tmp_path / "all.jsonl"
    start = {"event": "run started", "started": "2026-11-28T05:41:00.000Z", "runner": "python"}
    lines = (json.dumps({**start, "id": f"{n}", "job": {"config": "x"}}) for n in range(50))
    path.write_text("\n".join(lines))
    kept = RunList(read_summaries([path]))
    monkeypatch.setattr(run_list, "read_again", None)
    assert len(list(kept)) == 50


def test_a_run_whose_file_is_gone_is_no_item(tmp_path, runs):
    _, found = runs
    kept = RunList([replace(found[0], path=str(tmp_path / "gone"), shadow=None)])
    with pytest.raises(IndexError, match="the file of run 0 is gone"):
        _ = kept[0]


@pytest.mark.parametrize("close", [0, 1 << 16])
def test_runs_are_read_again_in_order_near_or_far(tmp_path, monkeypatch, close):
    """All runs start before the first one ends, and they end in another order."""
    monkeypatch.setattr(query, "_CLOSE", close)
    path = tmp_path / "all.jsonl"
    start = {"event": "run started", "started": "2026-11-28T05:41:00.000Z", "runner": "python"}
    names = [f"run-{number}" for number in range(30)]
    lines = [json.dumps({**start, "id": name, "job": {"config": "x"}}) for name in names]
    ends = sorted(names, key=lambda name: int(name[4:]) * 7 % 30)
    lines += [json.dumps({"event": "run ended", "id": n, "outcome": "passed"}) for n in ends]
    path.write_text("".join(f"{line}\n" for line in lines))
    found = list(read_summaries([path]))
    kept = RunList(found)
    assert [run.id for run in kept] == [run.id for run in found] == ends
    assert kept[3:20:4] == found[3:20:4]
    assert kept[::-1] == found[::-1]
    assert kept[-1] == found[-1]
