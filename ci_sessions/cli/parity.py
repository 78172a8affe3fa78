"""``parity``: trace the checkout's own script for each job, and compare with the plans.

With ``--since REV``, compare two versions of the script instead. Also what ``shadow`` asks beside
the script's own run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ci_sessions import clock
from ci_sessions.catalogue.planner import plan_job
from ci_sessions.catalogue.table import config_facts, find_row, listed_configs
from ci_sessions.checkout.checkout import Checkout, read_checkout
from ci_sessions.checkout.locate import find_checkout
from ci_sessions.cli.options import JobGroup, OptionParser, parse_options
from ci_sessions.cli.prepare import local_label, read_named_job
from ci_sessions.errors import CheckoutError, CiSessionsError, InputError
from ci_sessions.gate.gate import Flag, choose
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.github.workflows import read_workflows
from ci_sessions.job.job_json import (
    job_from_json,
    job_to_json,
    job_variables,
    merge_lines,
    read_job_lines,
)
from ci_sessions.job.variables import TEST_CONFIG
from ci_sessions.log import logger
from ci_sessions.parity.accepted import read_accepted
from ci_sessions.parity.compare import plan_commands
from ci_sessions.parity.pool import Cache, trace_jobs
from ci_sessions.parity.profile import read_profile
from ci_sessions.parity.recording import trace_line
from ci_sessions.parity.revision import files_at
from ci_sessions.parity.staging import read_stage
from ci_sessions.parity.verdict import (
    JobComparison,
    ParityResult,
    Side,
    check_accepted,
    compare_job,
    compare_versions,
)
from ci_sessions.records.route import Reason, Runner
from ci_sessions.records.verdict import JobVerdict
from ci_sessions.report.parity import (
    describe_job,
    describe_parity,
    parity_markdown,
    parity_to_json,
)
from ci_sessions.run.signals import Interrupted, raising_on_signals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.cli.options import Call
    from ci_sessions.job.environment import Environment
    from ci_sessions.job.job import Job
    from ci_sessions.parity.profile import Profile
    from ci_sessions.parity.recording import Command, Recording
    from ci_sessions.parity.staging import Stage
    from ci_sessions.plan.recorded import Answers
    from ci_sessions.records.route import Route

__all__ = ["compare_one", "main", "planned_commands"]

Line = dict[str, Any]


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
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add the options."""
        add = parser.add_argument_group("which jobs").add_argument
        add("--jobs", metavar="FILE", help="the jobs of a JSON or JSON Lines file (- is stdin)")
        add("--workflow", metavar="NAME", help="the jobs of this workflow, such as pull.yml")
        add = parser.add_argument_group("the comparison").add_argument
        add("--since", metavar="REV", help="compare the script with itself at a git revision")
        add("--accepted", metavar="FILE", help="the accepted differences (else those shipped)")
        add("--profile", metavar="FILE", help="the machine that the script believes to run on")
        add("--no-cache", dest="cache", action="store_false", help="trace again what was traced")
        add("--workers", type=int, metavar="N", help="traces at once (else one a processor)")
        add = parser.add_argument_group("the answer").add_argument
        add("--json", action="store_true", help="print JSON")
        add("--markdown", action="store_true", help="print Markdown, for a pull request")
        add("--trace", action="store_true", help="print the recordings, a JSON line each")
        add("--show", type=int, metavar="N", help="distinct differences that are shown (20)")

    def is_part(self, environment: Environment) -> bool:
        """Tell whether fewer than all jobs of the checkout were asked for."""
        return bool(self.config or self.jobs or self.workflow or environment[TEST_CONFIG])


def main(words: Sequence[str], call: Call) -> int:
    """Prove plans and script equal, or say where they are not; return 1 where they are not.

    A signal ends the tracing and removes what it made, and the exit code is the shell's for it.
    """
    options = parse_options(ParityOptions, words, call)
    try:
        with raising_on_signals():
            return _compare(options, call)
    except Interrupted as stop:
        return stop.exit_code


def _compare(options: ParityOptions, call: Call) -> int:
    began = clock.seconds()
    checkout = read_checkout(find_checkout(options.checkout, Path.cwd()), machine="x86_64")
    lines = _jobs(options, call.environment, checkout)
    if not lines:
        raise InputError("no jobs selected: name some with --jobs, or a configuration.")
    asked = _Asked(
        options=options,
        checkout=checkout,
        lines=lines,
        is_part=options.is_part(call.environment),
        profile=read_profile(Path(options.profile) if options.profile else None),
        cache=Cache(call.environment.cache_folder() / "traces" if options.cache else None),
        began=began,
    )
    if options.trace:
        return asked.show_traces(call.out)
    result = asked.result() if options.since is None else asked.changes(options.since)
    if options.json:
        print(json.dumps(parity_to_json(result), indent=1), file=call.out)
    elif options.markdown:
        print(parity_markdown(result, options.show), end="", file=call.out)
    else:
        print(describe_parity(result, options.show), file=call.out)
    return result.exit_code


def _jobs(options: ParityOptions, environment: Environment, checkout: Checkout) -> list[Line]:
    """Return the jobs that were asked for: a file's, one, or all that the checkout schedules."""
    if options.jobs is not None:
        return merge_lines(_checked(read_job_lines(_read(options.jobs), f"--jobs {options.jobs}")))
    if options.config is not None or environment[TEST_CONFIG]:
        named = options.job_options(default_label=local_label())
        return [job_to_json(read_named_job(environment, named))]
    if checkout.is_sample:
        label = options.build_environment or "linux-jammy-py3.10-gcc11"
        return [
            {"build_environment": label, "config": config, "shard": 1, "num_shards": 1}
            for config in listed_configs()
        ]
    lines = read_workflows(_root(checkout), checkout.script)
    if options.workflow is not None:
        name = options.workflow.removesuffix(".yml") + ".yml"
        known = sorted({workflow for line in lines for workflow in line["workflows"]})
        lines = [line for line in lines if name in line["workflows"]]
        if not lines:
            raise InputError(
                f"--workflow is {options.workflow!r}, and no such workflow runs "
                f"{checkout.script}: one of {', '.join(known)}."
            )
    return lines


def _checked(lines: Sequence[Any]) -> list[Line]:
    for line in lines:
        job_variables(line)
    return list(lines)


def _read(name: str) -> str:
    try:
        return Path("/dev/stdin" if name == "-" else name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--jobs is {name!r}, which cannot be read: {error}.") from error


def _root(checkout: Checkout) -> Path:
    if checkout.root is None:  # pragma: no cover - only the recorded checkout has none
        raise CheckoutError("a recorded checkout has no script to trace.")
    return checkout.root


def _own(lines: Sequence[Line], checkout: Checkout) -> tuple[list[Line], list[JobComparison]]:
    """Part the jobs that test.sh runs from those that CI gives to another script."""
    ours, others = [], []
    for line in lines:
        route = _route_of(line, checkout)
        if route is None or (route.script == checkout.script and route.runner is Runner.SHELL):
            ours.append(line)
        else:
            only_here = "the configuration only exists here"
            is_native = route.reason is Reason.NATIVE
            reason = only_here if is_native else f"CI runs {route.script} for it"
            others.append(JobComparison(job=line, verdict=JobVerdict.OTHER_SCRIPT, reason=reason))
    return ours, others


def _route_of(line: Line, checkout: Checkout) -> Route | None:
    try:
        job = job_from_json(line)
    except InputError:  # the plan will say what is wrong
        return None
    return choose(job, checkout, Flag.OFF, read_rollout, is_native=find_row(job).native)


def planned_commands(
    line: Mapping[str, Any], checkout: Checkout, answers: Answers
) -> tuple[Command, ...] | str:
    """Return what a job's plan runs under a profile's answers, or why it has no plan."""
    try:
        return plan_commands(plan_job(job_from_json(line, config_facts), checkout), answers)
    except CiSessionsError as error:
        return str(error)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What was asked for, and what each answer needs. ``began`` is the clock's, in seconds."""

    options: ParityOptions
    checkout: Checkout
    lines: Sequence[Line]
    is_part: bool
    profile: Profile
    cache: Cache
    began: float

    def stage(self, overlay: Mapping[str, bytes] | None = None) -> Stage:
        root = _root(self.checkout)
        return read_stage(root, self.checkout.script, self.profile, overlay=overlay)

    def trace(self, lines: Sequence[Line], stage: Stage) -> list[Recording]:
        jobs = [job_variables(line) for line in lines]
        workers = self.options.workers
        return list(trace_jobs(jobs, stage, self.profile, cache=self.cache, workers=workers))

    def plan(self, line: Line) -> tuple[Command, ...] | str:
        return planned_commands(line, self.checkout, self.profile.plan_answers)

    def result(self) -> ParityResult:
        """Compare each job's plan with the script."""
        named = self.options.accepted
        accepted = read_accepted(Path(named) if named else None)
        ours, others = _own(self.lines, self.checkout)
        recordings = self.trace(ours, self.stage())
        jobs = [
            compare_job(line, recording, self.plan(line), accepted)
            for line, recording in zip(ours, recordings, strict=True)
        ]
        faults = check_accepted(
            accepted,
            jobs,
            today=clock.now().date(),
            version=self.checkout.version,
            # What is shipped is for all releases; a file that was named is for this checkout.
            is_whole=bool(named) and not self.is_part,
        )
        return ParityResult(
            script=self.checkout.script,
            jobs=(*jobs, *others),
            faults=faults,
            seconds=clock.seconds() - self.began,
            cached=self.cache.hits,
        )

    def changes(self, revision: str) -> ParityResult:
        """Compare what the jobs ran at a revision with what they run now."""
        old = files_at(_root(self.checkout), revision, self.checkout.scripts)
        ours, others = _own(self.lines, self.checkout)
        before, after = self.trace(ours, self.stage(old)), self.trace(ours, self.stage())
        jobs = map(compare_versions, ours, before, after)
        return ParityResult(
            script=f"{self.checkout.script} since {revision}",
            jobs=(*jobs, *others),
            other=Side.EARLIER,
            seconds=clock.seconds() - self.began,
            cached=self.cache.hits,
        )

    def show_traces(self, out: TextIO) -> int:
        """Print each job's recording as a line of JSON, as the recorded traces are written."""
        ours, _ = _own(self.lines, self.checkout)
        code = 0
        for line, recording in zip(ours, self.trace(ours, self.stage()), strict=True):
            if recording.fault:
                code = 1
                logger.warning("could not be traced: %s: %s", line, recording.fault.text)
            print(json.dumps(trace_line(recording, line)), file=out)
        return code


def compare_one(job: Job, checkout: Checkout) -> tuple[JobVerdict, str]:
    """Compare one job's plan with the script, for the gate's shadow; also say where they differ."""
    line = job_to_json(job)
    profile = read_profile()
    stage = read_stage(_root(checkout), checkout.script, profile)
    (recording,) = trace_jobs([job_variables(line)], stage, profile, workers=1)
    plan = planned_commands(line, checkout, profile.plan_answers)
    found = compare_job(line, recording, plan, read_accepted())
    return found.verdict, describe_job(found) if found.verdict.is_bad else ""
