"""Asks run_test.py many questions, in sandboxed processes, each question once.

The calling process reads the checkout and the cache. It runs nothing of the checkout.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InternalError
from ci_sessions.inventory.printed import derive_answer, read_answer
from ci_sessions.inventory.selection import Fault, Selection
from ci_sessions.job.variables import BUILD_ENVIRONMENT, SHARD_NUMBER
from ci_sessions.log import logger
from ci_sessions.run.process import LineProcess
from ci_sessions.run.scratch import assign_user, make_temporary_folder, remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ci_sessions.inventory.selection import Answer, Question
    from ci_sessions.inventory.tree import TestTree

__all__ = ["ask"]

_VARYING = (SHARD_NUMBER.name,)
"""Variables in which the questions of one line may differ."""
_START_LIMIT = 30.0  # seconds for a worker to start
_LIMIT = 120.0  # seconds for the questions of one line
_LOST = "the process that asked it ended without an answer"

Key = tuple[object, ...]


def ask(questions: Iterable[Question], tree: TestTree, workers: int = 0) -> dict[Key, Answer]:
    """Return the answer to each question, by its key.

    ``workers`` is the number of processes; 0 means one per CPU. A question without an answer has a
    fault, which says why. Of the shards of a job, the first and the last are asked: if both are
    what run_test.py's own division into shards says, the others follow from it.
    """
    families: dict[Key, dict[Key, Question]] = defaultdict(dict)
    for question in questions:
        families[question.family][question.key] = question
    ends = [end for family in families.values() for end in _ends([*family.values()])]
    answers, data = _ask_groups(ends, tree, workers)
    doubtful: list[Question] = []
    for family in families.values():
        derived = _derive([*family.values()], answers, data)
        answers.update(derived)
        doubtful += [question for key, question in family.items() if key not in answers]
    answers.update(_ask_groups(doubtful, tree, workers)[0])
    return answers


def _ends(family: list[Question]) -> list[Question]:
    numbers = sorted(family, key=lambda question: question.shard or (1, 1))
    return list({question.key: question for question in (numbers[0], numbers[-1])}.values())


def _derive(
    family: list[Question], answers: Mapping[Key, Answer], data: Mapping[Key, Mapping[str, Any]]
) -> dict[Key, Answer]:
    """Return the answers that follow from those for the first and last shard; none if unsure."""
    ends = _ends(family)
    found = data[ends[0].key]
    first = answers[ends[0].key]
    if not isinstance(first, Selection):
        return {}
    try:
        derived = {one.key: derive_answer(one, found, first.basis) for one in family}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return {}
    is_sure = all(derived[end.key] == answers[end.key] for end in ends)
    return {key: answer for key, answer in derived.items() if answer} if is_sure else {}


def _ask_groups(
    questions: Sequence[Question], tree: TestTree, workers: int
) -> tuple[dict[Key, Answer], dict[Key, Mapping[str, Any]]]:
    """Return the answers, and what the workers said."""
    groups = _groups(questions)
    if not groups:
        return {}, {}
    count = min(workers or os.cpu_count() or 1, len(groups))
    base = make_temporary_folder()
    found: dict[Key, Mapping[str, Any]] = {}
    try:
        (base / "stage").write_text(json.dumps(tree.to_dict()), encoding="utf-8")
        with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
            parts = [groups[number::count] for number in range(count)]
            jobs = [
                pool.submit(_ask_all, base / f"worker{number}", part, stack)
                for number, part in enumerate(parts)
            ]
            for job in jobs:
                found.update(job.result())
    finally:
        remove(base)
    return {question.key: _read(question, found[question.key]) for question in questions}, found


def _groups(questions: Iterable[Question]) -> list[list[Question]]:
    """Return the questions in groups whose environments differ only in few variables."""
    groups: dict[Key, list[Question]] = defaultdict(list)
    for question in questions:
        shared = {k: v for k, v in question.env.items() if k not in _VARYING}
        groups[question.facts, tuple(sorted(shared.items()))].append(question)
    return sorted(groups.values(), key=len, reverse=True)


def _ask_all(
    base: Path, groups: Sequence[Sequence[Question]], stack: ExitStack
) -> dict[Key, Mapping[str, Any]]:
    found: dict[Key, Mapping[str, Any]] = {}
    worker: _Worker | None = None
    for number, group in enumerate(groups):
        if worker is None:
            worker = _Worker(base.with_name(f"{base.name}-{number}"))
            stack.callback(worker.process.terminate)
        answers = worker.ask(group)
        if answers is None:
            worker.process.terminate()
            answers = [{"fault": f"{_LOST}: {worker.last_error()}"}] * len(group)
            worker = None
        for question, data in zip(group, answers, strict=True):
            found[question.key] = data
    if worker is not None:
        worker.process.terminate()
    return found


def _read(question: Question, data: Mapping[str, Any]) -> Answer:
    """Return an answer. The worker runs the checkout's code, so it may be anything."""
    try:
        return read_answer(question, data)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return Fault(f"run_test.py cannot be asked: its answer is not understood ({error!r:.100})")


class _Worker:
    """One sandboxed process and its temporary folder."""

    def __init__(self, base: Path) -> None:
        base.mkdir()
        self._errors = base.with_suffix(".log")
        module = "ci_sessions.inventory.worker"
        argv = (sys.executable, "-m", module, str(base), str(assign_user(base)))
        package = str(Path(__file__).resolve().parents[2])
        env = {
            "PYTHONPATH": package,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONWARNINGS": "ignore",
            "LC_ALL": "C.UTF-8",
        }
        self.process = LineProcess(argv, env=env, stderr=self._errors)
        stage = json.dumps({"stage": str(base.parent / "stage")})
        reply = self.process.ask(stage, _START_LIMIT)
        if reply is None:
            self.process.terminate()
            raise InternalError(f"the process that asks did not start: {self.last_error()}")
        logger.debug("asking in a sandbox with: %s", ", ".join(json.loads(reply)["sandbox"]))

    def ask(self, group: Sequence[Question]) -> list[Mapping[str, Any]] | None:
        """Return the answers to questions that share an environment; None if the process ended."""
        env = group[0].env
        request = {
            "env": {k: v for k, v in env.items() if k not in _VARYING},
            "facts": group[0].facts.to_dict(),
            "build": env.get(BUILD_ENVIRONMENT.name, ""),
            "questions": [
                {
                    "argv": _with_dry_run(question.argv),
                    "cwd": question.cwd,
                    "env": {k: v for k, v in question.env.items() if k in _VARYING},
                }
                for question in group
            ],
        }
        reply = self.process.ask(json.dumps(request), _LIMIT)
        try:
            answers = None if reply is None else json.loads(reply)["answers"]
        except (ValueError, KeyError, TypeError):
            return None
        return answers if isinstance(answers, list) and len(answers) == len(group) else None

    def last_error(self) -> str:
        text = self._errors.read_text(errors="replace").strip()
        return text.splitlines()[-1] if text else "no error output"


def _with_dry_run(argv: Sequence[str]) -> list[str]:
    """Return the command with ``--dry-run``, before any other option."""
    return [argv[0], "--dry-run", *argv[1:]]
