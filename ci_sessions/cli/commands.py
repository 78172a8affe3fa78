"""The verbs, without nox: plan a job, plan many, run one. Sessions and ``__main__`` call these."""

from __future__ import annotations

import glob
import json
import platform
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from ci_sessions import clock
from ci_sessions.catalogue.explain import explain
from ci_sessions.catalogue.scheduled import as_github_matrix, of_workflow, scheduled
from ci_sessions.catalogue.table import config_fault, plan_job
from ci_sessions.checkout.checkout import RECORDED, Checkout, find_checkout, read_checkout
from ci_sessions.errors import (
    CheckoutError,
    CiSessionsError,
    HardwareError,
    InputError,
    NoTestError,
)
from ci_sessions.gate.evidence import Action, Evidence, collect, judge, read_summaries, relevant
from ci_sessions.gate.rollout import read_rollout, with_share
from ci_sessions.github.output import annotate, step_summary
from ci_sessions.job.environment import Environment, process_environment
from ci_sessions.job.job import Job, parse_shard
from ci_sessions.job.job_json import job_of
from ci_sessions.log import hide, logger
from ci_sessions.plan.plan import Kind, Plan, Step, job_dict
from ci_sessions.records.record import RunRecord
from ci_sessions.records.store import FOLDER, open_journal, prune
from ci_sessions.report.console import (
    ConsoleScreen,
    describe_plan,
    describe_run,
    plan_script,
    repeat_command,
)
from ci_sessions.report.explanation import describe_explanation
from ci_sessions.report.rollout import describe_rollout, rollout_dict
from ci_sessions.run.executor import Executor, Limits
from ci_sessions.run.machine import Machine, count_devices, missing_script, pin_plan, place_plan
from ci_sessions.text import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_sessions.cli.options import Options
    from ci_sessions.gate.evidence import Verdict
    from ci_sessions.gate.rollout import Rollout

__all__ = [
    "Prepared",
    "execute",
    "explain_job",
    "plan_jobs",
    "prepare_run",
    "read_job",
    "run_job",
    "show_matrix",
    "show_plan",
    "show_rollout",
]

_REPEATED = (
    *("TESTS_TO_INCLUDE", "TESTS_TO_EXCLUDE", "PYTHON_TEST_EXTRA_OPTION", "DASHBOARD_TAG"),
    *("OP_BENCHMARK_TESTS", "EXPORT_PROFILER_TRACE", "IN_WHEEL_TEST", "USE_ARC"),
)
"""Inputs that a repro line must hand over, since they come from the environment only."""


def local_label() -> str:
    """Return the BUILD_ENVIRONMENT of this machine, where nobody named one: a plain CPU build."""
    machine = {"x86_64": "", "arm64": "aarch64-"}.get(platform.machine(), f"{platform.machine()}-")
    return f"linux-{machine}py{sys.version_info.major}.{sys.version_info.minor}"


def with_options(environment: Environment, options: Options) -> Environment:
    """Lay the options over the environment, and a label for this machine below it."""
    if "BUILD_ENVIRONMENT" not in environment:
        environment = environment.with_values("this machine", BUILD_ENVIRONMENT=local_label())
    number, total = parse_shard(options.shard) if options.shard is not None else (None, None)
    environment = environment.with_values("--shard", SHARD_NUMBER=number, NUM_TEST_SHARDS=total)
    environment = environment.with_values("--config", TEST_CONFIG=options.config)
    return environment.with_values(
        "--build-environment", BUILD_ENVIRONMENT=options.build_environment
    )


def read_job(options: Options, environment: Environment) -> Job:
    """Return the job that options and environment name; raise one error with all faults."""
    faults: list[str] = []
    if options.shard is not None:
        try:
            parse_shard(options.shard)
        except InputError as error:
            faults += error.faults
            options = replace(options, shard=None)
    try:
        job = Job.from_environment(with_options(environment, options), check_config=config_fault)
    except InputError as error:
        if not faults:
            raise
        raise InputError(*faults, *error.faults) from error
    if faults:
        raise InputError(*faults)
    return replace(job, keep_going=job.keep_going or options.keep_going)


def show_rollout(options: Options, out: TextIO) -> int:
    """Print the evidence and a verdict for each configuration; with ``--apply``, take one step.

    The exit code is 1 when a roll-back is due (and was not applied), else 0.
    """
    path = Path(options.rollout) if options.rollout else None
    rollout = read_rollout(path)
    found = collect(relevant(read_summaries(record_files(options.records)), rollout))
    evidence = {name: found.get(name, Evidence(name)) for name in rollout.configurations}
    verdicts = {name: judge(item, rollout) for name, item in evidence.items()}
    if options.json:
        print(json.dumps(rollout_dict(rollout, evidence, verdicts), indent=1), file=out)
    else:
        print(describe_rollout(rollout, evidence, verdicts), file=out)
    if options.apply:
        return _apply(rollout, verdicts, path, out)
    return int(any(item.action is Action.ROLL_BACK for item in verdicts.values()))


def record_files(named: str | None) -> list[Path]:
    """Return the record files below a folder, or that a pattern such as ``a/**/*.jsonl`` names."""
    if named is None:
        named = FOLDER
    if any(char in named for char in "*?["):
        return [Path(name) for name in sorted(glob.glob(named, recursive=True))]  # noqa: PTH207 - Path.glob takes no absolute pattern
    return sorted(Path(named).rglob("*.jsonl"))


def _apply(
    rollout: Rollout, verdicts: Mapping[str, Verdict], path: Path | None, out: TextIO
) -> int:
    """Write the shares that the verdicts lead to, one step each, and say what was done."""
    if path is None:
        raise InputError("--apply changes a file: name yours with --rollout FILE.")
    changed = False
    for config, verdict in verdicts.items():
        share = rollout.configurations[config].share
        if verdict.share != share:
            text = with_share(rollout, config, verdict.share, clock.stamp())
            rollout = replace(rollout, source=text)
            print(f"applied: {config} {share} % → {verdict.share} % in {path}", file=out)
            changed = True
    if changed:
        path.write_text(rollout.source, encoding="utf-8")
    else:
        print("applied: nothing to change", file=out)
    return 0


class Prepared(NamedTuple):
    """A job that can be run: its plan, the tree, the machine, the caller's environment."""

    plan: Plan
    checkout: Checkout
    machine: Machine
    environment: Environment


def _prepare(options: Options, environment: Environment) -> Prepared:
    """Plan the job for the checkout, and open the machine that will answer for it."""
    faults: list[str] = []
    root = Path()
    try:
        root = find_checkout(options.checkout, Path.cwd())
    except CheckoutError as error:
        faults.append(str(error.args[0]))
    try:
        job = read_job(options, environment)
    except InputError as error:
        if faults:
            raise InputError(*faults, *error.faults) from error
        raise
    if faults:
        raise CheckoutError(*faults)
    hf_cache = environment.get("HF_CACHE")
    checkout = read_checkout(root, machine=platform.machine(), hf_cache=hf_cache)
    plan = plan_job(job, checkout)
    if not options.added:
        plan = plan.without_added()
    if options.test:
        plan = plan.select(options.test, options.step)
    if not options.install:
        plan = _without_installs(plan)
    machine = Machine(root, environment.as_variables())
    return Prepared(plan, checkout, machine, environment)


def _without_installs(plan: Plan) -> Plan:
    def kept(step: Step) -> Step:
        is_install = step.kind is Kind.INSTALL
        return replace(step, skipped="--no-install") if is_install else step

    tests = [replace(test, items=tuple(map(kept, test.steps))) for test in plan.tests]
    return replace(plan, setup=tuple(map(kept, plan.setup)), tests=tuple(tests))


def show_plan(options: Options, out: TextIO, environment: Environment | None = None) -> int:
    """Print what would run; start and install nothing but what finds torch."""
    environment = environment or process_environment()
    plan, checkout, machine, _ = _prepare(options, environment)
    redact = Redactor(environment.as_variables())
    if options.json:
        placed = place_plan(plan, machine)
        data = {**placed.to_dict(), "checkout": str(checkout.root)}
        print(json.dumps(redact.values(data), indent=1), file=out)
        return 0
    if options.shell:
        text = plan_script(pin_plan(plan, machine), checkout, machine.place)
    else:
        devices = count_devices(plan.job.build.device)
        text = describe_plan(pin_plan(plan, machine), checkout, devices, machine.place)
    print(redact(text), file=out)
    return 0


def explain_job(options: Options, out: TextIO, environment: Environment | None = None) -> int:
    """Print why a job runs what it runs, and what another shard or build would change."""
    environment = environment or process_environment()
    plan, checkout, _, _ = _prepare(options, environment)
    print(describe_explanation(explain(plan.job, checkout)), file=out)
    return 0


def show_matrix(options: Options, out: TextIO) -> int:
    """Print the scheduled jobs as the JSON that GitHub's fromJSON takes.

    All of them, those of ``--workflow``, or those of one configuration.
    """
    matrices = of_workflow(options.workflow) if options.workflow else scheduled()
    if options.config:
        fault = config_fault(options.config)
        matrices = [matrix for matrix in matrices if matrix.config == options.config]
        if not matrices:
            where = options.workflow or "any workflow"
            raise InputError(fault or f"{options.config!r} is not scheduled by {where}.")
    print(json.dumps(as_github_matrix(matrices)), file=out)
    return 0


def run_job(
    options: Options,
    out: TextIO,
    *,
    repeat: tuple[str, ...],
    environment: Environment | None = None,
) -> int:
    """Run the job that options and environment name; return the first failed child's exit code.

    ``repeat`` is the command that a person would type to run this again, without options.
    """
    prepared = prepare_run(options, environment or process_environment())
    run, _ = execute(prepared, options, out, repeat=repeat)
    return run.exit_code or 0


def prepare_run(options: Options, environment: Environment) -> Prepared:
    """Plan a job and check that it can be run here; raise what makes a run pointless."""
    prepared = _prepare(options, environment)
    _check(prepared.plan, prepared.checkout, prepared.machine, options)
    return prepared._replace(plan=place_plan(prepared.plan, prepared.machine))


def execute(
    prepared: Prepared,
    options: Options,
    out: TextIO,
    *,
    repeat: tuple[str, ...],
    route: Mapping[str, Any] | None = None,
) -> tuple[RunRecord, bool]:
    """Run a plan, record it, print its end. Also tell whether a test had begun.

    ``route`` is recorded: why this runner was chosen.
    """
    plan, checkout, machine, environment = prepared
    if checkout.is_sample:
        logger.info("using the sample checkout, %s: --checkout names a real one", checkout.root)
    redact = Redactor(environment.as_variables())
    started = clock.stamp()
    folder = Path(options.records) if options.records else Path.cwd() / FOLDER
    if options.keep_days is not None:
        removed = prune(folder, options.keep_days, clock.now().timestamp())
        logger.info("removed %d records older than %d days", len(removed), options.keep_days)
    journal = open_journal(folder, started, plan.job.config, redact)
    hide(redact)
    executor = Executor(
        plan,
        machine,
        ConsoleScreen(out, on_github=environment.get("GITHUB_ACTIONS") == "true"),
        journal,
        redact,
        limits=Limits(job=options.timeout, step=options.step_timeout),
        keep_going=plan.job.keep_going,
        on_ci=bool(environment.get("CI")),
    )
    details = dict(route or {})
    run = executor.run(
        RunRecord(
            id=f"{started}/{plan.job.id}/{secrets.token_hex(4)}",
            job=job_dict(plan.job),
            started=started,
            checkout=str(checkout.root),
            runner=details.get("runner", "python"),
            route=details,
        )
    )
    inputs = {name: environment.get(name) for name in _REPEATED if environment.get(name)}
    if repeat:
        words = (*repeat, *_repeated_options(options, plan.job))
        again = repeat_command(plan, run, words, checkout=checkout, env=plan.env, inputs=inputs)
    else:  # the script itself: the job's names are its options
        names = {**plan.job.variables(), **inputs}
        again = repeat_command(plan, run, (), checkout=checkout, env=names)
    again = redact(again)
    print(redact(describe_run(run, again, str(journal.path))), file=out)
    if environment.get("GITHUB_ACTIONS") == "true":
        for line in annotate(run):
            print(redact(line), file=out)
        _summarize(environment.get("GITHUB_STEP_SUMMARY"), redact(step_summary(run, again)))
    out.flush()
    return run, executor.has_tested


def _summarize(path: str, text: str) -> None:
    """Append to the job's summary; one that cannot be written changes nothing."""
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        logger.warning("the step summary is missing: %s", error)


def _check(plan: Plan, checkout: Checkout, machine: Machine, options: Options) -> None:
    """Raise what makes a run pointless, before anything has run."""
    if not plan.has_tests:
        reasons = [*plan.notices, *(test.skipped for test in plan.tests if test.skipped)]
        why = "; ".join(reasons) or "its plan is empty"
        raise NoTestError(
            f"{plan.job.config} on {plan.job.build.label} runs no test ({why}): choose another "
            "build, or leave the job out."
        )
    if options.hardware_check and plan.devices:
        here = count_devices(plan.job.build.device)
        if here < plan.devices:
            raise HardwareError(
                f"{plan.job.config} on {plan.job.build.label} needs {plan.devices} "
                f"{plan.job.build.device} device(s), and this machine has {here}: run it on one "
                "that has them, or add --no-hardware-check if you know better."
            )
    if checkout.root is not None:
        missing_script(plan, checkout.root)
    machine.need("bash", "git", "python")


def _repeated_options(options: Options, job: Job) -> list[str]:
    """Return the options that name the same job anywhere: label and shard are always said."""
    words = ["--build-environment", job.build.label]
    if job.shard.is_split:
        words += ["--shard", f"{job.shard.number}/{job.shard.total}"]
    if options.checkout is not None:
        words += ["--checkout", str(Path(options.checkout).resolve())]
    for is_set, word in (
        (not options.hardware_check, "--no-hardware-check"),
        (not options.install, "--no-install"),
    ):
        words += [word] if is_set else []
    return words


def plan_jobs(lines: Iterable[str], out: TextIO) -> int:
    """Plan each job of a JSON Lines file as on the recording machine; print the referee's lines.

    A job that cannot be planned gives a line with ``job`` and ``error``; the exit code is then 2.
    """
    code = 0
    for job, plan in _plan_lines(lines):
        if isinstance(plan, str):
            code = 2
            print(json.dumps({"job": job, "error": plan}), file=out)
        else:
            print(json.dumps(plan), file=out)
    return code


def _plan_lines(lines: Iterable[str]) -> Iterator[tuple[Any, dict[str, object] | str]]:
    for line in lines:
        if not line.strip():
            continue
        job: Any = line.strip()
        try:
            job = json.loads(line)
            plan: dict[str, object] | str = plan_job(
                job_of(job, config_fault), RECORDED
            ).trace_line(job)
        except ValueError as error:
            plan = f"the line is not JSON: {error}"
        except CiSessionsError as error:
            plan = str(error)
        yield job, plan
