"""The recorded answers are consistent with the profile's machine.

Plans get their answers from ``profile.toml`` without running anything. Here, bash evaluates each
question and condition under the recorder, which answers the commands in them from the same file.
"""

from __future__ import annotations

import shlex

from parity.recorder import trace, tree_of

from ci_sessions.catalogue import questions
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
