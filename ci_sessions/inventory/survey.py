"""A survey of a checkout: the inventory of its jobs, and answers to further questions about it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ci_sessions.inventory.asker import Asker
from ci_sessions.inventory.jobs import answered, binaries_in, plan_inventory
from ci_sessions.inventory.tree import read_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ci_sessions.checkout.checkout import Checkout
    from ci_sessions.inventory.cache import AnswerCache
    from ci_sessions.inventory.jobs import JobInventory
    from ci_sessions.inventory.selection import Answer, Question
    from ci_sessions.inventory.tree import TestTree

__all__ = ["Planner", "Survey", "survey"]


Planner = Callable[["Sequence[Mapping[str, Any]]", str], "list[JobInventory]"]


def _plan_all(
    checkout: Checkout, jobs: Sequence[Mapping[str, Any]], run_test: str
) -> list[JobInventory]:
    return [plan_inventory(job, checkout, run_test) for job in jobs]


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """A checkout, what was read of it, and the inventory of its jobs."""

    root: Path
    checkout: Checkout
    tree: TestTree
    cache: AnswerCache
    asker: Asker
    plan: Planner
    jobs: Sequence[JobInventory] = ()

    def take(self, jobs: Iterable[Mapping[str, Any]]) -> list[JobInventory]:
        """Return the inventory of other jobs."""
        return self.fill(self.plan([*jobs], self.tree.run_test))

    def fill(self, planned: Sequence[JobInventory]) -> list[JobInventory]:
        """Return inventories with the answers to their questions."""
        questions = [step.question for job in planned for step in job.steps if step.question]
        answers = self.ask(questions)
        return [answered(job, answers) for job in planned]

    def ask(self, questions: Sequence[Question]) -> dict[tuple[object, ...], Answer]:
        """Return the answers to questions, by their keys."""
        return self.cache.answers(questions, self.asker.ask)


@contextmanager
def survey(  # noqa: PLR0913, PLR0917 - what a survey depends on
    root: Path,
    checkout: Checkout,
    jobs: Iterable[Mapping[str, Any]],
    times: Path | None,
    cache: AnswerCache,
    plan: Planner | None = None,
) -> Iterator[Survey]:
    """Take the inventory of jobs; at the end, save the answers and end all processes.

    ``plan`` returns the jobs' steps without answers, given the text of run_test.py; by default,
    those of the plans. Raises CheckoutError without run_test.py; see ``read_tree``.
    """
    tree = read_tree(root, times)
    plan = plan or functools.partial(_plan_all, checkout)
    planned = plan([*jobs], tree.run_test)
    tree = tree.with_binaries(binaries_in(planned))
    cache.open(tree)
    try:
        with Asker(tree) as asker:
            empty = Survey(
                root=root, checkout=checkout, tree=tree, cache=cache, asker=asker, plan=plan
            )
            yield replace(empty, jobs=empty.fill(planned))
    finally:
        cache.save()
