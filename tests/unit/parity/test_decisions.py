from __future__ import annotations

import pytest

from ci_sessions.parity.decisions import changes_nothing
from ci_sessions.parity.recording import Note, NoteKind

BLOCK = """python a.py
if [[ "$A" == "1" ]] || ! [[ -n ${FLAG} ]]; then
  # no core dumps
  ulimit -c 0

fi
python b.py
"""


@pytest.mark.parametrize(
    ("line", "expected"), [(1, False), (2, True), (4, True), (6, True), (7, False)]
)
def test_a_block_that_sets_only_limits_changes_nothing(line, expected):
    note = Note(NoteKind.UNKNOWN, "FLAG", (f"ci/a.sh:{line}", "ci/b.sh:9"))
    assert changes_nothing({"ci/a.sh": BLOCK.encode()}, note) is expected
    assert not changes_nothing({"ci/b.sh": BLOCK.encode()}, note)
    assert not changes_nothing({}, Note(NoteKind.UNKNOWN, "FLAG"))


@pytest.mark.parametrize(
    "change",
    [
        ("ulimit -c 0", "python c.py"),
        ("ulimit -c 0", "ulimit -c $FLAG"),
        ("ulimit -c 0", "ulimit -c 0; python c.py"),
        ("ulimit -c 0", "echo $FLAG"),
        ("ulimit -c 0", "ulimit -t 60"),  # a test may not end
        ("ulimit -c 0", "ulimit -v 1000"),
        ("fi\n", "fi | tee log\n"),
        ("fi\n", "else python c.py\nfi\n"),
        ("-n ${FLAG}", "${FLAG} =~ x(.)"),
        ("-n ${FLAG}", "${FLAG:=1}"),
        ("-n ${FLAG}", "${FLAG:?}"),
        ("-n ${FLAG}", "$(python c.py)"),
        ("-n ${FLAG}", "n++ -gt 1"),
        ("[[ -n ${FLAG} ]]", "[[ $A ]] && python c.py"),
        ("[[ -n ${FLAG} ]]", "test -n $FLAG"),
    ],
)
def test_anything_else_in_it_may_change_something(change):
    text = BLOCK.replace(*change)
    assert text != BLOCK
    note = Note(NoteKind.UNKNOWN, "FLAG", ("ci/a.sh:2",))
    assert not changes_nothing({"ci/a.sh": text.encode()}, note)
