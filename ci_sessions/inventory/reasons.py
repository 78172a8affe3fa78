"""Why no job runs a test file, found in the checkout's own code and by asking it otherwise.

A file that run_test.py does not list is named in a blocklist, whose line and comment say why. For
any other, run_test.py is asked again without the options that leave out tests, and with each option
that selects others: what then changes is the reason.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ci_sessions.checkout.files import read_regular
from ci_sessions.inventory.facts import BuildFacts
from ci_sessions.inventory.selection import Question, Selection
from ci_sessions.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ci_sessions.inventory.jobs import JobInventory
    from ci_sessions.inventory.survey import Survey

__all__ = ["reasons"]

_FLAG = re.compile(r"--exclude-[\w-]+")
_STORE_TRUE = re.compile(r"""["'](--[\w-]+)["'],\s*action=["']store_true["']""")
_EXCLUDES = ("-x", "--exclude")
_NOT_SELECTING = ("--dry-run", "--verbose", "--exclude")
_IMPORT = re.compile(r"^\s*(?:from|import)\s+([\w.]+)", re.MULTILINE)
_MAX_SIZE = 4 << 20  # bytes of a test file
_MAX_NAMES = 4  # configurations named in a reason

Shape = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Blocked:
    """An entry of a blocklist: where it is, and the comment beside it."""

    text: str
    is_pattern: bool
    place: str
    comment: str

    def covers(self, file: str) -> bool:
        return file.startswith(self.text) if self.is_pattern else file == self.text

    @property
    def reason(self) -> str:
        why = f": {self.comment}" if self.comment else ""
        what = f"in the blocklist of tests ({self.place}{why})"
        return f'names that begin with "{self.text}" are {what}' if self.is_pattern else what


def reasons(files: Iterable[str], survey: Survey) -> dict[str, str]:
    """Return a sentence about each of these files, which no job of the survey runs."""
    blocked = [one for name in survey.tree.files for one in _blocklists(survey, name)]
    found = {
        file: one.reason
        for file in files
        if (one := next((one for one in blocked if one.covers(file)), None)) is not None
    }
    rest = [file for file in files if file not in found]
    if rest:
        found.update(_by_options(rest, survey))
    importers = _importers(files, survey)
    found.update({f: f"{found[f]}; {by} imports it" for f, by in importers.items()})
    # What another file imports may well run, so it comes last.
    return {file: found[file] for file in sorted(files, key=lambda file: file in importers)}


def _importers(files: Iterable[str], survey: Survey) -> dict[str, str]:
    """Return which of these files another one, which jobs run, imports."""
    modules = {file.replace("/", "."): file for file in files}
    run = {name for job in survey.jobs for name in job.files if "/" not in name}
    found: dict[str, str] = {}
    for name in sorted(run):
        try:
            text = read_regular(survey.root / "test" / f"{name}.py", _MAX_SIZE).decode("latin-1")
        except OSError:
            continue
        for module in _IMPORT.findall(text):
            if module in modules:
                found.setdefault(modules[module], name)
    return found


def _blocklists(survey: Survey, name: str) -> Iterator[_Blocked]:
    """Yield the entries of the lists that the file gives to ``discover_tests``."""
    text = survey.tree.files[name]
    if "discover_tests(" not in text or not name.endswith(".py"):
        return
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if not is_call or node.func.id != "discover_tests":  # type: ignore[attr-defined]
            continue
        for word in node.keywords:  # type: ignore[attr-defined]
            if word.arg in ("blocklisted_patterns", "blocklisted_tests"):
                for item in getattr(word.value, "elts", ()):
                    if isinstance(item, ast.Constant):
                        comment = lines[item.lineno - 1].partition("#")[2].strip()
                        is_pattern = word.arg == "blocklisted_patterns"
                        place = f"{name}:{item.lineno}"
                        yield _Blocked(str(item.value), is_pattern, place, comment)


def _by_options(files: Sequence[str], survey: Survey) -> dict[str, str]:
    found: dict[str, str] = {}
    named = _named_exclusions(survey.jobs)
    removed = _without_flags(survey)
    added = _with_flags(survey)
    for file in files:
        names = [f"--exclude {word}" for word in named if file.startswith(word)]
        by_flag = {flag: configs[file] for flag, configs in removed.items() if file in configs}
        options = [flag for flag, selected in added.items() if file in selected]
        if names:
            configs = {one for word in named if file.startswith(word) for one in named[word]}
            found[file] = f"left out by {' and '.join(names)} in {_some(configs)}"
        elif by_flag:
            found[file] = "; ".join(
                f"left out by {flag} in {_some(configs)}" for flag, configs in by_flag.items()
            )
        elif "" in options:
            found[file] = "run_test.py selects it without options, but those of no job do"
        elif options:
            found[file] = f"only {' or '.join(sorted(options))} selects it, which no job has"
        else:
            found[file] = "run_test.py does not list it"
    return found


def _some(configs: Iterable[str]) -> str:
    names = sorted(set(configs))
    more = len(names) - _MAX_NAMES
    shown = ", ".join(names[:_MAX_NAMES])
    return f"{shown} and {count(more, 'more configuration')}" if more > 0 else shown


def _named_exclusions(jobs: Iterable[JobInventory]) -> dict[str, set[str]]:
    """Return the files that commands exclude by name, each with the configurations."""
    found: dict[str, set[str]] = defaultdict(set)
    for job in jobs:
        for step in job.steps:
            is_value = False
            for word in step.question.argv if step.question else ():
                is_value = word in _EXCLUDES or (is_value and not word.startswith("-"))
                if is_value and word not in _EXCLUDES:
                    found[word].add(job.config)
    return found


def _without_flags(survey: Survey) -> dict[str, dict[str, set[str]]]:
    """Return which files each option leaves out: option → file → configurations."""
    variants: dict[tuple[str, str], tuple[Question, Question]] = {}
    for job in survey.jobs:
        for step in job.steps:
            flags = _FLAG.findall(" ".join(step.question.argv)) if step.question else []
            for flag in flags:
                if (
                    (flag, job.config) not in variants
                    and step.question
                    and flag not in step.unknown
                ):
                    whole = _without(step.question, "--shard", values=2)
                    variants[flag, job.config] = (whole, _without(whole, flag))
    answers = survey.ask([question for pair in variants.values() for question in pair])
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for (flag, config), (whole, other) in variants.items():
        before, after = answers[whole.key], answers[other.key]
        if isinstance(before, Selection) and isinstance(after, Selection):
            for file in after.files - before.files:
                found[flag][file].add(config)
    return found


def _without(question: Question, option: str, values: int = 0) -> Question:
    if option not in question.argv:
        return question
    at = question.argv.index(option)
    argv = (*question.argv[:at], *question.argv[at + 1 + values :])
    return replace(question, argv=argv)


def _with_flags(survey: Survey) -> dict[str, frozenset[str]]:
    """Return what run_test.py selects with each of its options alone, and without any."""
    flags = [one for one in _STORE_TRUE.findall(survey.tree.run_test) if one not in _NOT_SELECTING]
    steps = (step for job in survey.jobs for step in job.steps if step.question)
    first = next(steps, None)
    if first is None or first.question is None:
        return {}
    script = first.question.argv[0]
    env = {"PATH": "/usr/bin:/bin"}
    questions = {
        flag: Question(argv=(script, *([flag] if flag else [])), env=env, facts=BuildFacts())
        for flag in dict.fromkeys(["", *flags])
    }
    answers = survey.ask(list(questions.values()))
    found = {
        flag: answer.files
        for flag, question in questions.items()
        if isinstance(answer := answers[question.key], Selection)
    }
    plain = found.get("", frozenset())
    return {flag: files if not flag else files - plain for flag, files in found.items()}
