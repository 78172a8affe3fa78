"""``plan``: show what a job would run, as text, JSON or a script; or plan many jobs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ci_sessions.catalogue.missing import missing_from, other_device
from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.cli.options import (
    JobGroup,
    MinutesGroup,
    OptionParser,
    SelectionGroup,
    parse_options,
)
from ci_sessions.cli.prepare import PreparedJob, local_label, prepare_job, read_job_file
from ci_sessions.errors import CiSessionsError, InputError
from ci_sessions.report.plan import describe_plan, plan_script
from ci_sessions.run.machine import count_devices
from ci_sessions.text import for_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ci_sessions.cli.options import Context
    from ci_sessions.cli.stdout import Stdout
    from ci_sessions.inventory.estimate import Estimate

__all__ = ["PlanOptions", "estimate", "main", "plan_jobs", "show_plan"]


@dataclass(frozen=True, kw_only=True)
class PlanOptions(MinutesGroup, SelectionGroup, JobGroup):
    """The options of ``plan``."""

    json: bool = False
    shell: bool = False
    jobs: str | None = None

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options for the output."""
        group = parser.add_argument_group("output")
        form = group.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print JSON")
        form.add_argument("--shell", action="store_true", help="print a bash script")
        group.add_argument(
            "--jobs",
            metavar="FILE",
            help="plan each job in a file: JSON Lines, a list, or a matrix (- is stdin)",
        )


def main(argv: Sequence[str], context: Context) -> int:
    """Print a plan, or a line for each job of a file."""
    options = parse_options(PlanOptions, argv, context)
    if options.jobs is not None:
        _check_only_jobs(options)
        return plan_jobs(read_job_file(options.jobs), context.out)
    job = options.job_options(keep_going=options.keep_going, default_label=local_label())
    prepared = prepare_job(job, options.checkout, options, context.environment, with_added=True)
    return show_plan(
        prepared,
        context,
        as_json=options.json,
        as_script=options.shell,
        minutes=estimate(prepared, options),
    )


def show_plan(  # noqa: PLR0913 - all are options of the caller
    prepared: PreparedJob,
    context: Context,
    *,
    as_json: bool = False,
    as_script: bool = False,
    minutes: Estimate | None = None,
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Print what would run, what of it the checkout lacks, and how long it takes, if that is known.

    The only process that this starts is one to locate torch. ``extra`` is added to the JSON.
    """
    checkout, machine = prepared.checkout, prepared.machine
    doubts = (*other_device(prepared.plan), *missing_from(prepared.plan, prepared.root))
    plan = dataclasses.replace(prepared.plan, notices=(*prepared.plan.notices, *doubts))
    redact, out = context.redact, context.out
    if as_json:
        from ci_sessions.plan.plan_json import STRUCTURE, plan_to_json  # noqa: PLC0415 - only here

        estimated = {"minutes": minutes.to_dict()} if minutes else {}
        data = {**extra, **estimated, **plan_to_json(plan.filled(machine.resolve))}
        data["checkout"] = str(prepared.root)
        print(for_json(redact.fields(data, STRUCTURE), indent=1), file=out)
        return 0
    pinned = plan.filled(machine.resolve_pin)

    def place(name: str) -> str:
        return machine.random if name == "RANDOM_NAME" else machine.place(name)

    if as_script:
        text = plan_script(pinned, checkout, place)
    else:
        text = describe_plan(pinned, checkout, count_devices(plan.needs), place)
        text += f"\n{minutes.describe()}" if minutes else ""
    print(redact(text), file=out)
    return 0


def estimate(prepared: PreparedJob, options: MinutesGroup) -> Estimate | None:
    """Return how long a job takes if the options ask for it, since that runs run_test.py."""
    if not options.minutes:
        return None
    from ci_sessions.cli.minutes import minutes_of  # noqa: PLC0415 - only with --minutes

    return minutes_of(prepared, options.times)


def _check_only_jobs(options: PlanOptions) -> None:
    """Raise InputError for options that have no effect on the jobs of a file."""
    defaults = PlanOptions(jobs=options.jobs)
    for item in dataclasses.fields(options):
        if getattr(options, item.name) != getattr(defaults, item.name):
            name = (
                "a configuration" if item.name == "config" else f"--{item.name.replace('_', '-')}"
            )
            raise InputError(f"--jobs and {name} cannot be combined: leave one of them out.")


def plan_jobs(jobs: Iterable[Any], out: Stdout) -> int:
    """Print the plan of each job as on the recorded machine, as one line of JSON.

    For a job that cannot be planned the line has ``job`` and ``error``, and the exit code is 2.
    """
    from ci_sessions.job.job_json import job_from_json  # noqa: PLC0415 - not to plan a single job
    from ci_sessions.plan.recorded import trace_line  # noqa: PLC0415 - as above

    code = 0
    for job in jobs:
        try:
            if isinstance(job, InputError):
                raise job
            data = trace_line(plan_job(job_from_json(job, config_facts), RECORDED), job)
        except CiSessionsError as error:
            shown = None if isinstance(job, InputError) else job
            code, data = 2, {"job": shown, "error": str(error)}
        out.write(f"{for_json(data)}\n")
    return code
