"""``where``: find the jobs that run a test, or those that run the tests that a change touches."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_sessions.cli.inventories import InventoryGroup, run_words, take_survey
from ci_sessions.cli.options import OptionParser, parse_options
from ci_sessions.errors import CheckoutError, InputError
from ci_sessions.inventory.reasons import reasons
from ci_sessions.inventory.selection import test_name
from ci_sessions.inventory.where import Target, find, parse_target
from ci_sessions.report.where import describe_where, repeat_command, where_to_json
from ci_sessions.run.process import capture_program
from ci_sessions.text import for_json, shorten, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ci_sessions.cli.options import Context
    from ci_sessions.inventory.survey import Survey
    from ci_sessions.inventory.where import Occurrence

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class WhereOptions(InventoryGroup):
    """The options of ``where``."""

    tests: tuple[str, ...] = ()
    since: str | None = None
    every: bool = False

    @classmethod
    def add_arguments(cls, parser: OptionParser, *, has_config: bool) -> None:
        """Add the options."""
        parser.add_argument(
            "tests",
            nargs="*",
            default=(),
            metavar="TEST",
            help="a test file (test_ops, test/test_ops.py), a case "
            "(test_ops.py::TestCommon::test_out), or a pattern ('distributed/*')",
        )
        parser.add_argument(
            "--since", metavar="REV", help="the test files that changed since a git revision"
        )
        parser.add_argument("--every", action="store_true", help="show long tables whole")


def main(argv: Sequence[str], context: Context) -> int:
    """Print which jobs run the tests."""
    options = parse_options(WhereOptions, _without_empty(argv), context)
    if not options.tests and options.since is None:
        raise InputError("no test is given: name one, such as test_ops, or use --since REV.")
    targets = [parse_target(text) for text in options.tests]
    with take_survey(options) as survey:
        return _show(targets, survey, options, context)


def _show(targets: list[Target], survey: Survey, options: WhereOptions, context: Context) -> int:
    if options.since is not None:
        changed = [Target(name) for name in _changed(survey.root, options.since)]
        if not changed:
            print(f"no test file has changed since {shown(options.since)}", file=context.out)
            return 0
        targets = [*targets, *changed]
    found = find(survey.jobs, targets)
    program = run_words(context, "where")
    commands = [
        repeat_command(one, program, _case_of(one, targets), options.checkout, survey.checkout)
        for one in found
    ]
    if options.json:
        data = context.redact.fields(where_to_json(found, commands))
        print(for_json(data, indent=1), file=context.out)
        return 0
    missing = _missing(targets, found, survey)
    text = describe_where(found, commands, len(survey.jobs), missing=missing, every=options.every)
    print(context.redact(text), file=context.out)
    return 0


def _without_empty(argv: Sequence[str]) -> Sequence[str]:
    """Return the arguments; an empty name of a test is an error with a name of its own."""
    if "" in argv:
        raise InputError("the test is empty: name one, such as test_ops.")
    return argv


def _case_of(one: Occurrence, targets: Sequence[Target]) -> str:
    return next((target.case for target in targets if target.matches(one.file)), "")


def _missing(
    targets: Sequence[Target], found: Sequence[Occurrence], survey: Survey
) -> dict[str, str]:
    """Return why no job runs the files that none runs. Raises InputError for unknown names."""
    run = {one.file for one in found}
    known = survey.tree.test_files
    unrun: list[str] = []
    for target in targets:
        names = [name for name in known if target.matches(name)]
        if not names and not any(target.matches(name) for name in run):
            close = difflib.get_close_matches(target.pattern, known, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "a pattern has a * in it."
            raise InputError(
                f"{shown(target.pattern)} is no test file of the checkout, and no job runs it: "
                f"{hint}"
            )
        unrun += [name for name in names if name not in run]
    return reasons(list(dict.fromkeys(unrun)), survey)


def _changed(root: Path, revision: str) -> list[str]:
    """Return the test files that differ from a revision. Raises CheckoutError without git."""
    if revision.startswith("-"):
        raise InputError(f"--since is {shown(revision)}: use a git revision, such as HEAD~1.")
    argv = ["git", "-C", str(root), "diff", "--name-only", "-z", revision, "--", "test"]
    done = capture_program(argv)
    if done.code:
        raise CheckoutError(f"--since {shorten(revision)}: git says {shown(done.stderr)}.")
    names = done.stdout.decode(errors="replace").split("\0")
    return [
        test_name(name)
        for name in names
        if name.endswith(".py") and name.rpartition("/")[2].startswith("test_")
    ]
