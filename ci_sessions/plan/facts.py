"""Facts that are known only on the machine that runs a plan: questions, conditions, executables.

Questions and conditions are lines of shell. They use paths as variables ($ROOT, $SITE …), so no
path is ever inserted into shell text.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Condition", "Executables", "Question", "stand_in"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A line of shell whose standard output is the answer. It runs once, when first needed.

    ``is_list``: the answer is split into arguments at white space, possibly none.
    ``is_optional``: if the answer is empty, the variable keeps the caller's value.
    ``is_needed``: the run fails if there is no answer.
    ``is_about_checkout``: the answer depends only on files of the checkout.
    """

    name: str
    line: str
    is_list: bool = False
    is_optional: bool = False
    is_needed: bool = False
    is_about_checkout: bool = False

    @property
    def answer(self) -> str:
        """The placeholder for the answer in a template."""
        return f"${{ask:{self.name}}}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A shell test that decides whether a step runs. ``description``: "umf is installed".

    ``is_fixed``: the result cannot change during a run, so it is evaluated once.
    ``is_about_checkout``: the result depends only on files of the checkout.
    """

    name: str
    description: str
    line: str
    is_fixed: bool = False
    is_about_checkout: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Executables:
    """Files that a step runs one by one: glob patterns, relative to the step's folder."""

    name: str
    patterns: tuple[str, ...]


def stand_in(pattern: str) -> str:
    """Return the name of one file that stands for all that match a glob pattern.

    ``vec256_test*`` → ``vec256_test_stand_in``
    """
    before, _, after = pattern.rpartition("*")
    return f"{before.replace('*', '')}_stand_in{after}"
