"""Changes of the script in tricks/: each is detected at its line, except one that changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from parity.recorder import SCRIPT, trace, tree_of

from ci_sessions.parity.verdict import compare_versions
from ci_sessions.records.verdict import JobVerdict

TRICKS = Path(__file__).parent / "tricks"
COMMON = ".ci/pytorch/common.sh"

MUTATIONS = [
    # change, old text, new text, expected line, expected field
    ("a flag is added", "python after_trace.py", "python after_trace.py --new", "test.sh:20", "argv"),
    ("an argument changes", 'again.py "a b"', 'again.py "a c"', "test.sh:16", "argv"),
    ("quotes are lost", 'again again python again.py "a b"', "again again python again.py a b", "test.sh:16", "argv"),
    ("an option is dropped", " --now", "", "test.sh:31", "argv"),
    ("a command is dropped", "python by_command.py", "true", "test.sh:65", "missing"),
    ("a command is added", "python timed.py", "python timed.py; python more.py", "test.sh:67", "extra"),
    ("two commands change places", "python grouped.py; python grouped_too.py", "python grouped_too.py; python grouped.py", "test.sh:79", "missing"),
    ("a command moves past a test", "setup_torch_trace\npython after_trace.py", "python after_trace.py\nsetup_torch_trace", "test.sh:19", "order"),
    ("an export is dropped", "export LANG=C.UTF-8 KIND", "export KIND", "test.sh:9", "env"),
    ("an export's value changes", "[gpu]=cuda", "[gpu]=rocm", "test.sh:9", "env"),
    ("an export is not undone", "unset LANG\n", "", "test.sh:79", "env"),
    ("a variable of one command is dropped", "OMP_NUM_THREADS=2 DATA", "DATA", "test.sh:30", "env"),
    ("a function exports", "DEPTH=$((${DEPTH:-0} + 1)) python", "export DEPTH=1; python", "test.sh:20", "env"),
    ("a folder changes", "(cd ../elsewhere", "(cd ../nowhere", "test.sh:58", "cwd"),
    ("a branch turns", 'if ! python -c "import numba.cuda"', 'if python -c "import numba.cuda"', None, None),
    ("a branch is reordered", 'python -c "import numba.cuda" || python without_numba.py', 'python without_numba.py || python -c "import numba.cuda"', "test.sh:25", "missing"),
    ("a loop runs backwards", "for file in test/cases/*.py", "for file in test/cases/bc.py test/cases/a.py", "test.sh:40", "missing"),
    ("an install changes in a sourced file", "--progress-bar off", "--progress-bar on", "common.sh:5", "argv"),
    ("a pin's name changes", "get_pinned_commit vision", "get_pinned_commit audio", "test.sh:14", "argv"),
    ("a foreign file is not sourced", "source /opt/intel/setvars.sh --force\n", "", "test.sh:47", "missing"),
    ("what follows an exec is reached", "&& exec python last.py", "&& python last.py", "test.sh:84", "extra"),
]  # fmt: skip


@pytest.fixture(scope="module")
def before():
    return trace(TRICKS)


@pytest.mark.parametrize(
    ("old", "new", "line", "field"), [m[1:] for m in MUTATIONS], ids=[m[0] for m in MUTATIONS]
)
def test_a_change_of_the_script_is_detected_at_its_line(tmp_path, before, old, new, line, field):
    root = tmp_path / "tree"
    shutil.copytree(TRICKS, root)
    path = root / (SCRIPT if old in (root / SCRIPT).read_text() else COMMON)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    result = compare_versions({"config": "x"}, before, trace(root))
    if line is None:  # only output changes, not the commands
        assert result.verdict is JobVerdict.EQUAL
        return
    assert result.verdict is JobVerdict.DIFFERENT
    found = [
        (source_line.rpartition("/")[2], difference.field)
        for difference in result.differences
        for side in (difference.script, difference.plan)
        if side
        for source_line in side.lines
    ]
    assert (line, field) in found


@pytest.mark.parametrize(
    "loop",
    [
        "cd build/bin\nfound=$(find . -maxdepth 1 -executable -name 'vec_test*')\nfor one in $found\ndo\n  $one --all\ndone\n",
        "for one in build/bin/vec_test*; do [[ -x $one ]] && $one --all; done\n",
        "while read -r one; do $one --all; done < <(find build/bin -name 'vec_test*')\n",
    ],
    ids=["a list", "a pattern", "a pipe"],
)
def test_a_change_in_a_loop_over_files_that_a_build_makes_is_detected(tmp_path, loop):
    before = trace(tree_of(tmp_path / "before", loop))
    after = trace(tree_of(tmp_path / "after", loop.replace("--all", "--some")))
    assert (before.fault, after.fault) == (None, None)
    result = compare_versions({"config": "x"}, before, after)
    assert [one.field for one in result.differences] == ["argv"]
    (note,) = after.notes
    assert note.text == "vec_test_stand_in stands for files that a build makes"
