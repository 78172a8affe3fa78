from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import make_job
from hypothesis import given
from hypothesis import strategies as st

from ci_sessions.checkout.checkout import Checkout
from ci_sessions.errors import InputError, RolloutError
from ci_sessions.gate.gate import Flag, choose, fallback_route, read_flag
from ci_sessions.gate.rollout import Configuration, bucket_of, read_rollout, with_share
from ci_sessions.job.build_environment import BuildEnvironment
from ci_sessions.job.job import Job

CPU = "linux-jammy-py3.10-gcc11"
ONNX = "linux-jammy-py3.10-gcc11-onnx"
STATE = replace(
    read_rollout(),
    open_phases=frozenset({"1", "2A"}),
    configurations={
        "docs_test": Configuration("2A", 100),
        "python": Configuration("2A", 0),
        "distributed": Configuration("2C", 100),
    },
)
SHELL, PYTHON = "shell", "python"


@pytest.mark.parametrize(
    ("config", "build", "flag", "runner", "reason", "script"),
    [
        # the flag alone
        ("docs_test", CPU, None, SHELL, "flag-unset", "test.sh"),
        ("docs_test", CPU, "", SHELL, "flag-unset", "test.sh"),
        ("docs_test", CPU, "0", SHELL, "flag-off", "test.sh"),
        ("docs_test", CPU, "false", SHELL, "flag-off", "test.sh"),
        ("docs_test", CPU, "1", PYTHON, "flag-on", "test.sh"),
        ("docs_test", CPU, "true", PYTHON, "flag-on", "test.sh"),
        ("docs_test", CPU, " True ", PYTHON, "flag-on", "test.sh"),
        ("docs_test", CPU, "shadow", SHELL, "shadow", "test.sh"),
        # the rollout
        ("docs_test", CPU, "rollout", PYTHON, "split-in", "test.sh"),
        ("python", CPU, "rollout", SHELL, "split-out", "test.sh"),
        ("distributed", CPU, "rollout", SHELL, "phase-closed", "test.sh"),
        ("jit_legacy", CPU, "rollout", SHELL, "not-in-rollout", "test.sh"),
        ("no_such_config", CPU, "rollout", SHELL, "not-in-rollout", "test.sh"),
        # an unknown configuration goes where the flag says; the runner then rejects it
        ("no_such_config", CPU, "1", PYTHON, "flag-on", "test.sh"),
        # special cases, regardless of the flag
        *(
            ("multigpu", CPU, flag, SHELL, "multigpu", "multigpu-test.sh")
            for flag in (None, "0", "1", "rollout", "shadow")
        ),
        *(
            ("default", ONNX, flag, SHELL, "onnx", "onnx/test.sh")
            for flag in (None, "0", "1", "rollout", "shadow")
        ),
        ("multigpu_x", CPU, "1", PYTHON, "flag-on", "test.sh"),
    ],
)
@pytest.mark.parametrize("no_fallback", [False, True])
def test_the_gate(config, build, flag, runner, reason, script, no_fallback):
    job = replace(make_job("docs_test", build), config=config)
    checkout = Checkout(has_onnx_script=True)
    route = choose(job, checkout, read_flag(flag), lambda: STATE, no_fallback=no_fallback)
    assert (route.runner, route.reason) == (runner, reason)
    assert route.script.endswith(script)
    assert route.may_fall_back is (not no_fallback)
    assert route.describe().startswith(f"{runner}: {reason}")


@pytest.mark.parametrize("flag", [None, "0", "1", "rollout", "shadow"])
def test_a_native_configuration_is_pythons_whatever_the_flag(flag):
    """The script does not know the configuration, so it can be neither route nor fallback."""
    job = replace(make_job("docs_test", ONNX), config="only_here")
    route = choose(
        job, Checkout(has_onnx_script=True), read_flag(flag), lambda: STATE, is_native=True
    )
    assert (route.runner, route.reason, route.may_fall_back) == (PYTHON, "native", False)


@pytest.mark.parametrize("flag", ["2", "yes please", "python", "roll out", "-1"])
def test_an_invalid_flag_is_an_error_not_a_default(flag):
    with pytest.raises(InputError, match=f"USE_PYTHON_TEST_RUNNER is '{flag}': use 1"):
        read_flag(flag)


def test_without_an_onnx_script_an_onnx_build_is_a_job_like_others():
    route = choose(make_job("default", ONNX), Checkout(), Flag.ON, lambda: STATE)
    assert route.reason == "flag-on"


def test_the_rollout_is_not_read_unless_the_flag_says_so():
    def broken():
        raise AssertionError("read")

    for flag in (Flag.UNSET, Flag.OFF, Flag.ON, Flag.SHADOW):
        choose(make_job(), Checkout(), flag, broken)


def test_buckets_are_sticky_and_spread_evenly():
    buckets = [bucket_of(f"job-{n}", "salt") for n in range(10_000)]
    assert buckets == [bucket_of(f"job-{n}", "salt") for n in range(10_000)]
    assert set(buckets) == set(range(100))
    assert 4700 < sum(bucket < 50 for bucket in buckets) < 5300
    assert bucket_of("job-1", "other") != buckets[1] or bucket_of("job-2", "other") != buckets[2]


def test_raising_the_share_only_adds_jobs():
    jobs = [
        replace(make_job("docs_test"), build=make_job("docs_test", f"linux-py3-gcc{n}").build)
        for n in range(1, 300)
    ]

    def chosen(share):
        state = replace(STATE, configurations={"docs_test": Configuration("2A", share)})
        return {
            job.id
            for job in jobs
            if choose(job, Checkout(), Flag.ROLLOUT, lambda: state).runner == PYTHON
        }

    small, large, everything = chosen(10), chosen(40), chosen(100)
    assert small < large < everything
    assert len(everything) == len(jobs)
    assert "bucket" in choose(jobs[0], Checkout(), Flag.ROLLOUT, lambda: STATE).detail


def test_the_bundled_file_starts_with_a_small_share():
    state = read_rollout()
    assert state.open_phases == {"1"}
    assert {name: entry.share for name, entry in state.configurations.items() if entry.share} == {
        "smoke": 5
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "format = 1",
            "format = 2",
            "format is 2, but this version of ci_sessions reads format = 1",
        ),
        (
            "share = 5",
            "share = 500",
            "configurations.smoke.share is 500: it must be an integer from 0",
        ),
        ("share = 5", 'share = "5"', "share is '5'"),
        ("share = 5", "share = true", "share is True"),
        ("share = 5", 'share = 5, since = "soon"', "smoke.since is 'soon': it must be a time such"),
        ("share = 5", "share = 5, shar = 1", "smoke.shar is not a known key"),
        ("steps = [0", 'steps = ["0"', "it must be a rising list of percentages from 0 to 100"),
        ("steps = [0", "steps = [7", "it must be a rising list of percentages from 0 to 100"),
        ("errors = 0.01", "errors = nan", "targets.errors is nan: it must be a number from 0 to 1"),
        ("errors = 0.01", 'errors = "a"', "targets.errors is 'a'"),
        ("salt = ", f"deep = {'[' * 5000}{']' * 5000}\nsalt = ", "is not valid TOML"),
        ("share = 5", f"share = {'9' * 5000}", "is not valid TOML"),
        ('phase = "1"', 'phase = "9"', "smoke.phase is '9': choose from 1, 2A, 2B, 2C"),
        ("open = true", 'open = "yes"', "phases.1.open is 'yes': it must be true or false"),
        (
            "fallback = 0.05",
            "falback = 0.05",
            "targets.falback is not a known key: choose from fallback",
        ),
        ('salt = "first-release"', "salt = 3", "salt is 3: it must be a non-empty string."),
        ("[phases]", "[phases", "is not valid TOML"),
    ],
)
def test_the_problems_of_an_invalid_file_are_reported(tmp_path, old, new, message):
    text = read_rollout().source
    assert old in text
    path = tmp_path / "rollout.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(RolloutError) as caught:
        read_rollout(path)
    assert message in str(caught.value)
    with pytest.raises(RolloutError, match="cannot be read"):
        read_rollout(tmp_path / "none.toml")


def test_an_edit_changes_no_configuration_whose_name_ends_alike():
    state = read_rollout()
    for config in state.configurations:
        text = with_share(state, config, 25, "2026-11-24T00:00:00.000Z")
        changed = [
            new
            for old, new in zip(state.source.splitlines(), text.splitlines(), strict=True)
            if old != new
        ]
        assert [line.partition(" ")[0] for line in changed] == [config]


def test_an_edit_changes_one_share_and_keeps_the_comments(tmp_path):
    state = read_rollout()
    text = with_share(state, "jit_legacy", 25, "2026-01-02T03:04:05Z")
    changed = 'jit_legacy = { phase = "2B", share = 25, since = "2026-01-02T03:04:05Z" }'
    assert [line for line in text.splitlines() if line not in state.source.splitlines()] == [
        changed
    ]
    path = tmp_path / "rollout.toml"
    path.write_text(text)
    again = with_share(read_rollout(path), "jit_legacy", 50, "2027-01-01T00:00:00Z")
    assert (
        changed.replace("25,", "50,").replace("2026-01-02T03:04:05Z", "2027-01-01T00:00:00Z")
        in again
    )
    with pytest.raises(RolloutError, match=r"must have one line .* but has 0"):
        with_share(state, "nothing", 1, "")


CONFIGS = st.sampled_from(["docs_test", "python", "distributed", "multigpu", "smoke"]) | st.text()
LABELS = st.sampled_from([CPU, ONNX, ""]) | st.text()
SHARES = st.integers(0, 100)


@given(CONFIGS, LABELS, st.sampled_from(Flag), SHARES, st.booleans(), st.booleans(), st.booleans())
def test_the_gate_has_one_answer_for_every_job(
    config, label, flag, share, has_onnx_script, is_native, no_fallback
):
    job = Job(config=config, build=BuildEnvironment.parse(label))
    entries = {**STATE.configurations, config: Configuration("2A", share)}
    state = replace(STATE, configurations=entries)

    def ask():
        return choose(
            job,
            Checkout(has_onnx_script=has_onnx_script),
            flag,
            lambda: state,
            is_native=is_native,
            no_fallback=no_fallback,
        )

    route = ask()
    assert route == ask()
    if is_native:
        assert (route.runner, route.may_fall_back) == (PYTHON, False)
    else:
        assert route.may_fall_back is not no_fallback
        assert route.runner == SHELL or flag in (Flag.ON, Flag.ROLLOUT)
        assert route.runner == SHELL or config != "multigpu"
    assert bool(route.phase) == (route.reason in ("split-in", "split-out", "phase-closed"))


@given(st.text() | st.none())
def test_any_flag_is_known_or_an_input_error(text):
    try:
        flag = read_flag(text)
    except InputError as error:
        assert "use 1 (Python), 0 (shell)" in str(error)
    else:
        assert (text or "").strip().lower() in (flag.value, "", "true", "false")


@given(CONFIGS, LABELS, st.sampled_from(Flag))
def test_a_gate_that_fails_always_gives_the_shell(config, label, flag):
    route = fallback_route(config, label, Checkout(has_onnx_script=True), flag)
    assert route.runner == SHELL
    assert route.script


def test_the_route_of_a_rollout_says_how_it_was_decided():
    jobs = {
        STATE.bucket(job.id): job
        for job in (
            replace(make_job("docs_test"), build=BuildEnvironment.parse(f"linux-{n}"))
            for n in range(2000)
        )
    }

    def route(bucket, share, phase="2A"):
        state = replace(STATE, configurations={"docs_test": Configuration(phase, share)})
        found = choose(jobs[bucket], Checkout(), Flag.ROLLOUT, lambda: state)
        return (found.runner, found.reason, found.detail, found.phase)

    assert route(24, 25) == (PYTHON, "split-in", "bucket 24 of phase 2A at 25 %", "2A")
    assert route(25, 25) == (SHELL, "split-out", "bucket 25 of phase 2A at 25 %", "2A")
    assert route(0, 0) == (SHELL, "split-out", "bucket 0 of phase 2A at 0 %", "2A")
    assert route(99, 100) == (PYTHON, "split-in", "bucket 99 of phase 2A at 100 %", "2A")
    assert route(0, 100, "2C") == (SHELL, "phase-closed", "phase 2C", "2C")


def test_a_job_may_fall_back_unless_that_is_forbidden():
    assert choose(make_job(), Checkout(), Flag.ON, lambda: STATE).may_fall_back is True


@pytest.mark.parametrize(
    ("config", "label", "flag", "reason", "script"),
    [
        ("smoke", CPU, Flag.ON, "flag-on", ".ci/pytorch/test.sh"),
        ("smoke", CPU, Flag.UNSET, "flag-unset", ".ci/pytorch/test.sh"),
        ("smoke", CPU, Flag.ROLLOUT, "undecided", ".ci/pytorch/test.sh"),
        ("smoke", ONNX, Flag.ON, "onnx", ".ci/onnx/test.sh"),
        ("multigpu", ONNX, Flag.ON, "multigpu", ".ci/pytorch/multigpu-test.sh"),
    ],
)
def test_a_gate_that_fails_gives_the_script_that_the_job_would_have(
    config, label, flag, reason, script
):
    route = fallback_route(config, label, Checkout(has_onnx_script=True), flag)
    assert (route.runner, route.reason, route.script) == (SHELL, reason, script)


def test_the_message_about_a_flag_lists_what_it_can_be():
    with pytest.raises(InputError) as caught:
        read_flag("yes")
    assert str(caught.value) == (
        "USE_PYTHON_TEST_RUNNER is 'yes': use 1 (Python), 0 (shell), rollout (by phase and share) or "
        "shadow (shell, while the Python plan is compared with it). [bad-input]"
    )
