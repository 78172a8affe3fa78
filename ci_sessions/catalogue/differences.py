"""Deliberate differences from test.sh, where the script would pass without testing anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.catalogue.match import Match, build_has, config_has
from ci_sessions.catalogue.model_benchmarks import dashboard_cells
from ci_sessions.catalogue.suites import benchmark, python
from ci_sessions.catalogue.table import config_problem, find_row, is_known, one_shard_row
from ci_sessions.errors import InputError, NotShardedError, UnknownConfigError
from ci_sessions.job.variables import DASHBOARD_TAG, NUM_TEST_SHARDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_sessions.job.job import Job

__all__ = ["DIFFERENCES", "Difference", "differences_for"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. With ``make_error``, such a job is an error; without, it gets a notice."""

    code: str
    applies: Callable[[Job], bool]
    reason: str
    make_error: Callable[[Job, str], InputError] | None = None

    @property
    def notice(self) -> str:
        """The sentence shown with the plan."""
        return f"{self.code}: {self.reason}"


def _unknown_config(job: Job, reason: str) -> InputError:
    return UnknownConfigError(config_problem(job.config) or reason)


def _not_shardable(job: Job, reason: str) -> InputError:
    return NotShardedError(
        f"{NUM_TEST_SHARDS.name} is {job.shard.total}, but {job.config} cannot be sharded: "
        f"{reason}. Use 1 shard."
    )


def _falls_through_to_shard_rows(job: Job) -> bool:
    return job.shard.is_split and one_shard_row(job) is not None and find_row(job).sharded


def _is_idle_dashboard(job: Job) -> bool:
    """Return whether DASHBOARD_TAG selects nothing for a dashboard benchmark."""
    suites = {benchmark.huggingface, benchmark.timm, benchmark.torchbench}
    is_suite = not suites.isdisjoint(find_row(job).parts)
    is_other = any(job.has(name) for name in ("perf_compare", "smoketest", "unbacked_parity"))
    return job.has("perf") and is_suite and not is_other and not dashboard_cells(job[DASHBOARD_TAG])


def _matches_all(*matches: Match) -> Callable[[Job], bool]:
    return lambda job: all(match.accepts(job) for match in matches)


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "unknown-config",
        lambda job: not is_known(job),
        "test.sh runs its whole default suite for a configuration that it does not know",
        _unknown_config,
    ),
    Difference(
        "sharded-away",
        _falls_through_to_shard_rows,
        "test.sh checks this name after its shard branches, so a job with several shards "
        "silently runs the default suite instead",
        _not_shardable,
    ),
    Difference(
        "libtorch-no-op",
        lambda job: build_has("libtorch").accepts(job) and python.no_tests in find_row(job).parts,
        "test.sh runs no tests for a libtorch build and passes",
    ),
    Difference(
        "dashboard-no-op",
        _is_idle_dashboard,
        f"test.sh runs no benchmark for a dashboard job whose {DASHBOARD_TAG.name} selects no "
        "mode or no row of the dashboard, and passes",
    ),
    Difference(
        "operator-benchmark-no-op",
        _matches_all(config_has("operator_benchmark"), ~config_has("cpu")),
        "test.sh runs operator benchmarks on the CPU only, and passes elsewhere without any",
    ),
)


def differences_for(job: Job) -> list[Difference]:
    """Return the differences that apply to a job. Raises InputError if one of them is an error."""
    found = [item for item in DIFFERENCES if item.applies(job)]
    for item in found:
        if item.make_error is not None:
            raise item.make_error(job, item.reason)
    return found
