"""``parity``: trace the checkout's own script for each job, and compare with the plans.

With ``--since REV``, compare two versions of the script instead. Also what ``shadow`` asks beside
the script's own run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ci_sessions.checkout import Checkout, find_checkout, read_checkout
from ci_sessions.commands import read_job
from ci_sessions.dispatch import CONFIGURATIONS, config_fault, plan_job
from ci_sessions.environment import Environment, process_environment
from ci_sessions.errors import CheckoutError, CiSessionsError, InputError
from ci_sessions.gate import Flag, choose
from ci_sessions.joblines import job_line, job_of, job_variables, merged, read_job_lines
from ci_sessions.log import logger
from ci_sessions.parity.compare import plan_commands
from ci_sessions.parity.differences import read_differences
from ci_sessions.parity.profile import read_profile
from ci_sessions.parity.proof import (
    JobProof,
    Proof,
    Standing,
    judge_change,
    judge_job,
    judge_names,
)
from ci_sessions.parity.recording import trace_line
from ci_sessions.parity.stage import read_stage
from ci_sessions.parity.trace import Cache, trace_jobs
from ci_sessions.report.parity import describe_proof, proof_dict, proof_markdown
from ci_sessions.rollout import read_rollout
from ci_sessions.run import clock
from ci_sessions.run.process import Interrupted, git_files, raising_on_signals
from ci_sessions.workflows import read_workflows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.job import Job
    from ci_sessions.options import Options
    from ci_sessions.parity.profile import Profile
    from ci_sessions.parity.recording import Command, Recording
    from ci_sessions.parity.stage import Stage

__all__ = ["shadow_of", "show_parity"]

Line = dict[str, Any]


def show_parity(options: Options, out: TextIO, environment: Environment | None = None) -> int:
    """Prove plans and script equal, or say where they are not; return 1 where they are not.

    A signal ends the tracing and removes what it made, and the exit code is the shell's for it.
    """
    try:
        with raising_on_signals():
            return _show_parity(options, out, environment)
    except Interrupted as stop:
        return stop.exit_code


def _show_parity(options: Options, out: TextIO, environment: Environment | None) -> int:
    environment = environment or process_environment()
    began = clock.seconds()
    root = find_checkout(options.checkout, Path.cwd())
    checkout = read_checkout(root, machine="x86_64")
    lines = _jobs(options, environment, checkout)
    if not lines:
        raise InputError("there is no job to compare: a proof of nothing proves nothing.")
    if options.trace:
        return _show_traces(options, environment, lines, checkout, out)
    if options.since is not None:
        proof = _changes(options, environment, lines, checkout, began)
    else:
        proof = _proof(options, environment, lines, checkout, began)
    if options.json:
        print(json.dumps(proof_dict(proof), indent=1), file=out)
    elif options.markdown:
        print(proof_markdown(proof, options.show), end="", file=out)
    else:
        print(describe_proof(proof, options.show), file=out)
    return proof.exit_code


def _jobs(options: Options, environment: Environment, checkout: Checkout) -> list[Line]:
    """Return the jobs that were asked for: a file's, one, or all that the checkout schedules."""
    if options.jobs is not None:
        return merged(_checked(read_job_lines(_read(options.jobs), f"--jobs {options.jobs}")))
    if options.config is not None or environment.get("TEST_CONFIG"):
        return [job_line(read_job(options, environment), environment)]
    if checkout.is_sample:
        label = options.build_environment or "linux-jammy-py3.10-gcc11"
        return [
            {"build_environment": label, "config": config, "shard": 1, "num_shards": 1}
            for config, *_ in CONFIGURATIONS
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


def _profile(options: Options) -> Profile:
    return read_profile(Path(options.profile) if options.profile else None)


def _cache(options: Options, environment: Environment) -> Cache:
    """Return the cache: of this user, not of a checkout, which somebody else may have written."""
    home = environment.get("XDG_CACHE_HOME") or f"{environment.get('HOME', '~')}/.cache"
    folder = Path(home).expanduser() / "ci-sessions" / "traces"
    return Cache(folder if options.cache else None)


def _trace(options: Options, lines: Sequence[Line], stage: Stage, cache: Cache) -> list[Recording]:
    jobs = [job_variables(line) for line in lines]
    found = trace_jobs(jobs, stage, _profile(options), cache=cache, workers=options.workers)
    return list(found)


def _own(lines: Sequence[Line], checkout: Checkout) -> tuple[list[Line], list[JobProof]]:
    """Part the jobs that test.sh runs from those that CI gives to another script."""
    ours, others = [], []
    for line in lines:
        script = _script_of(line, checkout)
        if script == checkout.script:
            ours.append(line)
        else:
            reason = f"CI runs {script} for it"
            others.append(JobProof(job=line, standing=Standing.OTHER_SCRIPT, reason=reason))
    return ours, others


def _script_of(line: Line, checkout: Checkout) -> str:
    try:
        job = job_of(line, None)
    except InputError:  # the plan will say what is wrong
        return checkout.script
    return choose(job, checkout, Flag.OFF, read_rollout).script


def _proof(
    options: Options,
    environment: Environment,
    lines: Sequence[Line],
    checkout: Checkout,
    began: float,
) -> Proof:
    names = read_differences(Path(options.differences) if options.differences else None)
    ours, others = _own(lines, checkout)
    cache = _cache(options, environment)
    stage = read_stage(_root(checkout), checkout.script, _profile(options))
    recordings = _trace(options, ours, stage, cache)
    jobs = [
        judge_job(line, recording, _plan(line, checkout), names)
        for line, recording in zip(ours, recordings, strict=True)
    ]
    faults = judge_names(
        names,
        jobs,
        today=clock.now().date(),
        version=checkout.version,
        # What is shipped is for all releases; a file that was named is for this checkout.
        is_whole=bool(options.differences) and not _is_part(options, environment),
    )
    return Proof(
        script=checkout.script,
        jobs=(*jobs, *others),
        faults=faults,
        seconds=clock.seconds() - began,
        cached=cache.hits,
    )


def _is_part(options: Options, environment: Environment) -> bool:
    """Tell whether fewer than all jobs of the checkout were asked for."""
    named = options.config or options.jobs or options.workflow or environment.get("TEST_CONFIG")
    return bool(named)


def _plan(line: Mapping[str, Any], checkout: Checkout) -> tuple[Command, ...] | str:
    try:
        return plan_commands(plan_job(job_of(line, config_fault), checkout))
    except CiSessionsError as error:
        return str(error)


def _changes(
    options: Options,
    environment: Environment,
    lines: Sequence[Line],
    checkout: Checkout,
    began: float,
) -> Proof:
    """Compare what the jobs ran at a revision with what they run now."""
    root, revision = _root(checkout), options.since or ""
    profile = _profile(options)
    folder = checkout.script_folder
    before = read_stage(root, checkout.script, profile, overlay=git_files(root, revision, folder))
    after = read_stage(root, checkout.script, profile)
    ours, others = _own(lines, checkout)
    cache = _cache(options, environment)
    pairs = zip(
        ours,
        _trace(options, ours, before, cache),
        _trace(options, ours, after, cache),
        strict=True,
    )
    return Proof(
        script=f"{checkout.script} since {revision}",
        jobs=(*(judge_change(line, old, new) for line, old, new in pairs), *others),
        left="before",
        right="now",
        seconds=clock.seconds() - began,
        cached=cache.hits,
    )


def _show_traces(
    options: Options,
    environment: Environment,
    lines: Sequence[Line],
    checkout: Checkout,
    out: TextIO,
) -> int:
    """Print each job's recording as a line of JSON, as the recorded traces are written."""
    ours, _ = _own(lines, checkout)
    stage = read_stage(_root(checkout), checkout.script, _profile(options))
    code = 0
    for line, recording in zip(
        ours, _trace(options, ours, stage, _cache(options, environment)), strict=True
    ):
        if recording.fault:
            code = 1
            logger.warning("not followed: %s: %s", line, recording.fault)
        print(json.dumps(trace_line(recording, line)), file=out)
    return code


def shadow_of(job: Job, checkout: Checkout, environment: Environment) -> JobProof:
    """Compare one job's plan with the script, for the gate's shadow mode."""
    line = job_line(job, environment)
    profile = read_profile()
    stage = read_stage(_root(checkout), checkout.script, profile)
    (recording,) = trace_jobs([job_variables(line)], stage, profile, workers=1)
    return judge_job(line, recording, _plan(line, checkout), read_differences())
