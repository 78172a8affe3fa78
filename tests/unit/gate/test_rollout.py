from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ci_sessions.errors import RolloutError
from ci_sessions.gate.rollout import (
    BUCKETS,
    Acknowledged,
    Configuration,
    _iso,
    bucket_of,
    read_rollout,
    with_open_phase,
    with_share,
)

STATE = replace(read_rollout(), open_phases=frozenset({"1"}))
SHARES = st.integers(0, BUCKETS)
IDS = st.text() | st.text(st.characters(categories=["Cs"]), max_size=3)


def state_at(share, salt="salt"):
    return replace(STATE, salt=salt, configurations={"smoke": Configuration("1", share)})


@pytest.mark.parametrize("name", ["cpu", "memory"])
def test_a_resource_without_a_target_has_that_of_time(tmp_path, name):
    lines = read_rollout().source.splitlines()
    own = tmp_path / "rollout.toml"

    def targets(*more):
        kept = [line for line in lines if not line.startswith((f"{name} =", "time ="))]
        at = kept.index("[targets]") + 1
        own.write_text("\n".join([*kept[:at], "time = 0.25", *more, *kept[at:]]))
        return read_rollout(own).targets

    assert getattr(targets(), name) == 0.25
    assert getattr(targets(f"{name} = 0.5"), name) == 0.5
    assert getattr(targets(f"{name} = 10"), name) == 10
    with pytest.raises(RolloutError, match=name):
        targets(f"{name} = 11")


@given(IDS, st.text())
def test_a_job_stays_in_its_bucket(job, salt):
    bucket = bucket_of(job, salt)
    assert bucket in range(BUCKETS)
    assert bucket == bucket_of(job, salt) == state_at(50, salt).bucket(job)


@given(IDS, SHARES, SHARES)
def test_a_job_that_runs_in_python_does_so_at_every_larger_share(job, share, other):
    small, large = sorted([share, other])
    if state_at(small).is_for_python("smoke", job):
        assert state_at(large).is_for_python("smoke", job)


@given(IDS)
def test_no_job_runs_in_python_at_0_and_every_job_at_100(job):
    assert not state_at(0).is_for_python("smoke", job)
    assert state_at(100).is_for_python("smoke", job)
    assert not state_at(100).is_for_python("other", job)
    closed = replace(state_at(100), open_phases=frozenset())
    assert not closed.is_for_python("smoke", job)


def test_a_job_is_in_if_its_bucket_is_below_the_share():
    job = next(f"job-{n}" for n in range(1000) if state_at(0).bucket(f"job-{n}") == 25)
    assert not state_at(25).is_for_python("smoke", job)
    assert state_at(26).is_for_python("smoke", job)


def test_a_bucket_is_the_same_in_every_release():
    """Another bucket for the same job would move jobs between the runners in mid-rollout."""
    assert [bucket_of(f"job-{n}", "salt") for n in range(5)] == [27, 21, 85, 76, 35]


def test_a_bucket_depends_on_the_salt():
    jobs = [f"job-{n}" for n in range(20)]
    assert len({tuple(state_at(0, salt).bucket(job) for job in jobs) for salt in "abc"}) == 3


@given(st.sampled_from(sorted(STATE.configurations)), SHARES, SHARES)
def test_a_share_is_read_back_as_it_was_written(tmp_path_factory, config, share, other):
    since = "2026-11-24T00:00:00.000Z"
    path = tmp_path_factory.mktemp("rollout") / "rollout.toml"
    state = read_rollout()
    for value in (other, share):
        path.write_text(with_share(state, config, value, since))
        state = read_rollout(path)
    expected = {
        **STATE.configurations,
        config: replace(STATE.configurations[config], share=share, since=since),
    }
    assert state.configurations == expected
    assert state.steps == STATE.steps


@given(st.binary(max_size=40) | st.text().map(lambda text: text.encode(errors="replace")))
def test_any_file_is_a_rollout_or_an_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("rollout") / "rollout.toml"
    path.write_bytes(data)
    try:
        read_rollout(path)
    except RolloutError as error:
        assert str(path) in str(error)


VALUES = st.recursive(
    st.sampled_from(["'x'", "''", "1", "-1", "0.5", "nan", "inf", "true", "2026-11-24", "12:00:00"])
    | st.sampled_from(
        ["2026-11-24T13:59:48Z", "0001-01-01T00:00:00+23:59", "'0001-01-01T00:00:00+23:59'"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | inner.map(lambda item: f"{{ share = {item}, phase = {item}, since = {item} }}")
    ),
    max_leaves=4,
)


@given(
    st.sampled_from(["salt", "steps", "targets", "phases", "configurations", "since", "smoke"]),
    VALUES,
)
def test_any_value_in_a_rollout_is_read_or_an_error(tmp_path_factory, key, value):
    assume(value)
    lines = [
        line
        for line in read_rollout().source.splitlines()
        if not line.startswith((f"{key} =", f"[{key}"))
    ]
    if key == "since":
        line = next(line for line in lines if line.startswith("smoke"))
        lines[lines.index(line)] = f"{line.removesuffix('}')}, since = {value} }}"
    elif key == "smoke":
        lines.append(f"smoke = {value}")
    else:
        lines.insert(0, f"{key} = {value}")
    path = tmp_path_factory.mktemp("rollout") / "rollout.toml"
    path.write_text("\n".join(lines))
    try:
        read_rollout(path)
    except RolloutError as error:
        assert str(path) in str(error)


def test_a_job_of_a_record_that_utf_8_cannot_encode_has_a_bucket():
    assert bucket_of("\ud800", "salt") in range(BUCKETS)


def test_a_time_before_the_first_year_is_reported(tmp_path):
    path = tmp_path / "rollout.toml"
    source = read_rollout().source
    path.write_text(source.replace("share = 5", "share = 5, since = 0001-01-01T00:00:00+01:00"))
    with pytest.raises(RolloutError, match=r"smoke\.since is .* it must be a time such as"):
        read_rollout(path)


def problem_of(tmp_path, old, new):
    source = read_rollout().source
    assert old in source
    path = tmp_path / "rollout.toml"
    path.write_text(source.replace(old, new, 1))
    with pytest.raises(RolloutError) as caught:
        read_rollout(path)
    (problem,) = caught.value.problems
    return problem.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("fallback = 0.05", "fallback = 1.5", "targets.fallback is 1.5: it must be a number from 0 to 1."),
        ("errors = 0.01", "errors = 1.5", "targets.errors is 1.5: it must be a number from 0 to 1."),
        ("time = 0.1", "time = 10.5", "targets.time is 10.5: it must be a number from 0 to 10."),
        (
            "share = 5",
            "share = 5, since = 'soon'",
            "configurations.smoke.since is 'soon': it must be a time such as '2026-11-24T13:59:48Z'.",
        ),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_reported(tmp_path, old, new, problem):
    assert problem_of(tmp_path, old, new) == problem


@pytest.mark.parametrize(
    "steps",
    ["[0, 50, 25, 100]", "[5, 50, 100]", "[0, 50]", "[]", "[0, 0, 100]", "[0, 50.5, 100]", "100"],
)
def test_steps_rise_from_0_to_100(tmp_path, steps):
    old = next(line for line in read_rollout().source.splitlines() if line.startswith("steps"))
    assert problem_of(tmp_path, old, f"steps = {steps}") == (
        f"steps is {steps}: it must be a rising list of percentages from 0 to 100."
    )


@pytest.mark.parametrize(
    ("since", "read"),
    [
        ("2026-11-24T13:59:48Z", "2026-11-24T13:59:48.000Z"),
        ("'2026-11-24T13:59:48Z'", "2026-11-24T13:59:48.000Z"),
        ("'2026-11-24T13:59:48z'", "2026-11-24T13:59:48.000Z"),
        ("2026-11-24T13:59:48+02:00", "2026-11-24T11:59:48.000Z"),
        ("'2026-11-24T13:59:48.250'", "2026-11-24T13:59:48.250Z"),
        ("''", ""),
    ],
)
def test_a_time_is_read_as_records_have_it(tmp_path, since, read):
    path = tmp_path / "rollout.toml"
    path.write_text(read_rollout().source.replace("share = 5", f"share = 5, since = {since}", 1))
    assert read_rollout(path).configurations["smoke"].since == read


def test_the_z_of_a_time_is_replaced_for_python_3_10():
    assert (
        _iso("2026-11-24T13:59:48Z") == _iso("2026-11-24T13:59:48z") == "2026-11-24T13:59:48+00:00"
    )
    assert _iso("Z2026") == "Z2026"


# --- phases


PHASES = replace(
    STATE,
    phases=("1", "2A", "2B"),
    configurations={
        "a": Configuration("1", 99),
        "b": Configuration("2A", 0),
        "c": Configuration("1", 100),
        "d": Configuration("2B", 5),
        "e": Configuration("gone", 0),
        "f": Configuration("1", 1),
    },
)


@pytest.mark.parametrize(
    ("phase", "unfinished"),
    [
        ("1", []),
        ("2A", ["a (99 %)", "f (1 %)"]),
        ("2B", ["a (99 %)", "b (0 %)", "f (1 %)"]),
        ("gone", []),
    ],
)
def test_the_configurations_of_earlier_phases_below_100_percent_are_unfinished(phase, unfinished):
    assert PHASES.unfinished_before(phase) == unfinished


def test_a_phase_is_opened_in_the_text():
    text = 'salt = "false"\n1 = { open = true }\n2A = { risk = "x", open =  false } # false\n2B = { open = false }\n'
    opened = with_open_phase(replace(STATE, source=text), "2A")
    assert opened == (
        'salt = "false"\n1 = { open = true }\n2A = { risk = "x", open =  true } # false\n2B = { open = false }\n'
    )


def test_the_bundled_file_with_an_open_phase_can_be_read(tmp_path):
    path = tmp_path / "rollout.toml"
    bundled = read_rollout()
    path.write_text(with_open_phase(bundled, "2A"))
    opened = read_rollout(path)
    assert bundled.open_phases == {"1"}
    assert opened.open_phases == {"1", "2A"}
    assert replace(opened, open_phases=bundled.open_phases, source=bundled.source) == bundled


@pytest.mark.parametrize(
    ("phase", "text", "number"),
    [
        ("2A", "2A = { open = true }\n", 0),
        ("2A", "12A = { open = false }\n2AB = { open = false }\n", 0),
        ("2A", "2A = { open = falsely }\n", 0),
        ("2.", "2A = { open = false }\n", 0),
        ("2A", "2A = { open = false }\n2A = { open = false }\n", 2),
    ],
)
def test_a_phase_without_one_line_is_to_be_opened_by_hand(phase, text, number):
    with pytest.raises(RolloutError) as caught:
        with_open_phase(replace(STATE, source=text), phase)
    (problem,) = caught.value.problems
    assert problem == (
        f"the rollout file must have one line `{phase} = {{ … open = false }}`, but has {number}: "
        "edit it by hand."
    )


# --- what is acknowledged


def with_acknowledged(tmp_path, *lines):
    """Write the bundled file with this [[acknowledged]] entry; return its path."""
    path = tmp_path / "rollout.toml"
    path.write_text("\n".join([read_rollout().source, "[[acknowledged]]", *lines, ""]))
    return path


def test_a_case_or_a_run_is_acknowledged(tmp_path):
    path = with_acknowledged(
        tmp_path,
        *("config = 'smoke'", "case = 'a.b'", "reason = 'slow'"),
        *("[[acknowledged]]", "config = 'timm'", "run = 'r1'", "reason = 'network'"),
    )
    assert read_rollout(path).acknowledged == (
        Acknowledged(config="smoke", reason="slow", case="a.b", run=""),
        Acknowledged(config="timm", reason="network", case="", run="r1"),
    )
    assert read_rollout().acknowledged == ()


CHOICES = ", ".join(read_rollout().configurations)
CONFIG, CASE, RUN, REASON = "config = 'smoke'", "case = 'a.b'", "run = 'r1'", "reason = 'slow'"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([CONFIG, REASON], "case is None: it must be the name of a test case, unless run is the ID of a run instead."),
        ([CONFIG, CASE, RUN, REASON], "case is 'a.b': it must be the name of a test case, unless run is the ID of a run instead."),
        ([CONFIG, "case = ''", REASON], "case is '': it must be a non-empty string."),
        ([CONFIG, "run = 7", REASON], "run is 7: it must be a non-empty string."),
        ([CONFIG, CASE], "reason is None: it must be a non-empty string."),
        ([CONFIG, CASE, "reason = ' '"], "reason is ' ': it must be a non-empty string."),
        ([CASE, REASON], f"config is None: choose from {CHOICES}."),
        (["config = 'gone'", CASE, REASON], f"config is 'gone': choose from {CHOICES}."),
        ([CONFIG, CASE, REASON, "until = 1"], "until is not a known key: choose from config, case, run, reason."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_acknowledged_entry_is_reported(tmp_path, lines, problem):
    path = with_acknowledged(tmp_path, *lines)
    with pytest.raises(RolloutError) as caught:
        read_rollout(path)
    assert caught.value.problems == (f"{path}: acknowledged 1, {problem}",)
