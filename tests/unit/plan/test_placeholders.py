from __future__ import annotations

import subprocess

import pytest

from ci_sessions.plan import placeholders as tokens
from ci_sessions.plan.placeholders import as_shell_word, ask, fill, questions_in, recorded


def test_places_questions_and_pins_are_filled_apart():
    text = "$ROOT/x ${ask:cores} git@PIN-vision $OTHER"
    assert fill(text, place=str.lower) == "root/x ${ask:cores} git@PIN-vision $OTHER"
    assert fill(text, pin=lambda name: name.upper()) == "$ROOT/x ${ask:cores} git@VISION $OTHER"
    assert recorded(text) == "$ROOT/x 2 git@PIN-vision $OTHER"
    assert questions_in(text) == ("cores",)


def test_a_misspelt_question_fails_at_once():
    with pytest.raises(KeyError, match="no question is called 'coers'"):
        ask("coers")


def test_random_is_a_token_in_a_path_only():
    assert fill("$SITE/torch/RANDOM.py", place=lambda name: name[0]) == "S/torch/R.py"
    assert fill("torch.RANDOM.f", place=lambda _: "q") == "torch.q.f"
    assert fill("RANDOMIZE RANDOM", place=lambda _: "q") == "RANDOMIZE RANDOM"


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("plain", "plain"),
        ("two words", "'two words'"),
        ("it's", '"it\'s"'),
        ("", "''"),
        ("$SITE/torch lib", "\"$SITE\"'/torch lib'"),
        ("-j${ask:quarter_of_cpus}", '-j"$(n=$(( $(nproc) / 4 )); echo $(( n < 4 ? 4 : n )))"'),
        ("git+https://x@PIN-vision", "git+https://x@PIN-vision"),
    ],
)
def test_words_are_quoted_for_a_shell(word, shown):
    assert as_shell_word(word) == shown


def test_wildcards_stay_open_where_files_are_meant():
    assert as_shell_word("$SITE/lib a/libtorch*", is_pattern=True) == "\"$SITE\"'/lib a/libtorch'*"
    assert as_shell_word("a*b") == "'a*b'"


def test_a_list_question_is_left_unquoted_so_that_it_splits():
    assert as_shell_word(ask("dtensor_tests")).startswith("$(find test/distributed/tensor")


def test_every_shell_line_parses(monkeypatch):
    """Bash itself reads each question and condition, without running it."""
    monkeypatch.undo()
    lines = [question.shell for question in tokens.QUESTIONS.values()]
    lines += [condition.shell for condition in tokens.CONDITIONS.values()]
    for line in lines:
        done = subprocess.run(
            ["bash", "-n", "-c", line], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), line
