"""``run``: run a job in Python, whatever the flag."""

from __future__ import annotations

import argparse
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.checkout.locate import find_checkout
from ci_sessions.cli.execution import (
    Execution,
    build_invocation,
    check_run,
    lock_for_run,
    selected_step,
)
from ci_sessions.cli.last_failed import select_last_failed
from ci_sessions.cli.options import (
    JobGroup,
    LimitGroup,
    MinutesGroup,
    OptionParser,
    RecordGroup,
    SelectionGroup,
    parse_options,
)
from ci_sessions.cli.plan import estimate, show_plan
from ci_sessions.cli.prepare import PreparedJob, local_label, prepare_job
from ci_sessions.errors import InputError
from ci_sessions.log import logger
from ci_sessions.records.folder import records_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from ci_sessions.cli.options import Context
    from ci_sessions.job.environment import Environment

__all__ = ["RepeatOptions", "RunOptions", "main"]


@dataclass(frozen=True, kw_only=True)
class RunOptions(RecordGroup, LimitGroup, SelectionGroup, JobGroup):
    """The options of a run, with ``run`` and with ``dispatch``."""

    dry_run: bool = False
    json: bool = False
    shell: bool = False

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options of a dry run."""
        group = parser.add_argument_group("dry run")
        help_text = "show what would run, without running it"
        group.add_argument("--dry-run", action="store_true", help=help_text)
        form = group.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print the dry run as JSON")
        form.add_argument("--shell", action="store_true", help="print the dry run as a bash script")

    @property
    def is_dry_run(self) -> bool:
        """Whether the job is only shown."""
        return self.dry_run or self.json or self.shell

    def prepare(self, environment: Environment, *, with_added: bool) -> PreparedJob:
        """Plan the job that these options select."""
        job = self.job_options(keep_going=self.keep_going, default_label=local_label())
        return prepare_job(job, self.checkout, self, environment, with_added=with_added)


@dataclass(frozen=True, kw_only=True)
class RepeatOptions(MinutesGroup, RunOptions):
    """The options of ``run``: those of a run, and what is only for a person at a terminal."""

    last_failed: bool = False
    shell_in: bool = False
    exec: tuple[str, ...] = ()

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options that repeat a part of a job, or something else in its environment."""
        add = parser.add_argument_group("repeat").add_argument
        add(
            "--last-failed",
            action="store_true",
            help="only the cases that failed in the newest run, in its first failed step",
        )
        add("--shell-in", action="store_true", help="open a shell in the job's environment")
        add(
            "--exec",
            nargs=argparse.REMAINDER,
            metavar="COMMAND",
            help="run a command in the job's environment; must be the last option",
        )


def main(argv: Sequence[str], context: Context) -> int:
    """Run a job; return the exit code of the first process that failed."""
    options = parse_options(RepeatOptions, argv, context)
    if options.last_failed:
        folder = records_folder(options.records, find_checkout(options.checkout))
        options = select_last_failed(options, folder, context.environment)
    prepared = options.prepare(context.environment, with_added=True)
    if options.is_dry_run:
        return show_plan(
            prepared,
            context,
            as_json=options.json,
            as_script=options.shell,
            minutes=estimate(prepared, options),
        )
    if options.exec or options.shell_in:
        run_in_environment(prepared, options, context)
    check_run(prepared, options)
    program = context.program
    if context.config is None:  # the program does not contain the configuration
        program = (*program, prepared.plan.job.config)
    invocation = build_invocation(program, prepared.plan.job, options)
    execution = Execution(
        prepared=prepared, options=options, context=context, invocation=invocation
    )
    with lock_for_run(prepared, options):
        minutes = estimate(prepared, options)
        record = execution.run()
    if minutes is not None and (text := minutes.compare(record)):
        print(context.redact(text), file=context.out)
    return record.exit_code or 0


def run_in_environment(prepared: PreparedJob, options: RepeatOptions, context: Context) -> NoReturn:
    """Replace this process by a command or a shell, in the environment and folder of the job.

    If one step is selected, these are the step's. What the job's set-up exports is missing.
    """
    machine, plan = prepared.machine, prepared.plan
    step = selected_step(plan, options) if options.is_one_step else None
    env = machine.environment(plan.env, {}, step.env if step else {})
    folder = machine.root / machine.render(step.cwd if step else ".")
    argv = options.exec or (env.get("SHELL") or "bash",)
    logger.info("%s in %s, in the environment of %s", argv[0], folder, plan.describe_job())
    context.out.drain()
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and so would the command
        os.chdir(folder)
        os.execvpe(argv[0], argv, env)  # noqa: S606 - argv, never a shell string
    except OSError as error:
        option = "--exec" if options.exec else "--shell-in"
        raise InputError(f"{option} cannot start {argv[0]!r}: {error.strerror}.") from error
