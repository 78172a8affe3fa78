from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import replace

import pytest
from conftest import make_job

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.errors import InputError
from ci_sessions.parity.accepted import read_accepted
from ci_sessions.parity.causes import find_causes
from ci_sessions.parity.compare import compare, plan_commands
from ci_sessions.parity.recording import (
    Command,
    Fault,
    FaultKind,
    Note,
    NoteKind,
    Recording,
    from_dict,
)
from ci_sessions.parity.trace_line import trace_line
from ci_sessions.parity.verdict import (
    ParityResult,
    Side,
    check_accepted,
    compare_job,
    compare_versions,
)
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.report.parity import (
    describe_job,
    describe_parity,
    parity_markdown,
)
from ci_sessions.report.parity_json import parity_to_json

JOB = {"config": "xla", "build_environment": "linux", "shard": 1, "num_shards": 2}


def command(text, kind="test", cwd=".", line=7, **env):
    return Command(kind, tuple(text.split()), cwd, env, (f".ci/pytorch/test.sh:{line}",))


def recording(*commands, **more):
    return Recording(0, commands, **more)


def found(script, plan):
    return [(d.stream, d.field, d.number) for d in compare(script, plan)]


@pytest.mark.parametrize(
    ("script", "plan", "expected"),
    [
        ([command("a b")], [command("a b")], []),
        ([command("a b")], [command("a c")], [("test", "argv", 1)]),
        ([command("a b")], [command("a b", cwd="test")], [("test", "cwd", 1)]),
        ([command("a b", X="1")], [command("a b")], [("test", "env", 1)]),
        ([command("a b c", X="1")], [command("a b d", cwd="test")], [("test", "argv", 1), ("test", "cwd", 1), ("test", "env", 1)]),
        ([command("a b c", X="1")], [command("e b f", cwd="test")], [("test", "argv", 1)]),
        ([command("a"), command("b")], [command("b")], [("test", "missing", 1)]),
        ([command("b")], [command("b"), command("c")], [("test", "extra", 2)]),
        ([command("a"), command("b")], [command("b"), command("a")], [("test", "extra", 1), ("test", "missing", 2)]),
        ([command("pip install a", "install")], [command("pip install b", "install")], [("install", "argv", 1)]),
        ([command("i", "install"), command("t")], [command("t"), command("i", "install")], [("install", "order", 1)]),
        ([command("git status", "probe")], [], []),
        ([command("source /opt/x.sh", "source")], [], [("source", "missing", 1)]),
        ([command("source .ci/pytorch/common.sh", "source"), command("source v/bin/activate", "source")], [], []),
        ([command("rm x", "file"), command("i", "install")], [command("i", "install"), command("rm x", "file")], [("install", "order", 1)]),
        ([command("a", BUILD_ENVIRONMENT=None)], [command("a")], [("test", "env", 1)]),
        ([command("a", X="t.py::T")], [command("a", X="t.py:T")], [("test", "env", 1)]),
        ([command("x", "preflight", X="1")], [command("x", "preflight")], []),
        # differences that depend only on the machine
        ([command("a", PATH="x", TERM="y")], [command("a")], []),
        ([command("a", LD_PRELOAD="/usr/lib/x.so:")], [command("a", LD_PRELOAD="x.so")], []),
        ([command("a", OMP_NUM_THREADS="4")], [command("a", OMP_NUM_THREADS="2")], []),
        ([command("taskset -c 0-3 a", TASKSET="taskset -c 0-3")], [command("taskset -c --1 a", TASKSET="taskset -c --1")], []),
        ([command("a /tmp/x.RANDOM/y", cwd="/tmp/x.RANDOM")], [command("a $TMP/x.RANDOM/y", cwd="$TMP/x.RANDOM")], []),
        ([command("./build/x 1")], [command("$ROOT/build/x 1")], []),
        ([command("a", cwd="$TMP/elsewhere")], [command("a", cwd="../elsewhere")], []),
    ],
)  # fmt: skip
def test_two_lists_of_commands_are_compared_in_order(script, plan, expected):
    assert found(script, plan) == expected


def test_a_plan_equals_its_own_commands():
    commands = plan_commands(plan_job(make_job("jit_legacy"), RECORDED))
    assert compare(commands, commands) == ()
    assert [c.argv[1] for c in commands if c.kind == "test"] == ["test/run_test.py"]


def test_file_tools_are_one_kind_and_mkdir_is_ignored():
    commands = plan_commands(plan_job(make_job("backwards_compat"), RECORDED))
    assert {c.argv[0] for c in commands if c.kind == "file"} <= {"cp", "mv", "rm", "ln"}
    assert not [c for c in commands if c.argv[0] == "mkdir"]


def test_verdicts_of_comparisons():
    same = [command("a")]
    assert compare_job(JOB, recording(*same), same).verdict is JobVerdict.EQUAL
    assert compare_job(JOB, recording(*same), [command("b")]).verdict is JobVerdict.DIFFERENT
    assert compare_job(JOB, recording(*same), "no row").verdict is JobVerdict.NO_PLAN
    bad = compare_job(
        JOB, recording(*same, fault=Fault(FaultKind.FAILED, "it ended", ("test.sh:3",))), same
    )
    assert (bad.verdict, bad.reason, bad.lines) == (
        JobVerdict.UNTRACEABLE,
        "it ended",
        ("test.sh:3",),
    )
    change = compare_versions(JOB, recording(command("g", "probe")), recording())
    assert change.verdict is JobVerdict.DIFFERENT  # between versions, probes are compared too
    both = recording(fault=Fault(FaultKind.FAILED, "it ended"))
    assert compare_versions(JOB, both, both).verdict is JobVerdict.UNTRACEABLE
    assert compare_versions(JOB, recording(), both).verdict is JobVerdict.UNTRACEABLE


# --- accepted differences

ENTRY = """format = 1
[[difference]]
what = "rm -f *"
jobs = "xla, *"
why = "it may be gone"
until = 2027-06-30
"""
DAY = dt.date(2027, 6, 30)


@pytest.fixture
def read_entries(tmp_path):
    def write(text):
        path = tmp_path / "differences.toml"
        path.write_text(text)
        return read_accepted(path)

    return write


def differing():
    return recording(command("rm x", "file")), [command("rm -f x", "file")]


def test_an_entry_accepts_only_matching_differences(read_entries):
    entries = read_entries(ENTRY)
    result = compare_job(JOB, *differing(), entries)
    assert result.verdict is JobVerdict.ACCEPTED
    assert result.accepted == entries
    assert (
        compare_job({**JOB, "config": "b"}, *differing(), entries).verdict is JobVerdict.DIFFERENT
    )
    more = compare_job(JOB, differing()[0], [command("rm -f x", "file"), command("b")], entries)
    assert more.verdict is JobVerdict.DIFFERENT
    assert [d.stream for d in more.differences] == ["test"]
    elsewhere = read_entries(ENTRY + 'stream = "install"\n')
    assert compare_job(JOB, *differing(), elsewhere).verdict is JobVerdict.DIFFERENT
    assert (
        compare_job(JOB, *differing(), read_entries(ENTRY + 'field = "argv"\n')).verdict
        is JobVerdict.ACCEPTED
    )


@pytest.mark.parametrize(
    ("until", "today", "version", "fault"),
    [
        ("2027-06-30", DAY, "2.13.0", None),
        ("2027-06-30", DAY + dt.timedelta(1), "2.13.0", "valid until 2027-06-30"),
        ('"2.14"', DAY, "2.13.9", None),
        ('"2.14"', DAY, "2.14.0a0+git", "before version 2.14, but this is 2.14.0a0+git"),
        ('"2.14"', DAY, "", None),
        ('"2.14"', DAY, "unknown", None),
    ],
)
def test_an_expired_entry_is_a_fault(read_entries, until, today, version, fault):
    entries = read_entries(ENTRY.replace("2027-06-30", until))
    jobs = [compare_job(JOB, *differing(), entries)]
    faults = check_accepted(entries, jobs, today=today, version=version, is_whole=True)
    assert (fault is None) == (faults == ())
    assert fault is None or fault in faults[0]


def test_an_unused_entry_is_a_fault(read_entries):
    entries = read_entries(ENTRY)
    equal = compare_job(JOB, recording(), [], entries)
    other = compare_job({**JOB, "config": "b"}, recording(), [], entries)

    def faults(*jobs, whole):
        return check_accepted(entries, jobs, today=DAY, version="", is_whole=whole)

    assert "unused: 'rm -f *' for 'xla, *'" in faults(equal, whole=False)[0]
    assert faults(other, whole=False) == ()
    assert len(faults(other, whole=True)) == 1
    lost = compare_job(JOB, recording(fault=Fault(FaultKind.FAILED, "x")), [], entries)
    assert faults(lost, whole=False) == ()  # it may still be needed


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("format = 2", "format is 2, but this version of ci_sessions reads format = 1"),
        ("format = [", "is not valid TOML"),
        (ENTRY.replace("2027-06-30", '"soon"'), "until is 'soon': it must be a date such as"),
        (ENTRY.replace("until = 2027-06-30\n", ""), "until is None"),
        (ENTRY.replace("2027-06-30", "2027-06-30T00:00:00"), "until is datetime"),
        (
            ENTRY.replace('why = "it may be gone"\n', ""),
            "why is None: it must be a non-empty string",
        ),
        (ENTRY + 'stream = "tests"\n', "stream is 'tests': choose from test, preflight"),
        (ENTRY + "color = 1\n", "color is not a known key"),
    ],
)
def test_errors_in_a_file_of_accepted_differences(read_entries, text, fault):
    with pytest.raises(InputError, match=fault):
        read_entries(text)


def test_the_built_in_file_can_be_read_and_a_missing_file_is_an_error(tmp_path):
    assert {entry.jobs for entry in read_accepted()} >= {"xla, *"}
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        read_accepted(tmp_path / "none.toml")


# --- the report


def result(*jobs, **more):
    return ParityResult(script=".ci/pytorch/test.sh", jobs=jobs, seconds=130, **more)


def test_the_report_shows_where_two_commands_differ():
    script = recording(command("python run_test.py --cpp -i a cpp/test_shim b", line=731))
    jobs = [
        compare_job({**JOB, "config": c}, script, [command("python run_test.py --cpp -i a b")])
        for c in ("one", "two")
    ]
    text = describe_parity(result(*jobs, compare_job(JOB, recording(), [])))
    *lines, edit, last, blank = text.splitlines()[:8]
    assert re.fullmatch(r"  edit ci_sessions/catalogue/suites/cpp\.py:\d+ libtorch", edit)
    assert [*lines, last, blank] == [
        (
            "jobs 3   equal 1   equal except for accepted differences 0   different 2   could not be traced 0"
            "   (.ci/pytorch/test.sh; 2 min 10 s)"
        ),
        "`cpp/test_shim` is missing from the plan in one, two: 2 jobs   test.sh:731",
        "  script  python run_test.py --cpp -i a cpp/test_shim b",
        "  plan    python run_test.py --cpp -i a b",
        "                                        ^ cpp/test_shim is missing from the plan",
        "  job: one, linux, shard 1 of 2, and 1 more job",
        "",
    ]
    assert text.splitlines()[-1].split() == ["xla", "1", "1"]


def test_a_long_command_is_cut_around_the_difference():
    words = " ".join(f"word{n}" for n in range(60))
    job = compare_job(JOB, recording(command(f"{words} x end")), [command(f"{words} y end")])
    script, plan, mark = describe_parity(result(job)).splitlines()[2:5]
    assert script.startswith("  script  … ")
    assert script.index("x end") == plan.index("y end") == mark.index("^")
    assert "x in the script, y in the plan" in mark
    assert len(script) < 130


def test_descriptions_of_differences():
    def shown(script, plan):
        return describe_parity(result(compare_job(JOB, recording(*script), plan)))

    env = shown([command("a", X="1 2")], [command("a", Y="3")])
    assert "X is not exported by the plan in xla: 1 job   test.sh:7\n" in env
    assert "  script  X='1 2'\n  plan    X=(not set)\n" in env
    assert "Y is exported only by the plan in xla: 1 job   test.sh:7\n" in env
    assert "  plan    Y=3" in env
    assert "  script  in .: a\n  plan    in test: a" in shown(
        [command("a")], [command("a", cwd="test")]
    )
    assert "command 1 is missing from the plan" in shown([command("a")], [])
    extra = shown([], [command("a", "helper")])
    assert "helper 1 is not in the script" in extra
    moved = shown([command("i", "install"), command("t")], [command("t"), command("i", "install")])
    assert "install 1 has a different position in the plan" in moved
    added = shown([command("a b")], [command("a new b")])
    assert "new is not in the script" in added
    many = shown([command("a"), command("b")], [])
    assert "`a` is missing from the plan" in many
    assert "`b` is missing from the plan" in many


def test_an_untraceable_job_is_never_equal():
    lost = compare_job(
        JOB, recording(fault=Fault(FaultKind.FAILED, "no end", ("lib.sh:2", "test.sh:9"))), []
    )
    text = describe_parity(result(lost))
    assert "could not be traced 1" in text
    assert (
        "could not be traced: no end in xla: 1 job   lib.sh:2 (called from test.sh:9)\n"
        "  job: xla, linux, shard 1 of 2" in text
    )
    assert result(lost).exit_code == 1
    assert describe_job(lost) == "no end lib.sh:2"


def test_the_exit_code_depends_on_bad_verdicts_only(read_entries):
    equal, lost = (
        compare_job(JOB, recording(), []),
        compare_job(JOB, recording(fault=Fault(FaultKind.FAILED, "x")), []),
    )
    other = compare_job(JOB, *differing(), read_entries(ENTRY))
    assert result(equal, other).exit_code == 0
    assert result(equal, faults=("unused",)).exit_code == 1
    assert [result(one).exit_code for one in (lost, compare_job(JOB, recording(), "none"))] == [
        1,
        1,
    ]


def test_the_number_of_distinct_differences_is_limited():
    jobs = [compare_job(JOB, recording(command(f"a{n}", line=n)), []) for n in range(5)]
    text = describe_parity(result(*jobs), max_shown=2)
    assert text.count(" is missing from the plan in xla: 1 job") == 2
    assert "… and 3 more distinct differences: --show 5 shows all" in text
    assert "… and 3 more distinct differences." in parity_markdown(result(*jobs), max_shown=2)


def test_assumptions_and_faults_of_entries_are_reported():
    note = Note(NoteKind.ASSUMED, "the folder build exists")
    job = compare_job(JOB, recording(notes=(note,)), [])
    text = describe_parity(result(job, faults=("unused: 'x'",), cached=1))
    assert "assumed: the folder build exists" in text
    assert "accepted differences: unused: 'x'" in text
    assert "2 min 10 s, 1 from the cache" in text


def test_markdown_for_a_pull_request():
    job = compare_job(JOB, recording(command("a | <b>")), [command("c | <b>")])
    text = parity_markdown(result(job, faults=("unused: <x>",)))
    assert text.startswith("### ❌ Plans compared with the script\n")
    assert "<summary>`a` in the script, `c` in the plan in xla: 1 job   test.sh:7</summary>" in text
    assert "```\n  script  a '|' '<b>'\n  plan    c '|' '<b>'\n" in text
    assert "unused: &lt;x&gt;" in text
    assert "| xla | 1 | 1 |" in text
    changed = parity_markdown(result(job, other=Side.EARLIER))
    assert changed.startswith("### ✅ Jobs affected by this change")


def test_json_has_every_difference_of_every_job():
    job = compare_job(JOB, recording(command("a", X="1"), command("b")), [command("a")])
    data = json.loads(json.dumps(parity_to_json(result(job))))
    assert data["totals"]["different"] == 1
    assert data["configs"] == {"xla": {"different": 1}}
    assert [(d["stream"], d["field"]) for d in data["jobs"][0]["differences"]] == [
        ("test", "env"),
        ("test", "missing"),
    ]
    assert data["jobs"][0]["differences"][1]["lines"] == [".ci/pytorch/test.sh:7"]
    assert data["exit_code"] == 1


def test_a_comparison_of_two_versions_of_a_script():
    change = compare_versions(JOB, recording(command("a")), recording(command("a b", line=9)))
    text = describe_parity(result(change, other=Side.EARLIER))
    assert text.splitlines()[0].startswith(
        "jobs 1   unchanged 0   changed 1   could not be traced 0"
    )
    assert "`b` is new in xla: 1 job   test.sh:9" in text
    assert "  before  a\n  now     a b\n            ^ b was added\n" in text
    gone = compare_versions(JOB, recording(command("a x")), recording(command("a y")))
    assert "^ x before, y now" in describe_parity(result(gone, other=Side.EARLIER))
    lost = compare_versions(JOB, recording(command("a")), recording())
    assert "  before  a\n  command 1 was removed" in describe_parity(
        result(lost, other=Side.EARLIER)
    )


# --- recordings


def test_a_recording_survives_json():
    one = recording(
        command("a", X=None, Y="1"),
        notes=(Note(NoteKind.ASSUMED, "x", ("f:1",)),),
        fault=Fault(FaultKind.FAILED, "f"),
        seconds=1.5,
    )
    assert from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_a_trace_line_factors_out_common_variables():
    one = recording(
        command("pip install x", "install", A="1"),
        command("source venv/bin/activate", "source"),
        command("check", "preflight", A="0"),
        command("deactivate", "source"),
        command("t1", A="1", B="2", PATH="/bin", TERM="vt100"),
        command("t2", A="1", cwd="test", C=None),
        command("t3", A="1", cwd="$TMP/x", PATH="/bin"),
    )
    line = trace_line(one, JOB)
    assert line["env"] == {"A": "1"}
    assert line["commands"] == [
        {"kind": "install", "argv": ["pip", "install", "x"]},
        {"kind": "source", "argv": ["source", "venv/bin/activate"]},
        {"kind": "preflight", "argv": ["check"], "env": {"A": "0"}},
        {"kind": "test", "argv": ["t1"], "env": {"B": "2"}},
        {"kind": "test", "argv": ["t2"], "cwd": "$ROOT/test"},
        {"kind": "test", "argv": ["t3"], "cwd": "$TMP/x"},
    ]
    assert trace_line(recording(), JOB)["env"] == {}


def test_a_trace_line_without_tests_has_the_variables_of_the_sanity_checks():
    one = recording(
        command("pip install x", "install"),
        command("check", "preflight", A="1", B="2"),
        command("check again", "preflight", A="1", PATH="/bin"),
        command("sudo chown", "probe", A="1", C="3"),
    )
    line = trace_line(one, JOB)
    assert line["env"] == {"A": "1"}
    assert [entry.get("env") for entry in line["commands"]] == [None, {"B": "2"}, None, None]


def test_causes_are_grouped_across_jobs_and_none_is_hidden():
    """Each job has a difference of its own; one that all share comes first, and names one variable."""

    def change(config, *more, **env):
        before = recording(command("run", VALGRIND="ON"), *more)
        return compare_versions({**JOB, "config": config}, before, recording(command("run", **env)))

    jobs = [change("a"), change("b", command("x", line=3)), change("c", NEW="1")]
    same = compare_versions({**JOB, "config": "d"}, recording(), recording())
    report = result(*jobs, same, other=Side.EARLIER)
    found = [(cause.text, cause.configs, cause.lines) for cause in find_causes(report)]
    line = (".ci/pytorch/test.sh:7",)
    assert found == [
        ("VALGRIND is no longer exported", ["a", "b", "c"], line),
        ("`x` is gone", ["b"], (".ci/pytorch/test.sh:3",)),
        ("NEW is now exported", ["c"], line),
    ]
    text = describe_parity(report)
    assert "VALGRIND is no longer exported in a, b, c: 3 jobs   test.sh:7" in text
    assert text.endswith("\nunchanged: 1 configuration with 1 job")
    assert not re.search("^d ", text, re.MULTILINE)
    assert "unchanged: 1 configuration with 1 job" in parity_markdown(report)
    causes = parity_to_json(report)["causes"]
    assert [len(cause["jobs"]) for cause in causes] == [3, 1, 1]


def test_an_option_with_its_value_is_one_cause():
    jobs = [
        compare_versions(
            {**JOB, "config": "dynamo_core", "shard": n},
            recording(command(f"run --shard {n}")),
            recording(command(f"run --exclude dynamo/test_wheel_size --shard {n}")),
        )
        for n in (1, 2, 3)
    ]
    text = describe_parity(result(*jobs, other=Side.EARLIER))
    headline = "`--exclude dynamo/test_wheel_size` is new in dynamo_core: 3 jobs   test.sh:7"
    assert text.splitlines()[1] == headline


def test_the_commands_of_one_call_are_one_cause():
    def called(text, kind="test"):
        return replace(command(text, kind), lines=("t.sh:2", "t.sh:9"))

    after = recording(called("ln a b", "file"), called("rpc"), command("own"))
    jobs = [
        compare_versions({**JOB, "shard": 1}, recording(), after),
        compare_versions({**JOB, "shard": 2}, recording(), after),
    ]
    report = result(*jobs, other=Side.EARLIER)
    found = [(cause.text, len(cause.jobs)) for cause in find_causes(report)]
    assert found == [("`rpc` and 1 more command are new", 2), ("`own` is new", 2)]
    lines = describe_parity(report).splitlines()
    assert lines[1:5] == [
        "`rpc` and 1 more command are new in xla: 2 jobs   t.sh:2 (called from t.sh:9)",
        "  now     rpc",
        "  command 1 was added",
        "  now     ln a b",
    ]


def test_many_configurations_are_on_a_line_of_their_own():
    jobs = [
        compare_versions(
            {**JOB, "config": c}, recording(command("a")), recording(command("a", cwd="x"))
        )
        for c in "abcd"
    ]
    lines = describe_parity(result(*jobs, other=Side.EARLIER)).splitlines()
    assert lines[1] == "the folder is . before, x now: 4 jobs   test.sh:7"
    assert "  configurations: a, b, c, d" in lines


def test_an_entry_can_name_one_variable(read_entries):
    entries = read_entries(ENTRY.replace("rm -f *", "env VALGRIND"))
    sides = recording(command("a", VALGRIND="ON")), [command("a")]
    assert compare_job(JOB, *sides, entries).verdict is JobVerdict.ACCEPTED
    both = recording(command("a", VALGRIND="ON", OTHER="1")), [command("a")]
    found = compare_job(JOB, *both, entries)
    assert [one.variable for one in found.differences] == ["OTHER"]
    assert found.accepted == entries


def test_a_report_contains_no_control_sequences():
    job = compare_job(
        JOB, recording(command("x"), Command("test", ("a\n::error::b\x1b[31m",), ".", {})), []
    )
    text = describe_parity(result(job)) + parity_markdown(result(job))
    assert "\x1b" not in text
    assert "\n::error" not in text
    one = compare_job(JOB, recording(Command("test", ("a\n'b",), ".", {})), [])
    assert "$'a\\n\\'b'" in describe_parity(result(one))


def test_of_two_versions_only_untraceable_jobs_fail():
    changed = compare_versions(JOB, recording(command("a")), recording(command("b")))
    lost = compare_versions(JOB, recording(), recording(fault=Fault(FaultKind.FAILED, "x")))
    sides = {"other": Side.EARLIER}
    assert result(changed, **sides).exit_code == 0
    assert result(changed, lost, **sides).exit_code == 1
    assert parity_markdown(result(lost, **sides)).startswith("### ❌")
