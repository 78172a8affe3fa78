"""The recorded answers are true of the profile's machine: asked of it, each question gets its own.

A plan is answered from ``profile.toml`` without a process; here bash asks each question and
condition under the recorder, which answers the commands in them from the same file.
"""

from __future__ import annotations

import shlex

from parity.recorder import trace, tree_of

from ci_sessions.catalogue import questions
from ci_sessions.plan.facts import Condition
from ci_sessions.plan.recorded import recorded_answers

ELSEWHERE = {
    "gpu_indices",  # the script counts GPUs by a program on standard input, which has no answer
}
HEAD = (
    "export ROOT=$PWD SITE=$(python -c 'import site; print(site.getsitepackages()[0])')\n"
    "export ROCM_HOME=/opt/rocm\n"
)


def test_each_question_and_condition_is_answered_as_recorded(tmp_path):
    conditions = [one for one in vars(questions).values() if isinstance(one, Condition)]
    lines = [
        f'python answer.py {name} "$({question.line})"\n'
        for name, question in questions.QUESTIONS.items()
    ]
    lines += [
        f"if {one.line}; then python holds.py {shlex.quote(one.name)} yes; "
        f"else python holds.py {shlex.quote(one.name)} no; fi\n"
        for one in conditions
    ]
    recording = trace(tree_of(tmp_path / "tree", HEAD + "".join(lines)))
    assert recording.fault is None, recording.fault
    argv = [command.argv for command in recording.commands]
    asked = {words[2]: words[3] for words in argv if words[1:2] == ("answer.py",)}
    held = {words[2]: words[3] == "yes" for words in argv if words[1:2] == ("holds.py",)}
    answers = recorded_answers()
    expected = {k: v for k, v in answers.questions.items() if k not in ELSEWHERE}
    assert {k: v for k, v in asked.items() if k not in ELSEWHERE} == expected
    assert held == {one.name: answers.conditions[one.name] for one in conditions}
