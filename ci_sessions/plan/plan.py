"""What a job runs, as values: a Plan of Tests of Steps. Building one starts and writes nothing.

A dry run prints a Plan and a run executes the same Plan, so neither can say what the other does
not do. ``to_dict`` is the full JSON; ``trace_line`` the form that the referee of the recorded
traces reads.
"""

from __future__ import annotations

import dataclasses
import enum
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ci_sessions.errors import InputError
from ci_sessions.plan.placeholders import (
    CONDITIONS,
    GLOBS,
    QUESTIONS,
    as_shell_word,
    questions_in,
    recorded,
    split_list_questions,
)

if TYPE_CHECKING:
    from ci_sessions.job.job import Job

__all__ = [
    "Expect",
    "Export",
    "Kind",
    "Plan",
    "Step",
    "Test",
    "plan_of",
]

FORMAT = 1
Variables = Mapping[str, "str | None"]


class Kind(str, enum.Enum):
    """What a step is for. The names are those of the recorded traces."""

    TEST = "test"
    INSTALL = "install"
    HELPER = "helper"
    PREFLIGHT = "preflight"
    SOURCE = "source"
    FILE = "file"
    PROBE = "probe"

    def __str__(self) -> str:
        return self.value


class Expect(str, enum.Enum):
    """What makes a step good."""

    SUCCESS = "success"
    FAILURE = "failure"  # a crash that proves the sanitizer works
    ANYTHING = "anything"  # the script's `|| true`
    CLEAN_CHECKOUT = "clean checkout"  # the script's assert_git_not_dirty
    NO_OUTPUT = "no output"  # a guard: anything that it prints is a reason to stop

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command. ``env`` adds to the plan's; a None value removes the variable.

    ``when`` names a condition of ``tokens.CONDITIONS``, ``each`` a set of executables of
    ``tokens.GLOBS``: the step runs once for each that is found, whose path takes the place of
    ``{}`` and whose name that of ``{name}``. ``always``: runs at
    the end of its test whatever happened. ``holds``: its failure counts only after the next step
    has run too. ``output``: a text that must stand in what it prints. ``retry``: seconds to wait
    before each further try. ``keeps_env``: what it exports holds for the steps after it.
    ``expands``: wildcards in argv are file patterns. ``sources``: shell files to read first;
    ``writes``: the file that takes a shell function's output. ``verdict``: a good exit code is not
    enough, its output is judged, and judged again on further runs (``run/verdicts.py``).
    """

    kind: Kind
    argv: tuple[str, ...]
    cwd: str = "."
    env: Variables = field(default_factory=dict)
    expect: Expect = Expect.SUCCESS
    output: str | None = None
    when: str | None = None
    each: str | None = None
    retry: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()
    writes: str | None = None
    verdict: Literal["unbacked parity"] | None = None
    always: bool = False
    holds: bool = False
    keeps_env: bool = False
    expands: bool = False
    skipped: str | None = None

    def __post_init__(self) -> None:
        """Check at the door what would fail late."""
        if not isinstance(self.argv, tuple) or not self.argv:
            raise TypeError(f"argv must be a sequence of words, but was {self.argv!r}.")
        if self.when is not None and self.when not in CONDITIONS:
            raise KeyError(f"no condition is called {self.when!r}")
        if self.each is not None and self.each not in GLOBS:
            raise KeyError(f"no executables are called {self.each!r}")

    def for_each(self, path: str) -> Step:
        """Return the step for one of the executables that it runs for."""
        name = path.rpartition("/")[2]
        argv = tuple(word.replace("{}", path).replace("{name}", name) for word in self.argv)
        return dataclasses.replace(self, argv=argv, each=None)

    @property
    def is_test(self) -> bool:
        """Tell whether the step itself tests: also a sourced script or another project's runner."""
        is_script = self.kind is Kind.SOURCE and not self.keeps_env
        return self.kind is Kind.TEST or is_script or self.argv[0] == "run_torch_xla_tests"

    @property
    def command(self) -> tuple[str, ...]:
        """The argv that is executed: shell functions and sourced files go through bash."""
        if self.kind is Kind.HELPER:
            read = "".join(f". {file}; " for file in self.sources)
            call = shlex.join(self.argv) + (f" > {self.writes}" if self.writes else "")
            return ("bash", "-c", f"{read}set -e -o pipefail; {call}")
        if self.argv[0] == "source":
            return ("bash", "-c", 'set -e -o pipefail; . "$@"', "bash", *self.argv[1:])
        return self.argv

    def as_shell(self) -> str:
        """Return the command for a shell, without its folder and environment."""
        words = (as_shell_word(word, is_pattern=self.expands) for word in self.command)
        return " ".join(words)

    def questions(self) -> tuple[str, ...]:
        """Name the questions that the step asks of the machine."""
        texts = (*self.argv, self.cwd, *(value for value in self.env.values() if value))
        return tuple(name for text in texts for name in questions_in(text))


@dataclass(frozen=True, slots=True)
class Export:
    """In a test's steps: from here on, these variables are set. A value may use ``{NAME}``.

    ``{NAME}`` stands for what the variable NAME held until now, so ``{LD_PRELOAD}`` in a new
    LD_PRELOAD prepends to it.
    """

    values: Variables


Item = Step | Export


@dataclass(frozen=True, kw_only=True, slots=True)
class Test:
    """A named part of a configuration.

    ``replaces`` names test.sh's functions; a test with none is ``added`` here. ``skipped`` is the
    reason why the steps are shown but not run.
    """

    __test__ = False  # pytest collects classes called Test*

    name: str
    items: tuple[Item, ...]
    replaces: tuple[str, ...] = ()
    skipped: str | None = None

    @property
    def origin(self) -> Literal["test.sh", "added"]:
        """Whether the script has this test."""
        return "test.sh" if self.replaces else "added"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The commands, in order."""
        return tuple(item for item in self.items if isinstance(item, Step))


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that a job runs. ``env`` holds for each step; ``setup`` precedes and ``cleanup`` ends it.

    ``row``, ``suite``, ``phase`` say which row of the dispatch table decided. ``notices`` are
    sentences a reader must see, such as a deliberate difference from the script.
    """

    job: Job
    row: str
    suite: str
    phase: str
    env: Variables
    setup: tuple[Step, ...]
    tests: tuple[Test, ...]
    cleanup: tuple[Step, ...] = ()
    devices: int = 0
    notices: tuple[str, ...] = ()

    @property
    def drops_core_dumps(self) -> bool:
        """Tell whether core dumps are off: a run that outlives crashes must not fill the disk."""
        return self.job.keep_going or self.job.rerun_disabled

    @property
    def has_tests(self) -> bool:
        """Tell whether anything would be tested; a plan without a test is never run green."""
        return any(
            step.is_test and step.skipped is None
            for test in self.tests
            if test.skipped is None
            for step in test.steps
        )

    def step_id(self, test: Test | None, number: int) -> str:
        """Return a step's stable name, such as ``jit_legacy.test_jit_legacy.1``."""
        return f"{self.job.config}.{test.name if test else 'setup'}.{number}"

    def select(self, names: Iterable[str], step: int | None = None) -> Plan:
        """Keep the named tests, and of those one step. Raises InputError on a name it lacks."""
        wanted = list(dict.fromkeys(names))
        known = [test.name for test in self.tests]
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise InputError(
                *(
                    f"--test is {name!r}, but {self.job.config} has no such test: "
                    f"choose from {', '.join(known)}."
                    for name in unknown
                )
            )
        tests = tuple(test for test in self.tests if not wanted or test.name in wanted)
        if step is not None:
            tests = (_only_step(tests, step),)
        return dataclasses.replace(self, tests=tests)

    def without_added(self) -> Plan:
        """Leave out the tests that test.sh does not have."""
        kept = tuple(test for test in self.tests if test.origin == "test.sh")
        return dataclasses.replace(self, tests=kept)

    def to_dict(self) -> dict[str, object]:
        """Return the whole plan as JSON values."""
        return {
            "format": FORMAT,
            "job": job_dict(self.job),
            "row": self.row,
            "suite": self.suite,
            "phase": self.phase,
            "devices": self.devices,
            "notices": list(self.notices),
            "env": dict(self.env),
            "setup": [_step_dict(step) for step in self.setup],
            "tests": [
                {
                    "name": test.name,
                    "origin": test.origin,
                    "replaces": list(test.replaces),
                    "skipped": test.skipped,
                    "steps": [
                        {"id": self.step_id(test, number), **_step_dict(step)}
                        for number, step in enumerate(test.steps, 1)
                    ],
                }
                for test in self.tests
            ],
            "cleanup": [_step_dict(step) for step in self.cleanup],
        }

    def trace_line(self, job: Mapping[str, object]) -> dict[str, object]:
        """Return the plan as the referee reads it, answered as on the recording machine.

        The set-up belongs to no test, so its steps stand in an entry of their own.
        """
        entries = [
            {"name": "setup", "origin": "test.sh", "skipped": None, "steps": _recorded(self.setup)},
            *(
                {
                    "name": test.name,
                    "origin": test.origin,
                    "skipped": test.skipped,
                    "steps": _recorded(test.steps),
                }
                for test in self.tests
            ),
        ]
        env = {name: recorded(value) for name, value in self.env.items() if value is not None}
        return {"job": dict(job), "env": env, "tests": entries}


def job_dict(job: Job) -> dict[str, object]:
    """Return the facts that name a job, as the traces write them."""
    return {
        "id": job.id,
        "config": job.config,
        "build_environment": job.build.label,
        "shard": job.shard.number,
        "num_shards": job.shard.total,
    }


def plan_of(  # noqa: PLR0913 - a plan has this many facts, each named by its caller
    job: Job,
    *,
    row: str,
    suite: str,
    phase: str,
    env: Variables,
    setup: Iterable[Step],
    tests: Iterable[Test],
    cleanup: Iterable[Step] = (),
    devices: int = 0,
    notices: Iterable[str] = (),
) -> Plan:
    """Assemble a plan: each test's exports become the environment of the steps that follow."""
    start = dict(job.inherited) | dict(env)
    return Plan(
        job=job,
        row=row,
        suite=suite,
        phase=phase,
        env=env,
        setup=tuple(setup),
        tests=tuple(_carry_exports(tests, start)),
        cleanup=tuple(cleanup),
        devices=devices,
        notices=tuple(notices),
    )


def _carry_exports(tests: Iterable[Test], start: Variables) -> Iterator[Test]:
    """Fold exports into the steps after them, over the tests that replace the script's.

    A test that was added here sees the exports so far, and leaves none: it must not change what
    the script's own tests see.
    """
    carried: dict[str, str | None] = {}
    for test in tests:
        own = dict(carried)
        steps: list[Step] = []
        for item in test.items:
            if isinstance(item, Export):
                now = {**start, **own}
                own.update({k: _expand(v, now) for k, v in item.values.items()})
            else:
                is_plain = item.kind in (Kind.FILE, Kind.PROBE)  # ln and git look at none of it
                env = item.env if is_plain else {**own, **item.env}
                steps.append(dataclasses.replace(item, env=env))
        if test.origin == "test.sh":
            carried = own
        yield dataclasses.replace(test, items=tuple(steps))


def _expand(value: str | None, now: Variables) -> str | None:
    if value is None:
        return None
    for name, held in now.items():
        value = value.replace("{" + name + "}", held or "")
    for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "PATH"):
        value = value.replace("{" + name + "}", "" if name != "PATH" else "$PATH")
    return value


def _only_step(tests: tuple[Test, ...], number: int) -> Test:
    if len(tests) != 1:
        names = ", ".join(test.name for test in tests)
        raise InputError(f"--step is {number}, but of which test: add --test, one of {names}.")
    test = tests[0]
    if not 1 <= number <= len(test.steps):
        raise InputError(
            f"--step is {number}, but {test.name} has steps 1 to {len(test.steps)}: "
            "a dry run lists them."
        )
    return dataclasses.replace(test, items=(test.steps[number - 1],))


def _step_dict(step: Step) -> dict[str, object]:
    """Return a step as JSON values; what is at its default is left out, but for the first four."""
    always = {"kind": str(step.kind), "argv": list(step.argv), "cwd": step.cwd, "env": step.env}
    extra: dict[str, object] = {}
    for item in dataclasses.fields(step):
        value = getattr(step, item.name)
        if item.name in always or value in (None, (), False, Expect.SUCCESS):
            continue
        extra[item.name] = list(value) if isinstance(value, tuple) else value
    if step.when:
        extra["when"] = {"means": step.when, "shell": CONDITIONS[step.when].shell}
    asked = {name: QUESTIONS[name].shell for name in dict.fromkeys(step.questions())}
    if asked:
        extra["asks"] = asked
    if step.command != step.argv:
        extra["command"] = list(step.command)
    return {**always, **extra, "shell": shell_line(step)}


def command_line(step: Step) -> str:
    """Return a step as one line for a shell in the root, folder and variables included."""
    unset = [word for name, value in step.env.items() if value is None for word in ("-u", name)]
    sets = [
        f"{name}={as_shell_word(value)}" for name, value in step.env.items() if value is not None
    ]
    env = shlex.join(["env", *unset]) + " " if unset else ""
    words = " ".join([*sets, step.as_shell()])
    line = env + words
    return line if step.cwd == "." else f"(cd {as_shell_word(step.cwd)} && {line})"


def shell_line(step: Step) -> str:
    """Return a step as a shell would run it: guarded, repeated and judged as the step says.

    A step that is not run is a comment. What only this tool judges (a clean checkout, a text in
    the output) is not in the line.
    """
    line = _in_this_shell(step) if step.keeps_env else command_line(step)
    if step.each:
        line = _for_each(step)
    if step.expect is Expect.FAILURE:
        line = f"if {line}; then echo 'this was expected to fail'; exit 1; fi"
    elif step.expect is Expect.ANYTHING:
        line = f"{line} || true"
    if step.when:
        line = f"if {CONDITIONS[step.when].shell}; then {line}; fi"
    return f"# {line}" if step.skipped else line


def _in_this_shell(step: Step) -> str:
    """Return a sourced file or shell function so that what it exports holds for the next lines."""
    if step.kind is Kind.HELPER:
        files = "".join(f". {as_shell_word(file)}; " for file in step.sources)
        call = " ".join(map(as_shell_word, step.argv))
        line = files + call + (f" > {as_shell_word(step.writes)}" if step.writes else "")
    else:
        line = " ".join([".", *map(as_shell_word, step.argv[1:])])
    if step.cwd != ".":
        line = f"pushd {as_shell_word(step.cwd)} >/dev/null; {line}; popd >/dev/null"
    return line


def _for_each(step: Step) -> str:
    patterns = " ".join(GLOBS[step.each].patterns) if step.each else ""
    folder = "." if step.cwd == "." else as_shell_word(step.cwd)
    words = (word.replace("{}", "$each").replace("{name}", "${each##*/}") for word in step.argv)
    sets = [f"{name}={as_shell_word(value)} " for name, value in step.env.items() if value]
    run = "".join(sets) + " ".join(f'"{word}"' for word in words)
    return f"(cd {folder} && for each in {patterns}; do [ ! -x $each ] || {run}; done)"


def _recorded(steps: Iterable[Step]) -> list[dict[str, object]]:
    def answer(name: str) -> str:
        return QUESTIONS[name].recorded

    ran = (
        one
        for step in steps
        if step.skipped is None and (step.when is None or CONDITIONS[step.when].recorded)
        for one in (
            [step.for_each(path) for path in GLOBS[step.each].recorded] if step.each else [step]
        )
    )
    return [
        {
            "kind": str(step.kind),
            "argv": [recorded(word) for word in split_list_questions(step.argv, answer)],
            "cwd": recorded(step.cwd),
            "env": {k: recorded(v) for k, v in step.env.items() if v is not None},
        }
        for step in ran
    ]
