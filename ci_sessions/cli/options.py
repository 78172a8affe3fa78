"""The options that follow ``--`` in nox, and ``plan`` and ``run`` in ``python -m ci_sessions``."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from ci_sessions.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Options", "parse_options", "seconds"]

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What was asked for. Times are in seconds; None is "not said"."""

    config: str | None = None
    dry_run: bool = False
    json: bool = False
    shell: bool = False
    jobs: str | None = None
    checkout: str | None = None
    build_environment: str | None = None
    shard: str | None = None
    test: tuple[str, ...] = ()
    step: int | None = None
    keep_going: bool = False
    timeout: float | None = None
    step_timeout: float | None = None
    hardware_check: bool = True
    added: bool = True
    keep_days: int | None = None
    rollout: str | None = None
    apply: bool = False
    install: bool = True
    records: str | None = None
    workflow: str | None = None
    since: str | None = None
    differences: str | None = None
    profile: str | None = None
    markdown: bool = False
    trace: bool = False
    cache: bool = True
    workers: int = 0
    show: int = 20


class _Parser(argparse.ArgumentParser):
    """An argument parser whose faults are the house's errors."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}: {self.prog} --help lists the options.")


def seconds(text: str) -> float:
    """Read a time limit: ``90``, ``90s``, ``15m``, ``2h``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", text.strip())
    if match is None or float(match[1]) <= 0:
        raise InputError(f"a time limit is {text!r}: give seconds, or 15m or 2h.")
    return float(match[1]) * _UNITS[match[2] or ""]


def _parser(prog: str, *, named: bool, added: bool, proof: bool) -> _Parser:
    parser = _Parser(prog=prog, allow_abbrev=False, description=__doc__)
    add = parser.add_argument
    if not named:
        add("config", nargs="?", help="the configuration; else TEST_CONFIG")
        add("--config", dest="config_option", metavar="NAME", help="the same")
        add("--rollout", metavar="FILE", help="the roll-out file (else the one that is shipped)")
        add("--apply", action="store_true", help="rollout: change the file by one step")
        add("--workflow", metavar="NAME", help="the jobs of this workflow, such as pull.yml")
        add("--jobs", metavar="FILE", help="each job of a JSON Lines file (- for stdin)")
    if proof:
        _add_parity(add)
    add("--dry-run", action="store_true", help="show what would run; run and install nothing")
    add("--shell", action="store_true", help="print the dry run as a bash script")
    add("--json", action="store_true", help="print JSON on standard output")
    add(
        "--checkout", metavar="DIR", help="the PyTorch tree (else the one around here, or a sample)"
    )
    add("--build-environment", metavar="LABEL", help="else BUILD_ENVIRONMENT, or this machine")
    add("--shard", metavar="N/M", help="else SHARD_NUMBER and NUM_TEST_SHARDS")
    add("--test", action="append", default=[], metavar="NAME", help="only this test (repeatable)")
    add("--step", type=int, metavar="N", help="only this step of the one test named")
    add("--keep-going", action="store_true", help="run the rest after a failure")
    add("--timeout", metavar="TIME", help="limit of the job: 90, 15m, 2h")
    add("--step-timeout", metavar="TIME", help="limit of each step")
    add("--no-hardware-check", dest="hardware_check", action="store_false")
    add("--no-added", dest="added", action="store_false", help="only what test.sh has")
    add("--added", dest="added", action="store_true", help="also tests that test.sh lacks")
    parser.set_defaults(added=added)
    add("--no-install", dest="install", action="store_false", help="skip installs")
    add("--keep-days", type=int, metavar="N", help="remove records older than N days first")
    add("--records", metavar="DIR", help="where records go (else .ci-sessions)")
    return parser


def _add_parity(add: Callable[..., object]) -> None:
    add("--since", metavar="REV", help="compare the script with itself at a git revision")
    add("--differences", metavar="FILE", help="the named differences (else those shipped)")
    add("--profile", metavar="FILE", help="what the script is told of its machine")
    add("--markdown", action="store_true", help="print Markdown, for a pull request")
    add("--trace", action="store_true", help="print the recordings, a JSON line each")
    add("--no-cache", dest="cache", action="store_false", help="trace again what was traced")
    add("--workers", type=int, default=0, metavar="N", help="traces at once (else one a processor)")
    add("--show", type=int, default=20, metavar="N", help="ways to differ that are shown")


def parse_options(
    words: Sequence[str],
    *,
    prog: str = "ci",
    config: str | None = None,
    added: bool = True,
    proof: bool = False,
) -> Options:
    """Parse options; with ``config``, it is given and cannot be said again.

    ``added``: whether tests that test.sh lacks run unless told otherwise; not where a command
    stands in for the script. ``proof``: whether the options of ``parity`` are known.
    """
    parser = _parser(prog, named=config is not None, added=added, proof=proof)
    parsed = vars(parser.parse_args(list(words)))
    option = parsed.pop("config_option", None)
    parsed["config"] = config or option or parsed.get("config")
    parsed["test"] = tuple(parsed["test"])
    for name in ("timeout", "step_timeout"):
        if parsed[name] is not None:
            parsed[name] = seconds(parsed[name])
    if parsed["step"] is not None and len(parsed["test"]) != 1:
        raise InputError("--step names a step of one test: add --test NAME.")
    return Options(**parsed)
