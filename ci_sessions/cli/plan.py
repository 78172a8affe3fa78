"""``plan``: show what a job would run, as text, JSON or a script; or plan many jobs at once."""

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
from ci_sessions.cli.prepare import Prepared, local_label, prepare
from ci_sessions.errors import CiSessionsError, InputError
from ci_sessions.job.job_json import job_from_json
from ci_sessions.plan.plan_json import plan_to_json
from ci_sessions.plan.recorded import trace_line
from ci_sessions.report.plan import describe_plan, plan_script
from ci_sessions.run.machine import count_devices
from ci_sessions.text import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci_sessions.cli.options import Call

__all__ = ["PlanOptions", "main", "plan_lines", "show_plan"]


@dataclass(frozen=True, kw_only=True)
class PlanOptions(SelectionGroup, JobGroup):
    """The options of ``plan``."""

    json: bool = False
    shell: bool = False
    jobs: str | None = None

    @classmethod
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add the forms of the answer."""
        add = parser.add_argument_group("the answer").add_argument
        add("--json", action="store_true", help="print JSON")
        add("--shell", action="store_true", help="print a bash script")
        add("--jobs", metavar="FILE", help="plan each job of a JSON Lines file (- is stdin)")


def main(words: Sequence[str], call: Call) -> int:
    """Run the verb."""
    options = parse_options(PlanOptions, words, call)
    if options.jobs is not None:
        return _plan_file(options.jobs, call.out)
    job = options.job_options(keep_going=options.keep_going, default_label=local_label())
    prepared = prepare(job, options.checkout, options, call.environment, with_added=True)
    return show_plan(prepared, call.out, as_json=options.json, as_script=options.shell)


def show_plan(prepared: Prepared, out: TextIO, *, as_json: bool, as_script: bool) -> int:
    """Print what would run; start and install nothing but what finds torch."""
    plan, checkout, machine = prepared.plan, prepared.checkout, prepared.machine
    redact = Redactor(prepared.environment.texts)
    if as_json:
        data = {**plan_to_json(plan.filled(machine.known)), "checkout": str(prepared.root)}
        print(json.dumps(redact.values(data), indent=1), file=out)
        return 0
    pinned = plan.filled(machine.pinned)

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
        return plan_lines(sys.stdin, out)
    try:
        with Path(name).open(encoding="utf-8") as lines:
            return plan_lines(lines, out)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--jobs is {name!r}, which cannot be read: {error}.") from error


def plan_lines(lines: Iterable[str], out: TextIO) -> int:
    """Plan each job of a JSON Lines file as on the recording machine, a JSON line each.

    A job that cannot be planned gives a line with ``job`` and ``error``; the exit code is then 2.
    """
    code = 0
    for job, plan in _planned(lines):
        if isinstance(plan, str):
            code = 2
            print(json.dumps({"job": job, "error": plan}), file=out)
        else:
            print(json.dumps(plan), file=out)
    return code


def _planned(lines: Iterable[str]) -> Iterator[tuple[Any, dict[str, object] | str]]:
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
