"""Conditions on a job. Each describes itself, and knows which configuration names it looks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.job.variables import TESTS_TO_INCLUDE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_sessions.job.job import Job

__all__ = [
    "Match",
    "anything",
    "build_has",
    "config_has",
    "config_is",
    "config_starts_with",
    "names_tests",
    "shard_above",
    "shard_is",
]


@dataclass(frozen=True, slots=True)
class Match:
    """A condition on a job with a description. Combine with ``&``, ``|`` and ``~``.

    ``names`` are the configurations that it names, if any.
    """

    text: str
    accepts: Callable[[Job], bool]
    names: tuple[str, ...] = ()

    def __and__(self, other: Match) -> Match:
        return Match(
            f"{self.text} and {other.text}",
            lambda job: self.accepts(job) and other.accepts(job),
            self.names + other.names,
        )

    def __or__(self, other: Match) -> Match:
        return Match(
            f"{self.text} or {other.text}",
            lambda job: self.accepts(job) or other.accepts(job),
            self.names + other.names,
        )

    def __invert__(self) -> Match:
        return Match(f"not ({self.text})", lambda job: not self.accepts(job))


def config_is(*names: str) -> Match:
    """Match if TEST_CONFIG is one of these names."""
    return Match(f"config is {' or '.join(names)}", lambda job: job.config in names, names)


def config_has(text: str) -> Match:
    """Match if TEST_CONFIG contains this text."""
    return Match(f"config has {text}", lambda job: job.has(text), (text,))


def config_starts_with(text: str) -> Match:
    """Match if TEST_CONFIG starts with this text."""
    return Match(f"config starts with {text}", lambda job: job.config.startswith(text))


def build_has(text: str) -> Match:
    """Match if BUILD_ENVIRONMENT contains this text."""
    return Match(f"build has {text}", lambda job: job.build.has(text))


def shard_is(number: int) -> Match:
    """Match if the shard has this number and is one of several."""
    return Match(
        f"shard {number} of several",
        lambda job: job.shard.is_split and job.shard.number == number,
    )


def shard_above(number: int) -> Match:
    """Match if the shard's number is greater than this."""
    return Match(f"shard {number + 1} or above", lambda job: job.shard.number > number)


names_tests = Match("TESTS_TO_INCLUDE is set", lambda job: bool(job[TESTS_TO_INCLUDE]))
anything = Match("anything else", lambda _: True)
