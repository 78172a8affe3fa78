"""The recorder on a script that uses many tricks: it records exactly what bash would run.

The expected commands are written by hand, from the script and the rules of bash. ``env`` has the
variables that changed since the job's start.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from parity.recorder import SCRIPT, trace, tree_of

from ci_sessions.parity import pool
from ci_sessions.parity.pool import trace_jobs
from ci_sessions.parity.profile import read_profile
from ci_sessions.parity.recording import NoteKind, classify
from ci_sessions.parity.staging import read_stage

TRICKS = Path(__file__).parent / "tricks"
LANG, KIND = {"LANG": "C.UTF-8"}, {"KIND": "cuda"}
START = {**LANG, **KIND}
MOVED = {**START, "PATH": "/usr/bin:/bin:$SHIMS"}
LATE = {**KIND, "PATH": "/usr/bin:/bin:$SHIMS"}
PIP = ("pip", "install", "--progress-bar", "off")
PYTHON = "python"

EXPECTED = [
    # line, kind, cwd, argv, environment
    (6, "probe", ".", (PYTHON, "-c", "import site; print(site.getsitepackages()[0])"), START),
    (9, "test", ".", (PYTHON, "test/run_test.py", "one word", "", "new\nline", "tab\t", "it's", "--k=*", "--", "$HOME", "ümlaut"), START),
    (11, "test", ".", (PYTHON, "quoted.py", "fall", "back", ""), {**START, "A": "x  y"}),
    (14, "install", ".", (*PIP, "git+https://example.invalid/vision@PIN-vision"), START),
    (16, "test", ".", (PYTHON, "again.py", "a b"), START),
    (18, "test", ".", (PYTHON, "with_env.py"), {**START, "OUTER": "1", "DEPTH": "1"}),
    (19, "helper", ".", ("setup_torch_trace",), START),
    (20, "test", ".", (PYTHON, "after_trace.py"), START),
    (23, "preflight", "test", (PYTHON, "-c", "import torch; torch._C._crash_if_csrc_asan(3)"), START),
    (24, "probe", ".", (PYTHON, "-c", "import numba.cuda"), START),
    (25, "probe", ".", (PYTHON, "-c", "import numba.cuda"), START),
    (25, "test", ".", (PYTHON, "without_numba.py"), START),
    (29, "test", ".", ("$SITE/torch/bin/test_api", "--gtest_filter=-*CUDA"), START),
    (30, "test", ".", ("$SITE/torch/bin/test_jit", "one"), {**START, "OMP_NUM_THREADS": "2", "DATA": "a b"}),
    (31, "test", ".", ("/opt/tool/run", "--now"), START),
    (32, "test", ".", ("./build/bin/none",), START),
    (33, "test", ".", (PYTHON, "in_env.py"), {**START, "LC_ALL": "C"}),
    (34, "test", ".", ("./build/bin/first",), START),
    (34, "test", ".", ("./build/bin/second",), START),
    (35, "file", ".", ("rm", "-rf", "$HOME"), {**START, "PATH": "/usr/bin:/bin"}),
    (37, "install", ".", ("curl", "https://example.invalid", "-o", "out"), MOVED),
    (40, "test", ".", (PYTHON, "test/cases/a.py"), MOVED),
    (40, "test", ".", (PYTHON, "test/cases/bc.py"), MOVED),
    (42, "test", ".", (PYTHON, "bench.py", "--only", "bert", "--float32"), MOVED),
    (42, "test", ".", (PYTHON, "bench.py", "--only", "resnet50", "--amp"), MOVED),
    (44, "test", ".", (PYTHON, "named.py", "bc"), MOVED),
    (44, "test", ".", (PYTHON, "named.py", "a"), MOVED),
    (47, "source", ".", ("source", "/opt/intel/setvars.sh", "--force"), MOVED),
    (48, "install", ".", (PYTHON, "-m", "venv", "venv"), MOVED),
    (49, "source", ".", ("source", "venv/bin/activate"), MOVED),
    (50, "helper", ".", ("build_torch_xla", "."), MOVED),
    (51, "source", ".", ("deactivate",), MOVED),
    (54, "install", ".", ("git", "clone", "--quiet", "https://example.invalid/xla.git"), MOVED),
    (56, "install", "xla", ("git", "checkout", "PIN-vision"), MOVED),
    (58, "test", "$TMP/elsewhere", (PYTHON, "there.py"), MOVED),
    (59, "test", "test/cases", (PYTHON, "here.py"), MOVED),
    (60, "test", ".", (PYTHON, "scratch.py", "$TMP/out", "/tmp/fixed"), MOVED),
    (65, "test", ".", (PYTHON, "by_command.py"), MOVED),
    (66, "test", ".", (PYTHON, "by_eval.py", "two words"), MOVED),
    (67, "test", ".", (PYTHON, "timed.py"), MOVED),
    (68, "test", ".", (PYTHON, "background.py"), MOVED),
    (70, "test", ".", (PYTHON, "matched.py"), MOVED),
    (70, "test", ".", (PYTHON, "version.py", "12.4"), MOVED),
    (74, "test", ".", (PYTHON, "split.py", "a", "b", "*"), MOVED),
    (79, "test", ".", (PYTHON, "grouped.py"), LATE),
    (79, "test", ".", (PYTHON, "grouped_too.py"), LATE),
    (80, "test", ".", (PYTHON, "<<", 'print("a here-document")\n'), LATE),
    (83, "test", ".", (PYTHON, "expected.py"), LATE),
    (83, "test", ".", (PYTHON, "last.py", "bye now"), LATE),
]  # fmt: skip


def commands_of(recording):
    return [
        (int(c.lines[-1].rpartition(":")[2]), c.kind, c.cwd, c.argv, c.env)
        for c in recording.commands
    ]


@pytest.fixture(scope="module")
def tricks():
    return trace(TRICKS)


def test_every_command_is_recorded_as_bash_would_run_it(tricks):
    assert tricks.fault is None
    assert commands_of(tricks) == EXPECTED


def test_a_command_in_a_function_has_its_call_stack(tricks):
    (installed,) = [c for c in tricks.commands if c.argv[0] == "pip"]
    assert installed.lines == (".ci/pytorch/common.sh:5", ".ci/pytorch/test.sh:14")


def test_assumptions_are_recorded(tricks):
    assert [(n.kind.value, n.text) for n in tricks.notes] == [
        ("assumed", "the folder ../elsewhere exists")
    ]


def test_recording_twice_gives_the_same_result(tricks):
    assert commands_of(trace(TRICKS)) == commands_of(tricks)


def test_a_read_only_checkout_with_spaces_in_its_path_as_an_ordinary_user(tmp_path, tricks):
    """Nothing is written to it: neither files nor timestamps change."""
    root = tmp_path / "a checkout" / "of tricks"
    shutil.copytree(TRICKS, root)
    for path in [root, *root.rglob("*")]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))

    def state():
        return {p: (s.st_mtime_ns, s.st_mode) for p in root.rglob("*") for s in [p.stat()]}

    before = state()
    try:
        if os.geteuid() == 0:  # root can write anywhere, but traces as another user
            os.chmod(tmp_path, 0o755)  # noqa: PTH101
        assert commands_of(trace(root)) == commands_of(tricks)
        assert state() == before
    finally:
        for path in [root, *root.rglob("*")]:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)


def test_an_exit_trap_is_recorded_last(tmp_path):
    text = "set -e\ntrap 'python at_exit.py; ./cleanup.sh now' EXIT\npython first.py\nexit 0\n"
    recording = trace(tree_of(tmp_path, text))
    assert [c.argv for c in recording.commands] == [
        ("python", "first.py"),
        ("python", "at_exit.py"),
        ("./cleanup.sh", "now"),
    ]


@pytest.mark.parametrize(
    ("text", "fault", "line"),
    [
        ("set -e\npython a.py\nf() {\n  exit 3\n}\nf\n", "ended with exit code 3 at `exit 3`", "test.sh:4"),
        ("set -e\necho broke >&2\n[[ -f /nothing/here ]]\npython never.py\n", "exit code 1 at `[[ -f /nothing/here ]]`; last output: broke", "test.sh:3"),
        ("python a.py\nif then\n", "ended with exit code 2", "test.sh:1"),
        ("shopt -uo functrace\npython a.py\n", "the script changes an option that tracing needs: shopt -uo", "test.sh:1"),
        ("builtin set +T\npython a.py\n", "builtin hides a command from tracing", "test.sh:1"),
        ("command trap - DEBUG\npython a.py\n", "command hides a command from tracing", "test.sh:1"),
        ("trap - debug\npython a.py\n", "the script traps DEBUG itself", "test.sh:1"),
        ("s=DEBUG; trap - $s\npython a.py\n", "the script traps DEBUG itself", "test.sh:1"),
        ("x='builtin trap - DEBUG'; $x\npython a.py\n", "the script turned off tracing", "test.sh:1"),
        ("f() { local -; set $1; python hidden.py; }; f +T\n", "", "test.sh:1"),
        ("trap 'echo x' DEBUG\npython a.py\n", "the script traps DEBUG itself", "test.sh:1"),
        ("set -e\nset +T\npython a.py\n", "the script changes an option that tracing needs: set +T", "test.sh:2"),
        ("n=$'a b'\n\"./my $n\" x\n", "cannot record a command with the name './my a b'", "test.sh:2"),
        ("set -m; ulimit -u 1; for n in 1; do echo 'x: fork: retry: no' >&2; done\n", "bash could not start a command: x: fork: retry", "test.sh:1"),
        ("set -u\npython $NOT_SET\n", "NOT_SET: unbound variable", "test.sh:2"),
    ],
)  # fmt: skip
def test_untraceable_scripts_have_a_reason_and_a_line(tmp_path, text, fault, line):
    recording = trace(tree_of(tmp_path, text))
    if fault:
        assert fault in recording.fault.text
        assert recording.fault.lines[0].endswith(line)
    else:
        assert recording.fault or recording.commands[-1].argv == ("python", "hidden.py")


def test_a_pipeline_is_recorded_in_script_order(tmp_path):
    """Its commands start together and finish in any order; the recording has the script's order."""
    line = "one | two | three 2>&1 | four\n"
    recording = trace(tree_of(tmp_path, line * 40))
    names = [c.argv[0] for c in recording.commands]
    assert names == ["one", "two", "three", "four"] * 40


def test_a_pipeline_keeps_its_order_where_process_ids_really_wrap(tmp_path):
    """Other processes of the machine take IDs too, so several traces start shortly before the end."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(last, os.W_OK):
        pytest.skip("only root may choose the next process ID")
    pid_max = int(Path("/proc/sys/kernel/pid_max").read_text())
    root = tree_of(tmp_path, "one | two | three 2>&1 | four\n" * 40)
    before = int(last.read_text())
    try:
        for distance in (40, 80, 120):
            last.write_text(str(pid_max - distance))
            recording = trace(root)
            assert recording.is_ordered
            names = [c.argv[0] for c in recording.commands]
            assert names == ["one", "two", "three", "four"] * 40
    finally:
        last.write_text(str(before))


def test_long_commands_and_environments_are_complete(tmp_path):
    """Records exceed the size of atomic pipe writes, and two are written concurrently."""
    text = "export BIG=$(printf 'x%.0s' {1..9000})\npython a.py {1..3000} | python b.py {1..3000}\n"
    recording = trace(tree_of(tmp_path, text))
    assert [len(c.argv) for c in recording.commands] == [3002, 3002]
    assert {len(c.env["BIG"]) for c in recording.commands} == {9000}


def test_variables_that_are_hard_to_read_back(tmp_path):
    hard = ['a"b', "back\\slash", "new\nline", "$HOME `x`", "tab\tend", "ünï", "'", ""]
    lines = [f"export V{n}={quoted(value)}\n" for n, value in enumerate(hard)]
    recording = trace(tree_of(tmp_path, "".join(lines) + "python a.py\n"))
    assert [recording.commands[0].env[f"V{n}"] for n in range(len(hard))] == hard


def quoted(value):
    return "$'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def test_only_changes_of_the_jobs_variables_are_recorded(tmp_path):
    text = "python a.py\nexport TEST_CONFIG=other\nunset SHARD_NUMBER\npython b.py\n"
    variables = {"TEST_CONFIG": "x", "SHARD_NUMBER": "1"}
    first, second = trace(tree_of(tmp_path, text), variables).commands
    assert first.env == {}
    assert second.env == {"TEST_CONFIG": "other", "SHARD_NUMBER": None}


def test_tools_work_only_in_the_temporary_folder(tmp_path):
    """``rm``, ``sed -i`` etc. work inside the copy; elsewhere they are only recorded."""
    outside = tmp_path / "outside.txt"
    outside.write_text("safe")
    outside.chmod(0o666)
    tmp_path.chmod(0o777)
    text = (
        f"sed -i s/safe/gone/ {outside}\nrm -f {outside}\nprintf x | tee {outside}\n"
        "printf 'old\\n' > note.txt\nsed -i s/old/new/ note.txt\ncp note.txt copy.txt\n"
        "mv copy.txt moved.txt\nrm note.txt\nmkdir -p a/b\ntouch a/b/c\n"
        'python got.py "$(cat moved.txt)" $(ls *.txt) $(ls a/b) "$(awk \'{print $1}\' moved.txt)"\n'
        f"find . -name moved.txt -delete\nawk 'BEGIN {{ system(\"rm {outside}\") }}'\n"
        'python still.py "$(ls moved.txt)"\n'
    )
    recording = trace(tree_of(tmp_path / "tree", text))
    assert outside.read_text() == "safe"
    got, still = (c.argv for c in recording.commands if c.argv[1].endswith(("got.py", "still.py")))
    assert got == ("python", "got.py", "new", "moved.txt", "c", "new")
    assert still == ("python", "still.py", "moved.txt")


def recorded(folder, text, **files):
    recording = trace(tree_of(folder, text, **files))
    assert recording.fault is None
    return [" ".join(c.argv) for c in recording.commands]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trap 'build/bin/x now || true' EXIT\npython a\n", ["python a", "build/bin/x now"]),
        ("clean() { bb/a; }; trap clean EXIT\npython a\n", ["python a", "bb/a"]),
        ("trap -- \"$(echo 'bb/a 1')\" EXIT\npython a\nexit 0\n", ["python a", "bb/a 1"]),
        ("trap 'echo failed; bb/diag || true' ERR\nfalse\npython a\n", ["bb/diag", "python a"]),
        ("trap 'a' EXIT; trap \"$(trap -p EXIT | cut -d\\' -f2); b\" EXIT\npython x\n", ["python x", "a", "b"]),
        ("trap 'python \"$?\"' EXIT\ntrue\n", ["python 0"]),
        ("PATH=/usr/bin:/bin; trap 'python3 end' EXIT\npython3 a\n", ["python3 a", "python3 end"]),
        ("c=(one two three); i=0\n${c[i++]} a; ${c[i++]} b; ${c[i++]} c\n", ["one a", "two b", "three c"]),
        ("IFS=,; c=bb/x,y; $c z\n", ["bb/x y z"]),
        ('"${A:-${B:-${C:-build}}}/bin/x" all\n', ["build/bin/x all"]),
        ('"$(echo $(echo $(echo $(echo bb))))/a" y\n', ["bb/a y"]),
        ("__ci_n=1 bb/x\n__ci_=1 /bin/chmod 0 x\n", ["bb/x", "/bin/chmod 0 x"]),
        ("mkdir -p a && python $_\n", ["python a"]),
        ("exec -a name python a.py\n", ["python a.py"]),
        ("python $'a\\rb'\n", ["python a\rb"]),
        ("x=(1); export x; python a\n", ["python a"]),
        ("python3 a; unset -f python3; python3 b\n", ["python3 a", "python3 b"]),
        ("python - <<< 'print(1)'\n", ["python - << print(1)\n"]),
        ("find . -name x -exec python {} \\;\n", ["find . -name x -exec python {} ;"]),
        ("find . -maxdepth 1 -executable -name x\n", []),
        ("echo a >x.py; sed -i s/a/b/ x.py\n", ["sed -i s/a/b/ x.py"]),
        ("awk 'BEGIN{system(\"python x\")}'\n", ['awk BEGIN{system("python x")}']),
    ],
)  # fmt: skip
def test_commands_that_bash_hides_are_recorded(tmp_path, text, expected):
    assert recorded(tmp_path, text) == expected


def test_groups_in_a_pipeline_are_recorded_in_script_order(tmp_path):
    text = "{ python a; } | { python b; }\n" * 60
    assert recorded(tmp_path, text) == ["python a", "python b"] * 60


def test_a_script_cannot_remove_records(tmp_path):
    text = 'python a; rm -rf "$TMPDIR/../log"; mkdir "$TMPDIR/../log"; python b\n'
    assert [line for line in recorded(tmp_path, text) if line.startswith("python")] == [
        "python a", "python b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("sudo python test/run_test.py --all", "test"),
        ("sudo -E apt-get install -y gcc", "install"),
        ("sudo chown -R jenkins x", "probe"),
        ("gcc -o t t.c", "test"),
        ("ccache -C", "test"),
        ("timeout 10 xpu-smi x", "test"),
        ("git config --global user.name x", "install"),
        ("sed -i s/a/b/ test/test_jit.py", "file"),
    ],
)
def test_unknown_commands_are_compared(words, kind):
    assert classify(tuple(words.split())) == kind


def test_a_longer_program_is_not_a_probe():
    code = "import torch, mytests; assert torch.cuda.device_count() >= 0; mytests.main()"
    assert classify(("python", "-c", code)) == "test"


UNKNOWN = ("GITHUB_*", "FLAG")


def unknown_reads(folder, text):
    profile = read_profile()
    stage = read_stage(tree_of(folder, text), SCRIPT, profile)
    (recording,) = trace_jobs([{"KNOWN": "1"}], stage, profile, workers=1, unknown=[UNKNOWN])
    assert recording.fault is None
    notes = [note for note in recording.notes if note.kind is NoteKind.UNKNOWN]
    return list(dict.fromkeys((n.text, int(n.lines[0].rpartition(":")[2])) for n in notes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if [[ $FLAG == 1 ]]; then python a; fi\n", [("FLAG", 1)]),
        ('set -u\nf() {\n  [ -n "${FLAG:-}" ] && python a\n}\nf || true\n', [("FLAG", 3)]),
        ("case $GITHUB_REF in x) python a ;; esac\n", [("GITHUB_REF", 1)]),
        ("for i in $FLAG; do python a; done\n", [("FLAG", 1)]),
        ("while (( FLAG > 1 )); do break; done\n", [("FLAG", 1)]),
        ("[[ -v FLAG ]] || true\n", [("FLAG", 1)]),
        ("x=$(echo $FLAG)\n", [("FLAG", 1)]),
        ("echo $FLAG | grep -q 1 || true\n", [("FLAG", 1)]),
        ("read x <<EOF || true\n$FLAG\nEOF\n", [("FLAG", 1)]),
        ("n=FLA; n+=G\n[[ ${!n} ]] || true\n", [("FLAG", 2)]),
        ("f() { [[ ${!1} ]] || true; }\nf FLA''G\n", [("FLAG", 1)]),
        ("echo ${!GITHUB@}\n", [("GITHUB*", 1)]),
        ("env | grep -q x || true\n", [("all of the environment", 1)]),
        ("export -p | grep -q x || true\n", [("all of the environment", 1)]),
        ("tr a b </proc/self/environ || true\n", [("all of the environment", 1)]),
        ("eval 'python $FLAG'\n", [("FLAG", 1)]),
        ("FLAG+=1\n", [("FLAG", 1)]),
        ("FLAG=${FLAG:=1}\n", [("FLAG", 1)]),
        ("x=$FLAG\n", [("FLAG", 1)]),
        ("FLAG=${FLAG:-${OTHER:-}}\n[[ $FLAG ]] || true\n", [("FLAG", 2)]),
        ("set -u\nFLAG=${FLAG:-1}\nf() { python $FLAG; }\nf\ntrue\n", [("FLAG", 3)]),
        ("FLAG=${FLAG:-1}; n=FLA; n+=G\n[[ ${!n} ]]\ntrue\n", [("FLAG", 2)]),
        ("python a\nfor x in a \\\n  $FLAG; do python b; done\n", [("FLAG", 2)]),
        # These do not read it.
        ("env\nprintenv\n", []),
        ("FLAG=1\n[[ $FLAG ]] && python a\n", []),
        ("FLAG=${FLAG:-${OTHER:-}}\npython a\n", []),
        ("FLAG=${FLAG:-1}\nFLAG=2\npython $FLAG\n", []),
        ("FLAG=1 python a\npython --FLAG=x\n", []),
        ("unset FLAG\nexport FLAG\n", []),
        ("[[ $KNOWN == 1 ]] && python a $GITHUB\n", []),
        # Bash reports the last command again at the end of a script, with line 1.
        ("\npython a $FLAG\n", [("FLAG", 2)]),
        ("\nf() {\n  python a $FLAG\n}\nf\n", [("FLAG", 3)]),
        ("trap 'echo bye' EXIT\n\npython a $FLAG\n", [("FLAG", 3)]),
        # It decides nothing but a limit.
        ('\nif [[ "$KNOWN" == 2 ]] || [[ "${FLAG}" == "1" ]]; then\n  # no core dumps\n  ulimit -c 0\n\nfi\npython a\n', []),
        ("if [[ $KNOWN ]]\nthen\n  :\nelif [[ -n $FLAG ]]; then\n  ulimit -c 0\nelse\n  ulimit -c 1\nfi\n", []),
        ("if [[ $FLAG ]]; then\n  ulimit -c 0\n  python a\nfi\n", [("FLAG", 1)]),
        ("if [[ $FLAG ]]; then\n  ulimit -c $FLAG\nfi\n", [("FLAG", 1)]),
        ("if [[ $FLAG ]]; then\n  ulimit -c 0\nfi | python a\n", [("FLAG", 1)]),
        ("if [[ $FLAG =~ (.*) ]]; then\n  ulimit -c 0\nfi\n", [("FLAG", 1)]),
        ("if [[ ${FLAG:=x} ]]; then\n  ulimit -c 0\nfi\n", [("FLAG", 1)]),
        ("if [[ $FLAG == $(python a) ]]; then\n  ulimit -c 0\nfi\n", [("FLAG", 1)]),
    ],
)  # fmt: skip
def test_reads_of_variables_that_are_known_only_at_run_time(tmp_path, text, expected):
    assert unknown_reads(tmp_path, text) == expected


# --- jobs that differ only in what the script never reads


def traces_of(folder, text, jobs, monkeypatch):
    """Trace jobs; return the recordings, and how many traces were made."""
    made = []
    trace_one = pool._Pool.trace
    monkeypatch.setattr(
        pool._Pool, "trace", lambda self, job: (made.append(job), trace_one(self, job))[1]
    )
    profile = read_profile()
    stage = read_stage(tree_of(folder, text), SCRIPT, profile)
    return list(trace_jobs(jobs, stage, profile, workers=1)), len(made)


JOBS = [
    {"TEST_CONFIG": config, "GITHUB_WORKFLOW": workflow}
    for config in ("one", "two")
    for workflow in ("pull", "trunk", "periodic")
]


def test_jobs_that_differ_in_what_the_script_never_reads_are_traced_once(tmp_path, monkeypatch):
    text = "[[ $TEST_CONFIG == one ]] && python a\npython b\nenv\n"
    found, traces = traces_of(tmp_path, text, JOBS, monkeypatch)
    assert traces == 2
    assert [len(recording.commands) for recording in found] == [
        2,
        2,
        2,
        1,
        1,
        1,
    ]  # env is not recorded
    assert not any(recording.notes for recording in found)


@pytest.mark.parametrize(
    "text",
    [
        "python $GITHUB_WORKFLOW\n",
        "n=GITHUB; n+=_WORKFLOW; python ${!n}\n",
        "f() { python ${!1}; }; f GITHUB''_WORKFLOW\n",
        "eval python \\$GITHUB''_WORKFLOW\n",
        "n=GITHUB; eval OTHER=\\$${n}_WORKFLOW; export OTHER; python a\n",
        "x=$(env | grep WORK); python $x\n",
        "x=$(declare -p GITHUB''_WORKFLOW); python $x\n",
        "n=GITHUB; n+=_WORKFLOW; x=$(declare -p $n); python $x\n",
        "n=GITHUB; n+=_WORKFLOW; declare -n r=$n; python $r\n",
        "n=GITHUB; n+=_WORKFLOW; f() { local -n r=$n; python $r; }; f\n",
        "n=GITHUB; for n in ${!GITHUB@}; do python ${!n}; done\n",
        "n=GITHUB; x=$(awk -v n=${n}_WORKFLOW 'BEGIN{print ENVIRON[n]}'); python $x\n",
        "x=$(set | grep '^GITHUB_W'); python $x\n",
        "x=$(export -p | grep 'GITHUB_W'); python $x\n",
        "x=$(compgen -v GITHUB_); python ${!x}\n",
        "x=$(grep -c pull /proc/self/environ || true); python $x\n",
    ],
)
def test_what_a_script_reads_in_any_way_is_traced_for_each_job(tmp_path, monkeypatch, text):
    jobs = JOBS[:2]
    found, traces = traces_of(tmp_path, text, jobs, monkeypatch)
    assert traces >= 2
    alone = [traces_of(tmp_path, text, [job], monkeypatch)[0][0] for job in jobs]
    assert [one.commands for one in found] == [one.commands for one in alone]


def test_a_variable_whose_existence_is_read_is_traced_for_each_job(tmp_path, monkeypatch):
    text = "n=GITHUB_; n+=WORKFLOW; [[ -v $n ]] && python a\npython b\n"
    jobs = [{"TEST_CONFIG": "one"}, JOBS[0]]
    found, _ = traces_of(tmp_path, text, jobs, monkeypatch)
    assert [len(recording.commands) for recording in found] == [1, 2]
    found, _ = traces_of(tmp_path, text, jobs[::-1], monkeypatch)
    assert [len(recording.commands) for recording in found] == [2, 1]


def test_what_bash_reads_of_its_own_accord_is_traced_for_each_job(tmp_path, monkeypatch):
    jobs = [{"TEST_CONFIG": "one", "LC_COLLATE": name} for name in ("C", "C.UTF-8")]
    assert traces_of(tmp_path, "python a\n", jobs, monkeypatch)[1] == 2
