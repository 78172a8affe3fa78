"""What only the machine at hand can tell, as values that a plan carries: questions, conditions.

Each is a line of shell. It finds the places as variables ($ROOT, $SITE …), so that no path is ever
pasted into shell text.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Condition", "Executables", "Question"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One line of shell whose standard output is the answer, asked once, when a step needs it.

    ``is_list``: the answer is split into words at white space, maybe none. ``is_optional``: with an
    empty answer, the variable that would hold it stays as the caller set it. ``is_needed``: the run
    ends if it cannot be answered.
    """

    name: str
    line: str
    is_list: bool = False
    is_optional: bool = False
    is_needed: bool = False

    @property
    def answer(self) -> str:
        """The placeholder that stands for the answer in a template."""
        return f"${{ask:{self.name}}}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A shell test that decides whether a step runs; ``name`` says what it is that must hold.

    ``is_fixed``: the answer is the machine's, the same all run long, so it is asked once.
    """

    name: str
    line: str
    is_fixed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Executables:
    """Files that a step runs one by one: patterns, relative to the step's folder."""

    name: str
    patterns: tuple[str, ...]
