"""``parity``: trace the checkout's own script for each job, and compare it with the plans.

``--since REV`` compares two versions of the script instead. ``compare_one`` is for shadow runs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_sessions import clock
from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts
from ci_sessions.checkout.checkout import Checkout, read_checkout
from ci_sessions.checkout.locate import find_checkout
from ci_sessions.cli.options import JobGroup, OptionParser, integer, parse_options
from ci_sessions.cli.parity_jobs import earlier_jobs, other_script, root_of, select_jobs
from ci_sessions.errors import CiSessionsError, InputError
from ci_sessions.job.job_json import describe_job_json, job_from_json, job_to_json, job_variables
from ci_sessions.job.variables import TEST_CONFIG
from ci_sessions.log import logger
from ci_sessions.parity.accepted import read_accepted
from ci_sessions.parity.answers import answers_for
from ci_sessions.parity.compare import plan_commands
from ci_sessions.parity.pool import Cache, trace_jobs
from ci_sessions.parity.profile import read_profile
from ci_sessions.parity.revision import files_at
from ci_sessions.parity.schedule import environment_pairs, pair_jobs
from ci_sessions.parity.staging import read_stage
from ci_sessions.parity.trace_line import trace_line
from ci_sessions.parity.verdict import (
    JobComparison,
    ParityResult,
    Side,
    check_accepted,
    combine,
    compare_job,
    compare_versions,
    with_inputs,
)
from ci_sessions.plan.plan import Plan
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.report.parity import describe_job, describe_parity, parity_markdown
from ci_sessions.report.parity_json import STRUCTURE, parity_to_json
from ci_sessions.text import for_json, for_log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.cli.options import Context
    from ci_sessions.cli.parity_jobs import Selection
    from ci_sessions.job.environment import Environment
    from ci_sessions.job.job import Job
    from ci_sessions.parity.profile import Profile
    from ci_sessions.parity.recording import Command, Recording
    from ci_sessions.parity.schedule import JobInEnvironments, StepEnvironment
    from ci_sessions.parity.staging import Stage
    from ci_sessions.plan.recorded import Answers

__all__ = ["compare_one", "main", "planned_commands"]

JobDict = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ParityOptions(JobGroup):
    """The options of ``parity``."""

    jobs: str | None = None
    workflow: str | None = None
    since: str | None = None
    accepted: str | None = None
    profile: str | None = None
    json: bool = False
    markdown: bool = False
    trace: bool = False
    show: int = 20
    cache: bool = True
    workers: int = 0

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options."""
        add = parser.add_argument_group("jobs").add_argument
        add("--jobs", metavar="FILE", help="the jobs in a JSON or JSON Lines file (- is stdin)")
        add("--workflow", metavar="NAME", help="the jobs of this workflow, such as pull.yml")
        add = parser.add_argument_group("comparison").add_argument
        add("--since", metavar="REV", help="compare the script with its version at a revision")
        add("--accepted", metavar="FILE", help="accepted differences (default: the bundled file)")
        add("--profile", metavar="FILE", help="machine profile (default: the bundled file)")
        add("--no-cache", dest="cache", action="store_false", help="trace every job again")
        help_text = "parallel traces (default: one per CPU)"
        add("--workers", type=integer(1, 1000), metavar="N", help=help_text)
        group = parser.add_argument_group("output")
        help_text = "show N distinct differences (default: 20)"
        group.add_argument("--show", type=integer(0), metavar="N", help=help_text)
        form = group.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print JSON")
        form.add_argument("--markdown", action="store_true", help="print Markdown, for GitHub")
        form.add_argument("--trace", action="store_true", help="print recordings as JSON Lines")

    def is_partial(self, environment: Environment) -> bool:
        """Return whether the options select only some of the checkout's jobs."""
        return bool(self.config or self.jobs or self.workflow or environment[TEST_CONFIG])


def main(argv: Sequence[str], context: Context) -> int:
    """Compare the plans with the script; return 1 if they differ."""
    options, start = parse_options(ParityOptions, argv, context), clock.monotonic()
    if options.trace and options.since is not None:
        raise InputError("--trace and --since cannot be combined: leave one of them out.")
    checkout = read_checkout(find_checkout(options.checkout), machine="x86_64")
    selection = select_jobs(options, context.environment, checkout)
    if not (selection.jobs or selection.faults):
        raise InputError("no jobs selected: pass --jobs FILE, or a configuration.")
    parity = _ParityRun(
        options=options,
        checkout=checkout,
        selection=selection,
        is_partial=options.is_partial(context.environment),
        profile=read_profile(Path(options.profile) if options.profile else None),
        cache=_open_cache(options, context),
        start=start,
    )
    if options.trace:
        return parity.show_traces(context)
    result = parity.result() if options.since is None else parity.changes(options.since)
    if options.json:
        data = context.redact.fields(parity_to_json(result), STRUCTURE)
        print(for_json(data, indent=1), file=context.out)
    elif options.markdown:
        text = parity_markdown(result, options.show)
        print(context.redact(text), end="", file=context.out)
    else:
        text = describe_parity(result, options.show)
        print(for_log(context.redact(text)), file=context.out)
    return result.exit_code


def _open_cache(options: ParityOptions, context: Context) -> Cache:
    folder = context.environment.cache_folder() / "traces" if options.cache else None
    return Cache(folder, context.redact)


def planned_commands(
    jobs: Sequence[Mapping[str, Any]], checkout: Checkout, profile: Profile, cache: Cache
) -> list[tuple[Command, ...] | str]:
    """Return the commands of each job's plan, or why it has none."""
    plans = [_plan(job, checkout) for job in jobs]
    valid = [plan for plan in plans if isinstance(plan, Plan)]
    answers = answers_for(valid, root_of(checkout), checkout.scripts, profile, cache)
    return [plan if isinstance(plan, str) else _commands(plan, answers) for plan in plans]


def _plan(job: Mapping[str, Any], checkout: Checkout) -> Plan | str:
    try:
        return plan_job(job_from_json(job, config_facts), checkout)
    except CiSessionsError as error:
        return str(error)


def _commands(plan: Plan, answers: Answers) -> tuple[Command, ...] | str:
    try:
        return plan_commands(plan, answers)
    except CiSessionsError as error:
        return str(error)


@dataclass(frozen=True, kw_only=True, slots=True)
class _ParityRun:
    """A comparison: the options, and everything they refer to. ``start`` is monotonic time."""

    options: ParityOptions
    checkout: Checkout
    selection: Selection
    is_partial: bool
    profile: Profile
    cache: Cache
    start: float

    def stage(self, overlay: Mapping[str, bytes] | None = None) -> Stage:
        root = root_of(self.checkout)
        return read_stage(root, self.checkout.script, self.profile, overlay=overlay)

    def trace(
        self, jobs: Sequence[tuple[JobDict, StepEnvironment]], stage: Stage
    ) -> list[Recording]:
        """Trace each job in an environment."""
        found = trace_jobs(
            [{**given.variables, **job_variables(job)} for job, given in jobs],
            stage,
            self.profile,
            cache=self.cache,
            workers=self.options.workers,
            unknown=[given.unknown for _, given in jobs],
        )
        return list(found)

    def split(
        self, jobs: Sequence[JobInEnvironments]
    ) -> tuple[list[JobInEnvironments], list[JobComparison]]:
        """Separate the jobs that test.sh runs from those that CI runs with another script."""
        others = {id(job): other_script(job.data, self.checkout) for job in jobs}
        own = [job for job in jobs if others[id(job)] is None]
        return own, [other for other in others.values() if other is not None]

    def result(self) -> ParityResult:
        """Compare each job's plan with the script."""
        path = self.options.accepted
        accepted = read_accepted(Path(path) if path else None)
        own, others = self.split(self.selection.jobs)
        runs = [(job.data, given) for job in own for given in job.environments]
        recordings = iter(self.trace(runs, self.stage()))
        planned = planned_commands(
            [job.data for job in own], self.checkout, self.profile, replace(self.cache)
        )
        jobs = []
        for job, plan in zip(own, planned, strict=True):
            traced = [next(recordings) for _ in job.environments]
            jobs.append(combine([compare_job(job.data, one, plan, accepted) for one in traced]))
        problems = check_accepted(
            accepted,
            jobs,
            today=clock.now().date(),
            version=self.checkout.version,
            # The bundled file is for all releases; the user's own file is for this checkout.
            is_whole=bool(path) and not self.is_partial,
        )
        return ParityResult(
            script=self.checkout.script,
            jobs=(*jobs, *others, *self.selection.faults),
            faults=problems,
            seconds=clock.monotonic() - self.start,
            cached=self.cache.hits,
        )

    def changes(self, revision: str) -> ParityResult:
        """Compare what the jobs ran at a revision with what they run now."""
        old = files_at(root_of(self.checkout), revision, self.checkout.scripts)
        earlier = earlier_jobs(self.selection, self.checkout, revision)
        jobs: list[JobComparison] = []
        runs = []  # the number of the result, the job and its environment before and now
        for change in pair_jobs(earlier.jobs, self.selection.jobs):
            if change.now is None:
                gone = change.before.data if change.before else {}
                jobs.append(JobComparison(job=gone, verdict=JobVerdict.GONE))
            elif change.before is None:
                jobs.append(JobComparison(job=change.now.data, verdict=JobVerdict.NEW))
            elif other := other_script(change.now.data, self.checkout):
                jobs.append(with_inputs(other, change.inputs))
            else:
                was, now = change.before.data, change.now.data
                runs += [
                    (change, (was, left), (now, right))
                    for left, right in environment_pairs(change.before, change.now)
                ]
        stages = self.stage(old), self.stage()
        is_same_script = stages[0].digest == stages[1].digest
        before = self.trace([was for _, was, _ in runs], stages[0])
        after = self.trace([now for _, _, now in runs], stages[1])
        found: dict[int, list[JobComparison]] = defaultdict(list)
        for (change, _, (now, _)), first, last in zip(runs, before, after, strict=True):
            is_same_input = is_same_script and not change.inputs
            result = compare_versions(now, first, last, is_same_input=is_same_input)
            found[id(change)].append(with_inputs(result, change.inputs))
        jobs = [*map(combine, found.values()), *jobs]
        return ParityResult(
            script=f"{self.checkout.script} since {revision}",
            jobs=(*jobs, *self.selection.faults),
            other=Side.EARLIER,
            seconds=clock.monotonic() - self.start,
            cached=self.cache.hits,
        )

    def show_traces(self, context: Context) -> int:
        """Print each job's recording as a line of JSON, in the format of the recorded traces."""
        own, _ = self.split(self.selection.jobs)
        runs = [(job.data, given) for job in own for given in job.environments]
        code = int(bool(self.selection.faults))
        for (job, _), recording in zip(runs, self.trace(runs, self.stage()), strict=True):
            if recording.fault:
                code = 1
                name = describe_job_json(job)
                logger.warning("could not be traced: %s: %s", name, recording.fault.text)
            line = context.redact.fields(trace_line(recording, job))
            print(for_json(line), file=context.out)
        return code


def compare_one(job: Job, checkout: Checkout) -> tuple[JobVerdict, str]:
    """Compare one job's plan with the script, for a shadow run; return the first difference too."""
    data = job_to_json(job)
    profile = read_profile()
    stage = read_stage(root_of(checkout), checkout.script, profile)
    (recording,) = trace_jobs([job_variables(data)], stage, profile, workers=1)
    (plan,) = planned_commands([data], checkout, profile, Cache(None))
    found = compare_job(data, recording, plan, read_accepted())
    return found.verdict, describe_job(found) if found.verdict.is_failure else ""
