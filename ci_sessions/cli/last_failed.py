"""``--last-failed``: read from the records which step and cases failed last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ci_sessions.errors import InputError, RecordError
from ci_sessions.job.variables import TEST_CONFIG
from ci_sessions.records.route import Runner
from ci_sessions.records.store import read_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_sessions.cli.run import RepeatOptions
    from ci_sessions.job.environment import Environment
    from ci_sessions.records.record import RunRecord

__all__ = ["select_last_failed"]


def select_last_failed(
    options: RepeatOptions, folder: Path, environment: Environment
) -> RepeatOptions:
    """Return options for the first failed step of the newest run, with its failed cases.

    The run is the newest one that matches the configuration, label and shard, as far as these are
    given. Raises InputError if there is none, if it passed, or if the step is selected otherwise.
    """
    if options.test or options.is_one_step:
        raise InputError("--last-failed selects the test and the step: leave the others out.")
    config = options.config or environment[TEST_CONFIG] or None
    run = next((run for run in _newest_runs(folder) if _matches(run, options, config)), None)
    name = config or "any configuration"
    if run is None:
        raise InputError(f"--last-failed: {folder} has no record of a run of {name}.")
    if not run.failed_steps:
        raise InputError(
            f"--last-failed: no step failed in the newest run of {name}, of {run.started}."
        )
    step, job = run.failed_steps[0], run.job
    cases = step.cases.failed if step.cases else ()
    shard = f"{job['shard']}/{job['num_shards']}" if job["num_shards"] > 1 else None
    return replace(
        options,
        config=job["config"],
        build_environment=job["build_environment"],
        shard=shard,
        test=(step.test,),
        step=step.number,
        file=tuple(dict.fromkeys(case.test_file for case in cases if case.test_file)),
        case=tuple(dict.fromkeys(case.name for case in cases)),
    )


def _newest_runs(folder: Path) -> Iterator[RunRecord]:
    """Yield the runs in a folder, newest first. A record that cannot be read is left out."""
    paths = [(_last_written(path), path) for path in (folder / "runs").glob("*.jsonl")]
    for _, path in sorted(paths, reverse=True):
        try:
            run = read_run(path)
        except RecordError:
            continue
        if run.runner is Runner.PYTHON:
            yield run


def _last_written(path: Path) -> int:
    """Return when a file was last written (ns)."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


def _matches(run: RunRecord, options: RepeatOptions, config: str | None) -> bool:
    job = run.job
    shard = f"{job.get('shard')}/{job.get('num_shards')}"
    return (
        config in (None, job.get("config"))
        and options.build_environment in (None, job.get("build_environment"))
        and options.shard in (None, shard)
    )
