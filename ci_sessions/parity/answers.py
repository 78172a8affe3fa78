"""What plans ask about the checkout's own files, answered in the copy in which scripts are traced.

The profile describes a machine, not a checkout: each tree has other test files. So the recorder,
which answers the script's commands, also runs the lines of shell with which plans ask.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from ci_sessions.log import logger
from ci_sessions.parity.pool import trace_jobs
from ci_sessions.parity.staging import read_stage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ci_sessions.parity.pool import Cache
    from ci_sessions.parity.profile import Profile
    from ci_sessions.plan.facts import Condition, Question
    from ci_sessions.plan.plan import Plan
    from ci_sessions.plan.recorded import Answers

__all__ = ["answers_for"]

_SCRIPT = "questions.sh"
_ANSWER, _YES, _NO = "answer", "yes", "no"


def answers_for(
    plans: Iterable[Plan], root: Path, scripts: str, profile: Profile, cache: Cache
) -> Answers:
    """Return the profile's answers for plans, with those that depend on the checkout at ``root``.

    ``scripts`` is the folder of its scripts. A question that cannot be answered has no answer, so
    the plans that ask it cannot be compared.
    """
    questions, conditions = _about_checkout(plans)
    answers = profile.plan_answers
    if not (questions or conditions):
        return answers
    script = f"{scripts}/{_SCRIPT}"
    overlay = {script: _to_bash(questions, conditions).encode()}
    stage = read_stage(root, script, profile, overlay=overlay)
    (recording,) = trace_jobs([{}], stage, profile, cache=cache, workers=1)
    if recording.fault:
        logger.warning("questions about the checkout have no answer: %s", recording.fault.text)
    found = {
        command.argv[1]: command.argv[2]
        for command in recording.commands
        if command.argv[0] == _ANSWER and recording.fault is None
    }
    asked = {*questions, *conditions}
    kept = [item for item in answers.questions.items() if item[0] not in asked]
    met = [item for item in answers.conditions.items() if item[0] not in asked]
    return replace(
        answers,
        questions={**dict(kept), **{n: found[n] for n in questions if n in found}},
        conditions={**dict(met), **{n: found[n] == _YES for n in conditions if n in found}},
    )


def _about_checkout(
    plans: Iterable[Plan],
) -> tuple[dict[str, Question], dict[str, Condition]]:
    """Return the questions and conditions of plans that depend on the checkout, by name."""
    questions: dict[str, Question] = {}
    conditions: dict[str, Condition] = {}
    for plan in plans:
        questions.update(plan.used_questions())
        conditions.update((step.when.name, step.when) for step in plan.steps() if step.when)
    return (
        {name: one for name, one in questions.items() if one.is_about_checkout},
        {name: one for name, one in conditions.items() if one.is_about_checkout},
    )


def _to_bash(questions: dict[str, Question], conditions: dict[str, Condition]) -> str:
    """Return a script that passes each answer to a command, which the recorder sees."""
    lines = [f'{_ANSWER} {shlex.quote(name)} "$({one.line})"' for name, one in questions.items()]
    lines += [
        f"if {one.line}; then {_ANSWER} {shlex.quote(name)} {_YES}; "
        f"else {_ANSWER} {shlex.quote(name)} {_NO}; fi"
        for name, one in conditions.items()
    ]
    return "".join(f"{line}\n" for line in lines)
