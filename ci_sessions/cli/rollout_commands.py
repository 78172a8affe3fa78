"""What to type after a verdict of ``rollout``."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.checkout.locate import find_checkout, sample_checkout
from ci_sessions.errors import CheckoutError
from ci_sessions.gate.findings import NextStep
from ci_sessions.job.variables import (
    BUILD_ENVIRONMENT,
    NUM_TEST_SHARDS,
    SHA1,
    SHARD_NUMBER,
    TEST_CONFIG,
    USE_PYTHON_TEST_RUNNER,
)
from ci_sessions.plan.shell import quote_all

if TYPE_CHECKING:
    from ci_sessions.gate.evidence import Evidence
    from ci_sessions.gate.rollout import Configuration
    from ci_sessions.gate.verdict import Verdict

__all__ = ["RolloutCommands"]

_COPY = "rollout.toml"  # in the current folder, since the bundled file is not to be changed


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutCommands:
    """Commands with the options that this one got. ``program`` is how this one was called."""

    program: tuple[str, ...]
    rollout: str | None
    records: str | None

    def after(self, verdict: Verdict, found: Evidence, entry: Configuration) -> tuple[str, ...]:
        """Return the commands that carry a verdict on, in order."""
        match verdict.next:
            case NextStep.APPLY:
                return self._change("--apply")
            case NextStep.OPEN:
                return self._change("--open", entry.phase)
            case NextStep.SHADOW:
                return (self._dispatch(found, "shadow"),)
            case NextStep.PAIR:
                flags = ("0", "1") if entry.compare else ("1",)
                return tuple(self._dispatch(found, flag) for flag in flags)
            case NextStep.COMPARE:
                words = [*self._verb("parity"), found.config]
            case NextStep.INSPECT:
                words = [*self._verb("history"), "--config", found.config, *self._where()]
            case NextStep.WAIT:
                words = [*self._own(self.rollout), "--plan"]
        return (quote_all(words),)

    def _own(self, rollout: str | None) -> list[str]:
        file = ["--rollout", rollout] if rollout else []
        return [*self.program, *file, *self._where()]

    def _where(self) -> list[str]:
        return ["--records", self.records] if self.records else []

    def _change(self, *change: str) -> tuple[str, ...]:
        """Return the commands that change the file: the user's own, or a copy of the bundled one.

        A copy that exists may have the state of a rollout, so it is looked at first.
        """
        if self.rollout:
            return (quote_all([*self._own(self.rollout), *change]),)
        copy = Path(_COPY).absolute()
        if copy.exists():
            return (quote_all(self._own(str(copy))),)
        bundled = str(resources.files("ci_sessions.resources") / "rollout.toml")
        return (
            quote_all(["cp", bundled, str(copy)]),
            quote_all([*self._own(str(copy)), *change]),
        )

    def _verb(self, verb: str) -> list[str]:
        return [verb if word == "rollout" else word for word in self.program]

    def _dispatch(self, found: Evidence, flag: str) -> str:
        """Return the command that runs a job of the configuration with a flag, and can pair it."""
        values = {
            USE_PYTHON_TEST_RUNNER.name: flag,
            TEST_CONFIG.name: found.config,
            **_job_of(found),
        }
        variables = quote_all(f"{name}={value}" for name, value in values.items())
        program = [word for word in self._verb("dispatch") if word != "--"]
        program += _checkout_option(self.program)
        commit = "" if flag == "shadow" else f' {SHA1.name}="$(git rev-parse HEAD)"'
        return f"env {variables}{commit} {quote_all(program)}"


def _checkout_option(program: tuple[str, ...]) -> list[str]:
    """Return ``--checkout`` with the sample outside of a checkout, where dispatch requires one."""
    try:
        find_checkout(None, sample=False)
    except CheckoutError:
        words = ["--checkout", str(sample_checkout())]
        return ["--", *words] if "--" in program else words
    return []


def _job_of(found: Evidence) -> dict[str, str]:
    """Return the variables of the configuration's newest job in the records, if there is one."""
    newest = (found.python.newest_with_build, found.shell.newest_with_build)
    known = [run for run in newest if run is not None]
    run = max(known, key=lambda run: run.started, default=None)
    if run is None:
        return {}
    shard, _, total = run.shard.partition("/")
    split = {SHARD_NUMBER.name: shard, NUM_TEST_SHARDS.name: total} if total else {}
    return {BUILD_ENVIRONMENT.name: run.build, **split}
