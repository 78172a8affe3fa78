"""``run``: run a job in Python, whatever the flag; also used by ``dispatch``."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ci_sessions import clock
from ci_sessions.cli.options import (
    JobGroup,
    LimitGroup,
    OptionParser,
    RecordGroup,
    SelectionGroup,
    parse_options,
)
from ci_sessions.cli.plan import show_plan
from ci_sessions.cli.prepare import PreparedJob, local_label, prepare_job
from ci_sessions.errors import HardwareError, NoTestsError
from ci_sessions.github.output import annotate, step_summary
from ci_sessions.job.job_json import job_to_json
from ci_sessions.job.variables import (
    BY_NAME,
    CI,
    CONTINUE_THROUGH_ERROR,
    GITHUB_ACTIONS,
    GITHUB_STEP_SUMMARY,
)
from ci_sessions.log import logger, redact_secrets
from ci_sessions.records.record import RunRecord
from ci_sessions.records.route import Runner
from ci_sessions.records.store import FOLDER, create_journal, prune
from ci_sessions.report.console import ConsoleScreen
from ci_sessions.report.repeat import Invocation, repeat_lines
from ci_sessions.report.run import describe_run
from ci_sessions.run.executor import Executor, Limits
from ci_sessions.run.machine import check_scripts, count_devices
from ci_sessions.text import Redactor, count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Context
    from ci_sessions.job.environment import Environment
    from ci_sessions.job.job import Job
    from ci_sessions.plan.step import Variables
    from ci_sessions.records.route import RouteRecord

__all__ = ["RunOptions", "build_invocation", "check_run", "execute", "main"]


@dataclass(frozen=True, kw_only=True)
class RunOptions(RecordGroup, LimitGroup, SelectionGroup, JobGroup):
    """The options of ``run``."""

    dry_run: bool = False
    json: bool = False
    shell: bool = False

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options of a dry run."""
        add = parser.add_argument_group("dry run").add_argument
        add("--dry-run", action="store_true", help="show what would run, without running it")
        add("--json", action="store_true", help="print the dry run as JSON")
        add("--shell", action="store_true", help="print the dry run as a bash script")

    def prepare(self, environment: Environment, *, with_added: bool) -> PreparedJob:
        """Plan the job that these options select."""
        job = self.job_options(keep_going=self.keep_going, default_label=local_label())
        return prepare_job(job, self.checkout, self, environment, with_added=with_added)


def main(argv: Sequence[str], context: Context) -> int:
    """Run a job; return the exit code of the first process that failed."""
    options = parse_options(RunOptions, argv, context)
    prepared = options.prepare(context.environment, with_added=True)
    if options.dry_run or options.shell or options.json:
        return show_plan(prepared, context.out, as_json=options.json, as_script=options.shell)
    check_run(prepared, options)
    program = context.program
    if context.config is None:  # the program does not contain the configuration
        program = (*program, prepared.plan.job.config)
    invocation = build_invocation(program, prepared.plan.job, options)
    run = execute(prepared, options, context.out, invocation=invocation)
    return run.exit_code or 0


def check_run(prepared: PreparedJob, options: RunOptions) -> None:
    """Raise an error if the job cannot run here, before anything runs."""
    plan, need = prepared.plan, prepared.plan.needs
    if not plan.has_tests:
        reasons = [*plan.notices, *(test.skipped for test in plan.tests if test.skipped)]
        reason = "; ".join(reasons) or "its plan is empty"
        raise NoTestsError(
            f"{plan.job.config} on {plan.job.build.label} has no tests to run ({reason}): choose "
            "another build, or remove the job."
        )
    if options.hardware_check and need.count:
        available = count_devices(need)
        if available < need.count:
            raise HardwareError(
                f"{plan.job.config} on {plan.job.build.label} needs "
                f"{count(need.count, f'{need.device} device')}, but this machine has {available}: "
                "run it on another machine, or add --no-hardware-check to skip this check."
            )
    check_scripts(plan, prepared.root)
    prepared.machine.require("bash", "git", "python")


def build_invocation(program: tuple[str, ...], job: Job, options: RunOptions) -> Invocation:
    """Return the command line that runs the same job anywhere, with its label and shard."""
    argv = [*program, "--build-environment", job.build.label]
    if job.shard.is_split:
        argv += ["--shard", f"{job.shard.number}/{job.shard.total}"]
    if options.checkout is not None:
        argv += ["--checkout", str(Path(options.checkout).expanduser().resolve())]
    for is_set, option in (
        (not options.hardware_check, "--no-hardware-check"),
        (not options.install, "--no-install"),
    ):
        argv += [option] if is_set else []
    return Invocation(argv=tuple(argv), inputs=_inputs(job, options))


def _inputs(job: Job, options: RunOptions) -> dict[str, str]:
    """Return the inputs that a command must set to repeat a job, since there are no options."""
    by_option = {CONTINUE_THROUGH_ERROR.name} if options.keep_going else set()
    return {
        name: value
        for name, value in job.inputs.raw.items()
        if BY_NAME[name].is_repeated and name not in by_option
    }


def execute(
    prepared: PreparedJob,
    options: RunOptions,
    out: TextIO,
    *,
    invocation: Invocation | None,
    route: RouteRecord | None = None,
) -> RunRecord:
    """Run a plan, record it, and print the summary.

    ``invocation`` is the command line that repeats the job; None if only the plain command does.
    ``route`` is stored in the record.
    """
    plan, machine, environment = prepared.plan, prepared.machine, prepared.environment
    if prepared.checkout.is_sample:
        logger.info("using the sample checkout %s: --checkout selects another one", prepared.root)
    redact = Redactor(environment.variables)
    started = clock.timestamp()
    folder = Path(options.records) if options.records else Path.cwd() / FOLDER
    if options.keep_days is not None:
        removed = prune(folder, options.keep_days, clock.now().timestamp())
        records, days = count(len(removed), "record"), count(options.keep_days, "day")
        logger.info("removed %s older than %s", records, days)
    journal = create_journal(folder, started, plan.job.config, redact)
    redact_secrets(redact)
    on_github = environment.get(GITHUB_ACTIONS.name) == "true"
    executor = Executor(
        plan=plan,
        machine=machine,
        screen=ConsoleScreen(out, on_github=on_github),
        journal=journal,
        redact=redact,
        limits=Limits(job=options.timeout, step=options.step_timeout),
        keep_going=plan.job[CONTINUE_THROUGH_ERROR],
        on_ci=bool(environment[CI]),
    )
    run = executor.run(
        RunRecord(
            id=f"{started}/{plan.job.id}/{secrets.token_hex(4)}",
            job=job_to_json(plan.job),
            started=started,
            checkout=str(prepared.root),
            runner=route.runner if route else Runner.PYTHON,
            route=route,
        )
    )
    repeat = redact(_repeat(prepared, run, invocation))
    print(redact(describe_run(run, repeat, str(journal.path))), file=out)
    if on_github:
        for line in annotate(run):
            print(redact(line), file=out)
        _append_summary(environment[GITHUB_STEP_SUMMARY], redact(step_summary(run, repeat)))
    out.flush()
    return run


def _repeat(prepared: PreparedJob, run: RunRecord, invocation: Invocation | None) -> str:
    plan = prepared.plan.filled(prepared.machine.resolve)
    env: Variables = plan.env
    if invocation is None:  # the script itself gets the job from variables
        inputs = {n: value for n, value in plan.job.inputs.raw.items() if BY_NAME[n].is_repeated}
        variables = {**plan.job.variables(), **inputs}
        env = {name: value.replace("$", "$$") for name, value in variables.items()}
    return repeat_lines(plan, run, invocation, root=prepared.root, env=env)


def _append_summary(path: str, text: str) -> None:
    """Append to the job's step summary; if that fails, log a warning."""
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        logger.warning("cannot write the step summary: %s", error)
