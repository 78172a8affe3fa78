"""The recorded answers are consistent with the profile's machine.

Plans get their answers from ``profile.toml`` without running anything. Here, bash evaluates each
question and condition under the recorder, which answers the commands in them from the same file.
"""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from parity.recorder import trace, tree_of

from ci_sessions.catalogue import planner, questions
from ci_sessions.checkout.checkout import read_checkout
from ci_sessions.cli.parity import planned_commands
from ci_sessions.parity.pool import Cache
from ci_sessions.parity.profile import read_profile
from ci_sessions.plan.facts import Condition
from ci_sessions.plan.recorded import recorded_answers

UNANSWERED = {
    "gpu_indices",  # the script counts GPUs with a program on standard input, which has no answer
}
HEAD = (
    "export ROOT=$PWD SITE=$(python -c 'import site; print(site.getsitepackages()[0])')\n"
    "export ROCM_HOME=/opt/rocm\n"
)


def test_each_question_and_condition_is_answered_as_recorded(tmp_path):
    conditions = [value for value in vars(questions).values() if isinstance(value, Condition)]
    lines = [
        f'python answer.py {name} "$({question.line})"\n'
        for name, question in questions.QUESTIONS.items()
    ]
    lines += [
        f"if {condition.line}; then python is_met.py {shlex.quote(condition.name)} yes; "
        f"else python is_met.py {shlex.quote(condition.name)} no; fi\n"
        for condition in conditions
    ]
    recording = trace(tree_of(tmp_path / "tree", HEAD + "".join(lines)))
    assert recording.fault is None, recording.fault
    argv = [command.argv for command in recording.commands]
    found = {args[2]: args[3] for args in argv if args[1:2] == ("answer.py",)}
    met = {args[2]: args[3] == "yes" for args in argv if args[1:2] == ("is_met.py",)}
    answers = recorded_answers()
    expected = {k: v for k, v in answers.questions.items() if k not in UNANSWERED}
    assert {k: v for k, v in found.items() if k not in UNANSWERED} == expected
    assert met == {item.name: answers.conditions[item.name] for item in conditions}


DTENSOR = """time python test/run_test.py --include $(find test/distributed/tensor -name 'test_*.py' \\
  -printf '%P\\n' | sed 's|\\.py$||; s|^|distributed/tensor/|' | sort | tr '\\n' ' ') --verbose
"""
FOUND = ["distributed/tensor/debug/test_comm", "distributed/tensor/test_api"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["test_api.py", "debug/test_comm.py", "helper.py", "test_data.txt"], FOUND),
    ],
    ids=["a tree without such files", "a tree with some"],
)
def test_a_question_about_the_checkout_is_answered_for_the_tree_at_hand(tmp_path, names, expected):
    files = {f"test/distributed/tensor/{name}": "" for name in names}
    root = tree_of(tmp_path / "tree", DTENSOR, **files)
    job = {"config": "dtensor", "build_environment": "linux-jammy-py3.10-gcc11"}
    job |= {"shard": 1, "num_shards": 1}
    checkout = read_checkout(root, machine="x86_64")
    (plan,) = planned_commands([job], checkout, read_profile(), Cache(None))
    includes = [
        list(command.argv[3 : command.argv.index("--verbose")])
        for commands in (plan, trace(root).commands)
        for command in commands
        if command.argv[1:3] == ("test/run_test.py", "--include")
    ]
    assert includes == [expected] * 2


def test_a_question_without_an_answer_leaves_no_plan(tmp_path, monkeypatch, caplog):
    question = replace(questions.DTENSOR_TESTS, line="trap : DEBUG")
    monkeypatch.setattr(questions, "DTENSOR_TESTS", question)
    monkeypatch.setattr(planner, "QUESTIONS", {**questions.QUESTIONS, question.name: question})
    root = tree_of(tmp_path / "tree", DTENSOR)
    job = {"config": "dtensor", "build_environment": "linux", "shard": 1, "num_shards": 1}
    checkout = read_checkout(root, machine="x86_64")
    (plan,) = planned_commands([job], checkout, read_profile(), Cache(None))
    assert "no answer to the question 'dtensor_tests'" in plan
    assert "questions about the checkout have no answer: the script traps DEBUG" in caplog.text
