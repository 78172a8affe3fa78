from __future__ import annotations

import os
from dataclasses import replace

import pytest
from conftest import ROOT
from inventories import part

from ci_sessions.inventory.cache import AnswerCache
from ci_sessions.inventory.facts import BuildFacts
from ci_sessions.inventory.selection import Fault, Question, Selection
from ci_sessions.inventory.tree import read_tree

QUESTION = Question(argv=("test/run_test.py",), env={"TEST_CONFIG": "default"}, facts=BuildFacts())
ANSWER = Selection(parts=(part("test_ops", minutes=1.5),), minutes=1.5)


@pytest.fixture
def tree():
    return read_tree(ROOT / "examples" / "checkout")


def ask_once(folder, tree, answer):
    """Return the answer, and how many questions were asked."""
    cache, asked = AnswerCache(folder), []

    def ask(questions):
        asked.extend(questions)
        return {question.key: answer for question in questions}

    cache.open(tree)
    found = cache.answers([QUESTION], ask)
    cache.save()
    assert cache.hits == 1 - len(asked)
    return found[QUESTION.key], len(asked)


def test_an_answer_is_kept(tmp_path, tree):
    assert ask_once(tmp_path, tree, ANSWER) == (ANSWER, 1)
    assert ask_once(tmp_path, tree, None) == (ANSWER, 0)
    assert (tmp_path / ".gitignore").read_text() == "*\n"


def test_a_refusal_is_kept_and_a_failure_is_not(tmp_path, tree):
    ask_once(tmp_path / "a", tree, Fault("no", is_rejected=True))
    assert ask_once(tmp_path / "a", tree, ANSWER)[1] == 0
    ask_once(tmp_path / "b", tree, Fault("it timed out"))
    assert ask_once(tmp_path / "b", tree, ANSWER) == (ANSWER, 1)


def test_other_content_is_asked_again(tmp_path, tree):
    ask_once(tmp_path, tree, ANSWER)
    assert (
        ask_once(tmp_path, replace(tree, empty=(*tree.empty, "test/test_new.py")), ANSWER)[1] == 1
    )


def test_a_file_that_cannot_be_read_only_costs_time(tmp_path, tree):
    ask_once(tmp_path, tree, ANSWER)
    (path,) = (tmp_path / "inventory").iterdir()
    path.write_bytes(b"\x1f\x8bbroken")
    assert ask_once(tmp_path, tree, ANSWER) == (ANSWER, 1)


def test_without_a_folder_nothing_is_kept(tree):
    assert ask_once(None, tree, ANSWER) == (ANSWER, 1)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, tree):
    (tmp_path / "file").touch()
    assert ask_once(tmp_path / "file" / "x", tree, ANSWER) == (ANSWER, 1)


def test_files_that_were_not_used_for_long_are_removed(tmp_path, tree):
    (tmp_path / "inventory").mkdir()
    old = tmp_path / "inventory" / "old.json.gz"
    old.touch()
    os.utime(old, (0, 0))
    ask_once(tmp_path, tree, ANSWER)
    assert not old.exists()
