"""The roll-out as a page shows it."""

from __future__ import annotations

import dataclasses

from fleets import CONFIG, Fleet, state_at

from ci_sessions.gate.evidence import Evidence
from ci_sessions.gate.verdict import judge
from ci_sessions.report.page.rollout import Tone, rollout_phases


def row_of(fleet, commands=("next",)):
    evidence = fleet.evidence()
    verdict = judge(evidence, fleet.state)
    phases, axis = rollout_phases(
        fleet.state, {CONFIG: evidence}, {CONFIG: verdict}, {CONFIG: commands}
    )
    (phase,) = phases
    return phase, phase.rows[0], axis


def a_fleet(days, **more):
    fleet = Fleet(1, **more)
    for _ in range(days):
        fleet.run_one_day()
    return fleet


def test_a_configuration_that_may_move_is_good_and_within_its_limits():
    phase, row, axis = row_of(a_fleet(30, share=25, red=0.0))
    assert (phase.name, phase.state, phase.is_open) == ("2A", "open", True)
    assert (row.move, row.tone, row.reasons) == ("promote to 50 %", Tone.GOOD, ())
    assert (row.share, row.next_share) == (25, 50)
    assert not row.errors.is_missed
    assert row.errors.limit == "limit 2.0 %"
    assert row.errors.plot.high < row.errors.plot.limit
    assert [measure.name for measure in row.measures] == ["time", "CPU", "memory"]
    assert row.measures[0].target == "+10.0 %"
    assert row.commands == ("next",)
    assert row.number_of_runs > 200
    assert row.is_listed
    assert axis == 0.15


def test_a_configuration_with_too_few_runs_waits_and_its_limit_is_missed():
    _, row, _ = row_of(a_fleet(2, share=25, pairs=0))
    assert (row.move, row.tone) == ("hold at 25 %", Tone.PLAIN)
    assert row.errors.is_missed
    assert row.pairs == "none yet, 10 are needed"


def test_a_configuration_that_fails_goes_back():
    _, row, _ = row_of(a_fleet(30, share=25, errors=0.3))
    assert (row.move, row.tone) == ("roll back to 5 %", Tone.BAD)
    assert "runner fails" in row.reasons[0]


def test_a_configuration_at_the_end_has_its_targets_as_limits():
    _, row, _ = row_of(a_fleet(10, share=100))
    assert (row.move, row.next_share, row.errors.limit) == ("done", None, "target 1.0 %")


def test_what_closes_a_phase_is_in_its_heading_only():
    fleet = a_fleet(3, share=0)
    fleet.state = dataclasses.replace(fleet.state, open_phases=frozenset())
    phase, row, _ = row_of(fleet)
    assert (phase.state, phase.is_open) == ("closed, can be opened now", False)
    assert row.reasons == ()
    assert row.shadow == "120 clean of 120 comparisons"


def test_flaky_cases_of_pairs_are_named():
    _, row, _ = row_of(a_fleet(20, share=25, flaky=0.3, pairs=5))
    assert row.flaky[0].startswith("Test.flaky: failed in Python only in ")


def test_a_configuration_without_a_script_has_no_shadows_or_pairs():
    state = state_at(25, compare=False)
    evidence = Evidence(CONFIG)
    phases, _ = rollout_phases(
        state, {CONFIG: evidence}, {CONFIG: judge(evidence, state)}, {CONFIG: ()}
    )
    row = phases[0].rows[0]
    assert row.shadow == row.pairs == "none: the script has no such configuration"
    assert (row.errors.text, row.errors.plot, row.red) == ("no runs", None, "– / –")
