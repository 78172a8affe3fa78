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
from ci_sessions.catalogue.table import CONFIGURATIONS, config_fault, plan_job
from ci_sessions.checkout.checkout import Checkout, find_checkout, read_checkout
from ci_sessions.cli.commands import read_job
from ci_sessions.errors import CheckoutError, CiSessionsError, InputError
from ci_sessions.gate.gate import Flag, choose
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.github.workflows import read_workflows
from ci_sessions.job.environment import Environment, process_environment
from ci_sessions.job.job_json import job_line, job_of, job_variables, merged, read_job_lines
from ci_sessions.log import logger
from ci_sessions.parity.accepted import read_differences
from ci_sessions.parity.compare import plan_commands
from ci_sessions.parity.profile import read_profile
from ci_sessions.parity.recording import trace_line
from ci_sessions.parity.staging import read_stage
from ci_sessions.parity.trace import Cache, trace_jobs
from ci_sessions.parity.verdict import (
    JobProof,
    Proof,
    Standing,
    judge_change,
    judge_job,
    judge_names,
)
from ci_sessions.report.parity import describe_proof, proof_dict, proof_markdown
from ci_sessions.run.process import Interrupted, git_files, raising_on_signals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.cli.options import Options
    from ci_sessions.job.job import Job
    from ci_sessions.parity.profile import Profile
    from ci_sessions.parity.recording import Command, Recording
    from ci_sessions.parity.staging import Stage

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
    checkout = read_checkout(find_checkout(options.checkout, Path.cwd()), machine="x86_64")
    lines = _jobs(options, environment, checkout)
    if not lines:
        raise InputError("there is no job to compare: a proof of nothing proves nothing.")
    asked = _Asked(
        options=options,
        checkout=checkout,
        lines=lines,
        is_part=_is_part(options, environment),
        profile=read_profile(Path(options.profile) if options.profile else None),
        cache=_cache(options, environment),
        began=began,
    )
    if options.trace:
        return asked.show_traces(out)
    proof = asked.proof() if options.since is None else asked.changes(options.since)
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


def _cache(options: Options, environment: Environment) -> Cache:
    """Return the cache: of this user, not of a checkout, which somebody else may have written."""
    home = environment.get("XDG_CACHE_HOME") or f"{environment.get('HOME', '~')}/.cache"
    folder = Path(home).expanduser() / "ci-sessions" / "traces"
    return Cache(folder if options.cache else None)


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


def _is_part(options: Options, environment: Environment) -> bool:
    """Tell whether fewer than all jobs of the checkout were asked for."""
    named = options.config or options.jobs or options.workflow or environment.get("TEST_CONFIG")
    return bool(named)


def _plan(line: Mapping[str, Any], checkout: Checkout) -> tuple[Command, ...] | str:
    try:
        return plan_commands(plan_job(job_of(line, config_fault), checkout))
    except CiSessionsError as error:
        return str(error)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What was asked for, and what each answer needs. ``began`` is the clock's, in seconds."""

    options: Options
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

    def proof(self) -> Proof:
        """Compare each job's plan with the script."""
        named = self.options.differences
        names = read_differences(Path(named) if named else None)
        ours, others = _own(self.lines, self.checkout)
        recordings = self.trace(ours, self.stage())
        jobs = [
            judge_job(line, recording, _plan(line, self.checkout), names)
            for line, recording in zip(ours, recordings, strict=True)
        ]
        faults = judge_names(
            names,
            jobs,
            today=clock.now().date(),
            version=self.checkout.version,
            # What is shipped is for all releases; a file that was named is for this checkout.
            is_whole=bool(named) and not self.is_part,
        )
        return Proof(
            script=self.checkout.script,
            jobs=(*jobs, *others),
            faults=faults,
            seconds=clock.seconds() - self.began,
            cached=self.cache.hits,
        )

    def changes(self, revision: str) -> Proof:
        """Compare what the jobs ran at a revision with what they run now."""
        old = git_files(_root(self.checkout), revision, self.checkout.script_folder)
        ours, others = _own(self.lines, self.checkout)
        before, after = self.trace(ours, self.stage(old)), self.trace(ours, self.stage())
        jobs = map(judge_change, ours, before, after)
        return Proof(
            script=f"{self.checkout.script} since {revision}",
            jobs=(*jobs, *others),
            left="before",
            right="now",
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
