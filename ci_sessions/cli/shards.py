"""``shards``: how long each shard of a configuration takes, and how many shards it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ci_sessions.cli.inventories import InventoryGroup, take_survey, write_result
from ci_sessions.cli.options import OptionParser, integer, parse_options
from ci_sessions.errors import InputError
from ci_sessions.inventory.recorded import RecordedTimes
from ci_sessions.inventory.shards import MOST_SHARDS, divide, shards_needed
from ci_sessions.records.folder import records_folder
from ci_sessions.records.store import read_runs
from ci_sessions.report.shards import (
    ShardPlan,
    describe_overview,
    describe_plan,
    matrix_lines,
    plan_to_json,
)
from ci_sessions.text import count, for_json, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Context
    from ci_sessions.inventory.jobs import JobInventory
    from ci_sessions.inventory.shards import Division
    from ci_sessions.inventory.survey import Survey

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class ShardsOptions(InventoryGroup):
    """The options of ``shards``."""

    config: str | None = None
    build_environment: str | None = None
    shards: int | None = None
    target_minutes: int | None = None
    all: bool = False
    matrix: bool = False
    svg: str | None = None
    write_times: str | None = None

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options."""
        add = parser.add_argument
        add("config", nargs="?", help="the configuration")
        add("--build-environment", metavar="LABEL", help="build label, if several are scheduled")
        add("--all", action="store_true", help="every scheduled configuration that has shards")
        add("--shards", type=integer(1, MOST_SHARDS), metavar="N", help="divide into N shards")
        add(
            "--target-minutes",
            type=integer(1, 10_000),
            metavar="N",
            help="find the number of shards with which none takes longer",
        )
        add("--matrix", action="store_true", help="print the lines of the workflow's test matrix")
        add("--svg", metavar="FILE", help="write a plot for a pull request")
        add(
            "--write-times",
            metavar="FILE",
            help="write a timing file with the times in test/test-reports, those of runs of this "
            "configuration",
        )


def main(argv: Sequence[str], context: Context) -> int:
    """Print the shards."""
    options = parse_options(ShardsOptions, argv, context)
    if (options.config is None) != options.all:
        raise InputError("name a configuration, such as default, or use --all.")
    if options.write_times is not None and (options.all or options.build_environment is None):
        raise InputError("--write-times is for one configuration: add --build-environment.")
    with take_survey(options) as survey:
        if options.write_times is not None:
            return _write_times(options, survey, context)
        times = RecordedTimes(read_runs(records_folder(options.records, survey.root)))
        plans = [_plan(jobs, survey, options, times) for jobs in _families(survey, options)]
    if options.all:
        plans = [plan for plan in plans if plan.today.is_known or not options.times]
    if options.svg is not None:
        from ci_sessions.report.shards_plot import draw  # noqa: PLC0415 - only for a plot

        write_result("--svg", options.svg, draw(plans))
    if options.json:
        data = [context.redact.fields(plan_to_json(plan)) for plan in plans]
        print(for_json(data if options.all else data[0], indent=1), file=context.out)
    elif options.matrix:
        print("\n".join(line for plan in plans for line in matrix_lines(plan)), file=context.out)
    elif options.all:
        print(context.redact(describe_overview(plans)), file=context.out)
    else:
        print(context.redact(describe_plan(plans[0])), file=context.out)
    return 0


def _write_times(options: ShardsOptions, survey: Survey, context: Context) -> int:
    """Write the times in the checkout's reports to a timing file."""
    from ci_sessions.inventory.measured import (  # noqa: PLC0415 - only here
        measured_seconds,
        merge_times,
    )

    seconds = measured_seconds(survey.root)
    if not seconds:
        raise InputError("test/test-reports has no report with times: run the configuration first.")
    build, config = str(options.build_environment), str(options.config)
    text = merge_times(survey.tree.times, build, config, seconds)
    write_result("--write-times", str(options.write_times), text)
    total = sum(seconds.values()) / 60
    what = f"the times of {count(len(seconds), 'test file')}, {total:.1f} minutes"
    print(f"wrote {what}, to {shown(options.write_times)}", file=context.out)
    return 0


def _families(survey: Survey, options: ShardsOptions) -> list[list[JobInventory]]:
    """Return the jobs of each configuration on each build that is asked for."""
    found: dict[tuple[object, ...], dict[int, JobInventory]] = {}
    for job in survey.jobs:
        is_wanted = options.all or job.config == options.config
        if is_wanted and options.build_environment in (None, job.build_environment):
            env = tuple(sorted(job.env.items()))
            key = (job.config, job.build_environment, job.num_shards, job.runner, env)
            found.setdefault(key, {}).setdefault(job.shard, job)
    families = [[jobs[number] for number in sorted(jobs)] for jobs in found.values()]
    if options.all:
        return [jobs for jobs in families if any(step.is_main for j in jobs for step in j.steps)]
    builds = list(dict.fromkeys(jobs[0].build_environment for jobs in families))
    if len(builds) > 1:
        raise InputError(
            f"{shown(options.config)} is scheduled on several builds: add --build-environment "
            f"with one of {', '.join(builds)}, or use --all."
        )
    return families[:1] or [_unscheduled(survey, options)]


def _describe_unscheduled(survey: Survey, options: ShardsOptions) -> str:
    """Return why there is nothing to show, and what to add."""
    config, build = shown(options.config), options.build_environment
    builds = dict.fromkeys(j.build_environment for j in survey.jobs if j.config == options.config)
    known = f", or choose from {', '.join(builds)}" if builds else ""
    if build is None:
        return f"{config} is not scheduled: add --build-environment and --shards, to see it split."
    return f"{config} is not scheduled on {shown(build)}: add --shards, to see it split{known}."


def _unscheduled(survey: Survey, options: ShardsOptions) -> list[JobInventory]:
    """Return the inventory of a configuration that no workflow schedules on the build."""
    if options.build_environment is None or options.shards is None:
        raise InputError(_describe_unscheduled(survey, options))
    job = {"config": options.config, "build_environment": options.build_environment}
    numbers = range(1, options.shards + 1)
    found = survey.take([{**job, "shard": n, "num_shards": options.shards} for n in numbers])
    if found[0].problem is not None:
        raise InputError(found[0].problem)
    return found


def _plan(
    jobs: list[JobInventory], survey: Survey, options: ShardsOptions, times: RecordedTimes
) -> ShardPlan:
    step_minutes = times.minutes

    def with_shards(total: int) -> Division:
        if total == jobs[0].num_shards == len(jobs):
            return divide(jobs, step_minutes)
        numbers = range(1, total + 1)
        return divide(survey.take([_job(jobs[0], n, total) for n in numbers]), step_minutes)

    today = with_shards(jobs[0].num_shards)
    chosen = today if options.shards is None else with_shards(options.shards)
    plan = ShardPlan(today=today, chosen=chosen, runner=jobs[0].runner)
    target = options.target_minutes
    if target is None or not today.is_known or not today.main_minutes:
        return plan
    return replace(
        plan,
        target=target,
        needed=shards_needed(target, today, with_shards, lambda one: one.longest),
        needed_if_placed=shards_needed(
            target, today, with_shards, lambda one: one.longest_if_placed
        ),
    )


def _job(job: JobInventory, number: int, total: int) -> dict[str, Any]:
    return {
        "config": job.config,
        "build_environment": job.build_environment,
        "shard": number,
        "num_shards": total,
        "runner": job.runner,
        "env": dict(job.env),
    }
