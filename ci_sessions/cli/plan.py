"""``plan``: show what a job would run, as text, JSON or a script; or plan many jobs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.cli.options import JobGroup, OptionParser, SelectionGroup, parse_options
from ci_sessions.cli.prepare import PreparedJob, local_label, prepare_job
from ci_sessions.errors import CiSessionsError, InputError
from ci_sessions.job.job_json import job_from_json
from ci_sessions.plan.plan_json import plan_to_json
from ci_sessions.plan.recorded import trace_line
from ci_sessions.report.plan import describe_plan, plan_script
from ci_sessions.run.machine import count_devices
from ci_sessions.text import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci_sessions.cli.options import Context

__all__ = ["PlanOptions", "main", "plan_jobs", "show_plan"]


@dataclass(frozen=True, kw_only=True)
class PlanOptions(SelectionGroup, JobGroup):
    """The options of ``plan``."""

    json: bool = False
    shell: bool = False
    jobs: str | None = None

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options for the output."""
        add = parser.add_argument_group("output").add_argument
        add("--json", action="store_true", help="print JSON")
        add("--shell", action="store_true", help="print a bash script")
        add("--jobs", metavar="FILE", help="plan each job in a JSON Lines file (- is stdin)")


def main(argv: Sequence[str], context: Context) -> int:
    """Print a plan, or a line for each job of a file."""
    options = parse_options(PlanOptions, argv, context)
    if options.jobs is not None:
        return _plan_file(options.jobs, context.out)
    job = options.job_options(keep_going=options.keep_going, default_label=local_label())
    prepared = prepare_job(job, options.checkout, options, context.environment, with_added=True)
    return show_plan(prepared, context.out, as_json=options.json, as_script=options.shell)


def show_plan(prepared: PreparedJob, out: TextIO, *, as_json: bool, as_script: bool) -> int:
    """Print what would run. The only process that this starts is one to locate torch."""
    plan, checkout, machine = prepared.plan, prepared.checkout, prepared.machine
    redact = Redactor(prepared.environment.variables)
    if as_json:
        data = {**plan_to_json(plan.filled(machine.resolve)), "checkout": str(prepared.root)}
        print(json.dumps(redact.fields(data), indent=1), file=out)
        return 0
    pinned = plan.filled(machine.resolve_pin)

    def place(name: str) -> str:
        return machine.random if name == "RANDOM_NAME" else machine.place(name)

    if as_script:
        text = plan_script(pinned, checkout, place)
    else:
        text = describe_plan(pinned, checkout, count_devices(plan.needs), place)
    print(redact(text), file=out)
    return 0


def _plan_file(name: str, out: TextIO) -> int:
    if name == "-":
        return plan_jobs(sys.stdin, out)
    try:
        with Path(name).open(encoding="utf-8") as lines:
            return plan_jobs(lines, out)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--jobs is {name!r}, which cannot be read: {error}.") from error


def plan_jobs(lines: Iterable[str], out: TextIO) -> int:
    """Print the plans of the jobs in a JSON Lines file as on the recorded machine, one per line.

    For a job that cannot be planned the line has ``job`` and ``error``, and the exit code is 2.
    """
    code = 0
    for job, plan in _plan_each(lines):
        if isinstance(plan, str):
            code = 2
            print(json.dumps({"job": job, "error": plan}), file=out)
        else:
            print(json.dumps(plan), file=out)
    return code


def _plan_each(lines: Iterable[str]) -> Iterator[tuple[Any, dict[str, object] | str]]:
    for line in lines:
        if not line.strip():
            continue
        job: Any = line.strip()
        try:
            job = json.loads(line)
            plan = plan_job(job_from_json(job, config_facts), RECORDED)
            yield job, trace_line(plan, job)
        except ValueError as error:
            yield job, f"the line is not JSON: {error}"
        except CiSessionsError as error:
            yield job, str(error)
