"""The nox sessions, thin: each parses its options and calls a verb.

One session a configuration, named ``ci(config='jit_legacy')`` as nox names parametrized ones, each
registered by itself so that ``nox -l`` can say what it runs. Configurations beyond those listed
get their session when the command line asks for it by name.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import nox

from ci_sessions.catalogue.table import CONFIGURATIONS, config_fault, find_row, plan_job
from ci_sessions.checkout.checkout import RECORDED
from ci_sessions.cli.commands import explain_job, run_job, show_matrix, show_plan, show_rollout
from ci_sessions.cli.dispatch import dispatch_job
from ci_sessions.cli.options import parse_options
from ci_sessions.cli.parity import show_parity
from ci_sessions.errors import CiSessionsError
from ci_sessions.job.build_environment import BuildEnvironment
from ci_sessions.job.job import Job
from ci_sessions.log import set_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from ci_sessions.cli.options import Options

__all__ = ["register"]

_INTERRUPTED = (130, 143, 129)


def _act(session: nox.Session, config: str | None) -> None:
    """Plan or run, and let nox know how it went."""
    set_up()
    name = f"ci(config={config!r})" if config else "ci"
    try:
        options = parse_options(session.posargs, prog=f"nox -s {name} --", config=config)
        if options.dry_run or options.shell:
            code = show_plan(options, sys.stdout)
        else:
            repeat = ("nox", "-s", f"ci(config={options.config or config!r})", "--")
            code = run_job(options, sys.stdout, repeat=repeat)
    except CiSessionsError as error:
        session.error(str(error))
    _finish(code)


def _finish(code: int) -> None:
    """Let nox know how a run went; after a signal, end as a shell would."""
    if code in _INTERRUPTED:
        raise SystemExit(code)
    if code:
        raise nox.command.CommandFailed(reason=f"exit code {code}")


def _tests_of(config: str) -> str:
    """Name the tests of a configuration, as its plan for a CUDA build has them."""
    job = Job(config=config, build=BuildEnvironment.parse("linux-jammy-cuda13.0-py3.10-gcc11"))
    return ", ".join(test.name for test in plan_job(job, RECORDED).tests)


def register(config: str, *tags: str) -> None:
    """Define the session of one configuration."""

    def ci(session: nox.Session) -> None:
        _act(session, config)

    ci.__doc__ = _tests_of(config)
    name = f"ci(config={config!r})"
    nox.session(name=name, venv_backend="none", tags=list(tags), default=False)(ci)


for _config, _phase, _device in CONFIGURATIONS:
    register(
        _config,
        f"phase-{_phase}",
        _device,
        find_row(Job(config=_config, build=BuildEnvironment.parse("linux"))).suite,
    )


def _asked_for(words: list[str]) -> list[str]:
    """Find the configurations that a command line names and the list does not have."""
    listed = {name for name, *_ in CONFIGURATIONS}
    pattern = re.compile(r"""ci\(config=(['"])([\w.-]+)\1\)""")
    named = [match[2] for word in words for match in pattern.finditer(word)]
    return [name for name in dict.fromkeys(named) if name not in listed]


for _config in _asked_for(sys.argv):
    if config_fault(_config) is None:
        register(_config, "other")


def _verb(
    session: nox.Session, verb: Callable[[Options, TextIO], int], *, proof: bool = False
) -> int:
    """Call a verb with the session's options; its faults are the session's."""
    set_up()
    prog = f"nox -s {session.name} --"
    try:
        return verb(parse_options(session.posargs, prog=prog, proof=proof), sys.stdout)
    except CiSessionsError as error:
        session.error(str(error))


@nox.session(venv_backend="none", default=False)
def ci(session: nox.Session) -> None:
    """Any configuration: the one that --config or TEST_CONFIG names."""
    _act(session, None)


@nox.session(venv_backend="none", default=False)
def plan(session: nox.Session) -> None:
    """Show what a job would run, and run nothing."""
    _verb(session, show_plan)


@nox.session(venv_backend="none", default=False)
def explain(session: nox.Session) -> None:
    """Say why a job runs what it runs, and what another shard or build would change."""
    _verb(session, explain_job)


@nox.session(venv_backend="none", default=False)
def matrix(session: nox.Session) -> None:
    """Print the scheduled jobs, all or of one --workflow, for GitHub's fromJSON."""
    _verb(session, show_matrix)


@nox.session(venv_backend="none", default=False)
def parity(session: nox.Session) -> None:
    """Prove that the plans run what the checkout's own test.sh runs."""
    if code := _verb(session, show_parity, proof=True):
        _finish(code)


@nox.session(venv_backend="none", default=False)
def rollout(session: nox.Session) -> None:
    """Show what the records say of each phase, with verdicts; --apply takes one step."""
    if code := _verb(session, show_rollout):
        _finish(code)


@nox.session(venv_backend="none", default=False)
def dispatch(session: nox.Session) -> None:
    """Run the job named by TEST_CONFIG & co.: Python or shell, as the gate says."""
    set_up()
    try:
        options = parse_options(session.posargs, prog="nox -s dispatch --", added=False)
        code = dispatch_job(options, sys.stdout)
    except CiSessionsError as error:
        session.error(str(error))
    _finish(code)
