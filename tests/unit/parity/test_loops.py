from __future__ import annotations

import pytest

from ci_sessions.parity.loops import stand_ins_for, unknown_loops
from ci_sessions.parity.recording import Note, NoteKind

FOLDERS = ("build/bin", "$SITE/torch/bin")


def names(text, existing=()):
    """Return the stand-ins in the build folder."""
    found = stand_ins_for(text, FOLDERS, existing)
    return [path.removeprefix("build/bin/") for path in found if path.startswith("build/bin/")]


@pytest.mark.parametrize(
    "text",
    [
        "pushd build/bin\ntests=$(find . -maxdepth 1 -executable -name 'vec_test*')\nfor t in $tests\ndo\n",
        "for t in ./vec_test*; do",
        'for t in "$BUILD_BIN_DIR"/vec_test*; do',
        "for t in build/bin/vec_test* other; do",
        "for t in \\\n  one \\\n  vec_test*; do",
        "for t in $(find build/bin -name 'vec_test*'); do",
        "for t in $(find -name vec_test*); do",
        'tests=("$BUILD_BIN_DIR"/vec_test*)\nfor t in "${tests[@]}"; do',
        "mapfile -t tests < <(find . -name 'vec_test*')\nfor t in \"${tests[@]}\"; do",
        "while read -r t; do $t; done < <(find . -name 'vec_test*')",
        'find "$BUILD_BIN_DIR" -name "vec_test*" | while read -r t; do',
    ],
)
def test_one_file_stands_for_those_that_a_loop_goes_through(text):
    assert names(text) == ["vec_test_stand_in"]


@pytest.mark.parametrize(
    "text",
    [
        "for t in one two; do",
        "# for t in vec_test*; do",
        "for f in test/cases/*.py; do",
        "for f in $(find test/cases -name '*.py'); do",
        "libraries=$(find . -name 'lib*')",
        "for t in $tests; do",
        "for t in vec_test?*; do",
        "ln -sf lib* elsewhere",
    ],
)
def test_files_of_the_checkout_and_other_patterns_have_no_stand_in(text):
    assert names(text) == []


def test_alternatives_in_braces_have_a_file_each_unless_there_is_one():
    text = 'for t in "$BUILD_BIN_DIR"/*{xpu,sycl}*; do'
    assert names(text) == ["sycl_stand_in", "xpu_stand_in"]
    assert names(text, ["build/bin/sycl_test"]) == ["xpu_stand_in"]
    assert stand_ins_for("for t in ./a*; do", FOLDERS, ()) == (
        "$SITE/torch/bin/a_stand_in",
        "build/bin/a_stand_in",
    )


def test_a_loop_over_a_value_that_only_a_run_knows_is_noted_with_its_line():
    scripts = {"ci/a.sh": b"x=1\nfor t in $GITHUB_REF y; do :; done\n", "ci/b.sh": b"# nothing\n"}
    note = Note(NoteKind.UNKNOWN, "GITHUB_REF", ("ci/a.sh:2",))
    assert list(unknown_loops(scripts, ["GITHUB_*"])) == [note]
    assert list(unknown_loops(scripts, ())) == []
