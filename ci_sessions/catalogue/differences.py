"""Where a plan departs from the script on purpose, because the script goes green wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.catalogue.match import Match, build_has, config_has
from ci_sessions.catalogue.model_benchmarks import dashboard_cells
from ci_sessions.catalogue.suites import benchmark, python
from ci_sessions.catalogue.table import config_fault, find_row, is_known, one_shard_row
from ci_sessions.errors import InputError, UndividedError, UnknownConfigError
from ci_sessions.job.variables import DASHBOARD_TAG, NUM_TEST_SHARDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_sessions.job.job import Job

__all__ = ["DIFFERENCES", "Difference", "departures_of"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One departure. ``refusal`` makes the error where the plan refuses; else it is a notice."""

    code: str
    applies: Callable[[Job], bool]
    reason: str
    refusal: Callable[[Job, str], InputError] | None = None

    @property
    def notice(self) -> str:
        """The sentence that a reader of the plan must see."""
        return f"{self.code}: {self.reason}"


def _unknown(job: Job, reason: str) -> InputError:
    return UnknownConfigError(config_fault(job.config) or reason)


def _undivided(job: Job, reason: str) -> InputError:
    return UndividedError(
        f"{NUM_TEST_SHARDS.name} is {job.shard.total}, but {job.config} cannot be divided: "
        f"{reason}. Give it 1 shard."
    )


def _is_sharded_away(job: Job) -> bool:
    return job.shard.is_split and one_shard_row(job) is not None and find_row(job).sharded


def _is_idle_dashboard(job: Job) -> bool:
    """Tell whether a benchmark for the dashboard was asked for nothing at all."""
    suites = {benchmark.huggingface, benchmark.timm, benchmark.torchbench}
    is_suite = not suites.isdisjoint(find_row(job).parts)
    other = any(job.has(word) for word in ("perf_compare", "smoketest", "unbacked_parity"))
    return job.has("perf") and is_suite and not other and not dashboard_cells(job)


def _both(*matches: Match) -> Callable[[Job], bool]:
    return lambda job: all(match.accepts(job) for match in matches)


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "unknown-config",
        lambda job: not is_known(job),
        "test.sh runs its whole default suite for a configuration that it does not know",
        _unknown,
    ),
    Difference(
        "sharded-away",
        _is_sharded_away,
        "test.sh tests this name below its shard branches, so that a job of several shards "
        "silently runs the default suite instead",
        _undivided,
    ),
    Difference(
        "libtorch-no-op",
        lambda job: build_has("libtorch").accepts(job) and python.nothing in find_row(job).parts,
        "test.sh runs no test for a libtorch build and goes green",
    ),
    Difference(
        "dashboard-no-op",
        _is_idle_dashboard,
        f"test.sh runs no benchmark for a dashboard job whose {DASHBOARD_TAG.name} asks for no "
        "mode or no row of the dashboard, and goes green",
    ),
    Difference(
        "operator-benchmark-no-op",
        _both(config_has("operator_benchmark"), ~config_has("cpu")),
        "test.sh runs operator benchmarks on the CPU only, and goes green without one elsewhere",
    ),
)


def departures_of(job: Job) -> list[Difference]:
    """Return the departures of a job. Raises InputError for one that the plan refuses."""
    found = [item for item in DIFFERENCES if item.applies(job)]
    for item in found:
        if item.refusal is not None:
            raise item.refusal(job, item.reason)
    return found
