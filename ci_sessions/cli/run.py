"""``run``: run a job in Python, whatever the flag says; and what ``dispatch`` shares with it."""

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
from ci_sessions.cli.prepare import Prepared, local_label, prepare
from ci_sessions.errors import HardwareError, NoTestError
from ci_sessions.github.output import annotate, step_summary
from ci_sessions.job.job_json import job_to_json
from ci_sessions.job.variables import (
    BY_NAME,
    CI,
    CONTINUE_THROUGH_ERROR,
    GITHUB_ACTIONS,
    GITHUB_STEP_SUMMARY,
)
from ci_sessions.log import hide, logger
from ci_sessions.records.record import RunRecord
from ci_sessions.records.route import Runner
from ci_sessions.records.store import FOLDER, open_journal, prune
from ci_sessions.report.console import ConsoleScreen
from ci_sessions.report.repeat import Invocation, repeat_lines
from ci_sessions.report.run import describe_run
from ci_sessions.run.executor import Executor, Limits
from ci_sessions.run.machine import check_scripts, count_devices
from ci_sessions.text import Redactor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci_sessions.cli.options import Call
    from ci_sessions.job.environment import Environment
    from ci_sessions.job.job import Job
    from ci_sessions.plan.step import Variables
    from ci_sessions.records.route import Attempt

__all__ = ["RunOptions", "check_run", "execute", "invocation_of", "main"]


@dataclass(frozen=True, kw_only=True)
class RunOptions(RecordGroup, LimitGroup, SelectionGroup, JobGroup):
    """The options of ``run``."""

    dry_run: bool = False
    json: bool = False
    shell: bool = False

    @classmethod
    def add_to(cls, parser: OptionParser, *, is_named: bool) -> None:
        """Add the options of a dry run."""
        add = parser.add_argument_group("instead of running").add_argument
        add("--dry-run", action="store_true", help="show what would run; run and install nothing")
        add("--json", action="store_true", help="the dry run as JSON")
        add("--shell", action="store_true", help="the dry run as a bash script")

    def prepared(self, environment: Environment, *, with_added: bool) -> Prepared:
        """Plan the job that these options name."""
        job = self.job_options(keep_going=self.keep_going, default_label=local_label())
        return prepare(job, self.checkout, self, environment, with_added=with_added)


def main(words: Sequence[str], call: Call) -> int:
    """Run the verb; return the first failed child's exit code."""
    options = parse_options(RunOptions, words, call)
    prepared = options.prepared(call.environment, with_added=True)
    if options.dry_run or options.shell or options.json:
        return show_plan(prepared, call.out, as_json=options.json, as_script=options.shell)
    check_run(prepared, options)
    program = call.program
    if call.config is None:  # the words of the call do not name the configuration
        program = (*program, prepared.plan.job.config)
    invocation = invocation_of(program, prepared.plan.job, options)
    run = execute(prepared, options, call.out, invocation=invocation)
    return run.exit_code or 0


def check_run(prepared: Prepared, options: RunOptions) -> None:
    """Raise what makes a run pointless, before anything has run."""
    plan, need = prepared.plan, prepared.plan.needs
    if not plan.has_tests:
        reasons = [*plan.notices, *(test.skipped for test in plan.tests if test.skipped)]
        why = "; ".join(reasons) or "its plan is empty"
        raise NoTestError(
            f"{plan.job.config} on {plan.job.build.label} runs no test ({why}): choose another "
            "build, or leave the job out."
        )
    if options.hardware_check and need.count:
        here = count_devices(need)
        if here < need.count:
            devices = f"{need.count} {need.device} device{'s' if need.count > 1 else ''}"
            raise HardwareError(
                f"{plan.job.config} on {plan.job.build.label} needs {devices}, and this machine "
                f"has {here}: run it on one that has them, or add --no-hardware-check to skip this "
                "check."
            )
    check_scripts(plan, prepared.root)
    prepared.machine.need("bash", "git", "python")


def invocation_of(program: tuple[str, ...], job: Job, options: RunOptions) -> Invocation:
    """Return the call that names the same job anywhere: label and shard are always said."""
    words = [*program, "--build-environment", job.build.label]
    if job.shard.is_split:
        words += ["--shard", f"{job.shard.number}/{job.shard.total}"]
    if options.checkout is not None:
        words += ["--checkout", str(Path(options.checkout).expanduser().resolve())]
    for is_set, word in (
        (not options.hardware_check, "--no-hardware-check"),
        (not options.install, "--no-install"),
    ):
        words += [word] if is_set else []
    return Invocation(words=tuple(words), inputs=_inputs(job, options))


def _inputs(job: Job, options: RunOptions) -> dict[str, str]:
    """Return the inputs of a job that a repeat line must say, since no option does."""
    texts = job.inputs.texts
    said = {CONTINUE_THROUGH_ERROR.name} if options.keep_going else set()
    return {
        name: text for name, text in texts.items() if BY_NAME[name].is_repeated and name not in said
    }


def execute(
    prepared: Prepared,
    options: RunOptions,
    out: TextIO,
    *,
    invocation: Invocation | None,
    route: Attempt | None = None,
) -> RunRecord:
    """Run a plan, record it, print its end.

    ``invocation`` is how a person would call it again; None where only the plain command makes
    sense. ``route`` is recorded: why this runner was chosen.
    """
    plan, machine, environment = prepared.plan, prepared.machine, prepared.environment
    if prepared.checkout.is_sample:
        logger.info("using the sample checkout, %s: --checkout names a real one", prepared.root)
    redact = Redactor(environment.texts)
    started = clock.stamp()
    folder = Path(options.records) if options.records else Path.cwd() / FOLDER
    if options.keep_days is not None:
        removed = prune(folder, options.keep_days, clock.now().timestamp())
        logger.info("removed %d records older than %d days", len(removed), options.keep_days)
    journal = open_journal(folder, started, plan.job.config, redact)
    hide(redact)
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


def _repeat(prepared: Prepared, run: RunRecord, invocation: Invocation | None) -> str:
    plan = prepared.plan.filled(prepared.machine.known)
    env: Variables = plan.env
    if invocation is None:  # the script itself: the job's names are its options
        inputs = {n: t for n, t in plan.job.inputs.texts.items() if BY_NAME[n].is_repeated}
        texts = {**plan.job.variables(), **inputs}
        env = {name: text.replace("$", "$$") for name, text in texts.items()}
    return repeat_lines(plan, run, invocation, root=prepared.root, env=env)


def _append_summary(path: str, text: str) -> None:
    """Append to the job's summary; one that cannot be written changes nothing."""
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        logger.warning("the step summary is missing: %s", error)
