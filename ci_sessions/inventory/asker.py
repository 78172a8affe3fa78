"""Asks run_test.py many questions, in sandboxed processes, each question once.

The calling process reads the checkout and the cache. It runs nothing of the checkout.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ci_sessions.errors import InternalError
from ci_sessions.inventory.printed import derive_answer, read_answer
from ci_sessions.inventory.selection import Fault, Selection
from ci_sessions.job.variables import BUILD_ENVIRONMENT, SHARD_NUMBER
from ci_sessions.log import logger
from ci_sessions.run.process import LineProcess
from ci_sessions.run.scratch import assign_user, remove
from ci_sessions.run.temporary import make_temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ci_sessions.inventory.selection import Answer, Question
    from ci_sessions.inventory.tree import TestTree

__all__ = ["Asker"]

_VARYING = (SHARD_NUMBER.name,)
"""Variables in which the questions of one line may differ."""
_START_LIMIT = 30.0  # seconds for a worker to start
_LIMIT = 120.0  # seconds for the questions of one line
_LOST = "the process that asked it ended without an answer"

Key = tuple[object, ...]
_STARTING = Lock()


class Asker:
    """Asks questions about one copy of a checkout; a context manager that ends its processes.

    ``workers`` is the number of processes; 0 means one per CPU. They start when they are needed.
    """

    def __init__(self, tree: TestTree, workers: int = 0) -> None:
        self._tree = tree
        self._count = workers or os.cpu_count() or 1
        self._base: Path | None = None
        self._idle: list[_Worker] = []
        self._numbers = itertools.count()

    def __enter__(self) -> Asker:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._idle:
            worker.process.terminate()
        if self._base is not None:
            remove(self._base)

    def ask(self, questions: Iterable[Question]) -> dict[Key, Answer]:
        """Return the answer to each question, by its key.

        A question without an answer has a fault, which says why. Of the shards of a job, the first
        and the last are asked: if both are what run_test.py's own division into shards says, the
        others follow from it.
        """
        families: dict[Key, dict[Key, Question]] = defaultdict(dict)
        for question in questions:
            families[question.family][question.key] = question
        ends = [end for family in families.values() for end in _ends([*family.values()])]
        answers, data = self._ask_groups(ends)
        doubtful: list[Question] = []
        for family in families.values():
            answers.update(_derive([*family.values()], answers, data))
            doubtful += [question for key, question in family.items() if key not in answers]
        answers.update(self._ask_groups(doubtful)[0])
        return answers

    def _ask_groups(
        self, questions: Sequence[Question]
    ) -> tuple[dict[Key, Answer], dict[Key, Mapping[str, Any]]]:
        """Return the answers, and what the workers said."""
        groups = _groups(questions)
        found: dict[Key, Mapping[str, Any]] = {}
        if groups:
            count = min(self._count, len(groups))
            with ThreadPoolExecutor(count) as pool:
                parts = [groups[number::count] for number in range(count)]
                for answers in pool.map(self._ask_all, parts):
                    found.update(answers)
        return {question.key: _read(question, found[question.key]) for question in questions}, found

    def _ask_all(self, groups: Sequence[Sequence[Question]]) -> dict[Key, Mapping[str, Any]]:
        found: dict[Key, Mapping[str, Any]] = {}
        worker = self._take()
        for group in groups:
            answers = worker.ask(group)
            if answers is None:
                worker.process.terminate()
                answers = [{"fault": f"{_LOST}: {worker.last_error()}"}] * len(group)
                worker = self._take()
            found.update({q.key: data for q, data in zip(group, answers, strict=True)})
        self._idle.append(worker)
        return found

    def _take(self) -> _Worker:
        with _STARTING:
            if self._base is None:
                self._base = make_temporary_folder()
                text = json.dumps(self._tree.to_dict())
                (self._base / "stage").write_text(text, encoding="utf-8")
        if self._idle:
            return self._idle.pop()
        return _Worker(self._base / f"worker{next(self._numbers)}")


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


def _groups(questions: Iterable[Question]) -> list[list[Question]]:
    """Return the questions in groups whose environments differ only in few variables."""
    groups: dict[Key, list[Question]] = defaultdict(list)
    for question in questions:
        shared = {k: v for k, v in question.env.items() if k not in _VARYING}
        groups[question.facts, tuple(sorted(shared.items()))].append(question)
    return sorted(groups.values(), key=len, reverse=True)


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
