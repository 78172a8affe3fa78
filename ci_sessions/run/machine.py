"""Values that a plan leaves open, looked up on this machine: places, answers, devices."""

from __future__ import annotations

import glob
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.checkout.files import read_regular
from ci_sessions.errors import CheckoutError, InternalError, MissingToolError
from ci_sessions.log import logger
from ci_sessions.plan.placeholders import Kind, Piece, names_in, parse, render, substitute
from ci_sessions.plan.shell import bash_argv, quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.plan.facts import Condition, Executables, Question
    from ci_sessions.plan.plan import DeviceNeed, Plan
    from ci_sessions.plan.step import Step, Variables
    from ci_sessions.run.process import ShellOutput
    from ci_sessions.run.signals import Signals

__all__ = ["Machine", "check_scripts", "count_devices"]

_LOCATE_TORCH = (
    'cd / && python -c \'import importlib.util as u, os, site; s = u.find_spec("torch"); '
    "print(os.path.dirname(os.path.dirname(s.origin)) if s and s.origin "
    "else site.getsitepackages()[0])'"
)
_PLACE_NAME = re.compile(r"\$(ROOT|SITE|TMP|SHIMS)\b")


@dataclass(slots=True)
class Machine:
    """Looks up values and caches them. Questions run in the environment ``variables``.

    ``signals`` can interrupt a question.
    """

    root: Path
    variables: Mapping[str, str]
    questions: Mapping[str, Question] = field(default_factory=lambda: MappingProxyType({}))
    signals: Signals | None = None
    _cache: dict[str, str] = field(default_factory=dict)

    def place(self, name: str) -> str:
        """Return the path of a folder (ROOT, SITE, HOME, TMP, SHIMS), or PATH."""
        if name not in self._cache:
            self._cache[name] = self._find_place(name)
        return self._cache[name]

    def _find_place(self, name: str) -> str:
        if name == "ROOT":
            return str(self.root)
        if name == "SITE":
            from ci_sessions.run import process  # noqa: PLC0415 - as for _run_shell

            found = process.capture(
                _LOCATE_TORCH, cwd=self.root, env=self.variables, signals=self.signals
            )
            return found.text or "$SITE"
        if name == "SHIMS":
            python = shutil.which("python", path=self.variables.get("PATH"))
            return str(Path(python).parent) if python else "$SHIMS"
        if name == "TMP":
            import tempfile  # noqa: PLC0415 - slow to import, and few plans need it

            return tempfile.gettempdir()
        return self.variables.get(name, f"${name}")  # HOME, PATH

    @property
    def random(self) -> str:
        """Eight random letters, the same for the whole run."""
        if "random" not in self._cache:
            import secrets  # noqa: PLC0415 - slow to import, and few plans need them
            import string  # noqa: PLC0415

            self._cache["random"] = "".join(secrets.choice(string.ascii_letters) for _ in range(8))
        return self._cache["random"]

    def pin(self, name: str) -> str | None:
        """Return the commit that the checkout pins a project to, or None."""
        try:
            return read_regular(self._pin_file(name)).decode(errors="replace").strip()
        except OSError:
            return None

    def _pin_file(self, name: str) -> Path:
        return self.root / ".github" / "ci_commit_pins" / f"{name}.txt"

    def answer(self, name: str) -> str:
        """Return the answer to a question. Raises InternalError if a needed one has no answer."""
        key = f"ask:{name}"
        if key not in self._cache:
            from ci_sessions.run.process import TIMED_OUT  # noqa: PLC0415 - as for _run_shell

            question = self.questions[name]
            output = self._run_shell(question.line)
            if output.code == TIMED_OUT or (output.code and question.is_needed):
                raise InternalError(
                    f"no answer to {name!r}: exit code {output.code} from: {question.line}"
                )
            logger.debug("the answer to %s is %r", name, output.text)
            self._cache[key] = output.text
        return self._cache[key]

    def evaluate(self, condition: Condition) -> bool:
        """Return whether a condition is met. The result is cached only if it is fixed."""
        key = f"if:{condition.name}"
        if not condition.is_fixed or key not in self._cache:
            code = self._run_shell(condition.line).code
            logger.debug("%s: %s", condition.description, "no" if code else "yes")
            self._cache[key] = "" if code else "yes"
        return bool(self._cache[key])

    def _run_shell(self, line: str) -> ShellOutput:
        """Run a line of shell, with the places in it set as variables."""
        from ci_sessions.run import process  # noqa: PLC0415 - slow to import; a plan starts nothing

        places = {name: self.place(name) for name in _PLACE_NAME.findall(line)}
        env = {**self.variables, **places}
        return process.capture(line, cwd=self.root, env=env, signals=self.signals)

    def find_executables(self, executables: Executables, cwd: str) -> list[str]:
        """Return the executables that exist, as paths relative to ``cwd`` (a template)."""
        folder = self.root / self.render(cwd)
        paths = [
            pattern[: pattern.rindex("/") + 1] + path.name
            for pattern in executables.patterns
            for path in sorted(folder.glob(pattern.removeprefix("./")))
            if path.is_file() and path.stat().st_mode & 0o111 and path.suffix not in (".so", ".a")
        ]
        return list(dict.fromkeys(paths))

    # --- templates

    def resolve(self, piece: Piece) -> str | None:
        """Return the value of a piece, or None for a question."""
        match piece.kind:
            case Kind.PLACE:
                return self.place(piece.name)
            case Kind.PIN:
                return self.pin(piece.name)
            case Kind.RANDOM:
                return self.random
            case _:
                return None

    def resolve_pin(self, piece: Piece) -> str | None:
        """Return a pinned commit, and None for everything else: a dry run shows the other names."""
        return self.pin(piece.name) if piece.kind is Kind.PIN else None

    def fill_step(self, step: Step) -> Step:
        """Return a step with everything filled in except the answers to questions."""
        return step.mapped(lambda template: substitute(template, self.resolve))

    def render(self, template: str) -> str:
        """Return a template with everything filled in; this may run questions."""
        return render(template, self._value)

    def _value(self, piece: Piece) -> str:
        if piece.kind is Kind.QUESTION:
            return self.answer(piece.name)
        if piece.kind is Kind.WILDCARD:
            return "*"
        found = self.resolve(piece)
        if found is None:
            raise CheckoutError(
                f"the checkout does not pin {piece.name}: {self._pin_file(piece.name)} is missing."
            )
        return found

    def _text(self, piece: Piece) -> str:
        return piece.name if piece.kind is Kind.TEXT else self._value(piece)

    def argv(self, step: Step, *, env_file: str = "") -> tuple[str, ...]:
        """Return the arguments of a step, with everything filled in and wildcards expanded.

        ``env_file`` is the file to which a shell step writes its environment.
        """
        command = step.command
        in_bash = bash_argv(command, self.render, env_file=env_file)
        if in_bash is not None:
            return in_bash
        argv: list[str] = []
        for template in command.argv:
            asked = names_in(template, Kind.QUESTION)
            if asked and self.questions[asked[0]].is_list:
                argv += self.answer(asked[0]).split()
            else:  # as in a shell, a pattern that matches no file is passed on unchanged
                argv += self._matches(template, step.cwd) or [self.render(template)]
        return tuple(argv)

    def unmatched(self, step: Step) -> str | None:
        """Return the first argument with a wildcard that matches no file, or None."""
        for template in step.argv:
            is_pattern = bool(names_in(template, Kind.WILDCARD))
            if is_pattern and not self._matches(template, step.cwd):
                return self.render(template)
        return None

    def _matches(self, template: str, cwd: str) -> list[str]:
        """Return the files that a template with wildcards matches; none for another template."""
        if not names_in(template, Kind.WILDCARD):
            return []
        pattern = "".join(
            "*" if piece.kind is Kind.WILDCARD else glob.escape(self._text(piece))
            for piece in parse(template)
        )
        base = self.root / self.render(cwd)
        return sorted(glob.glob(pattern, root_dir=base))  # noqa: PTH207 - Path.glob rejects absolute patterns

    def environment(
        self, plan_env: Variables, exports: Mapping[str, str | None], step_env: Variables
    ) -> dict[str, str]:
        """Return the environment of a step; None removes a variable.

        The variables of the plan override the caller's, the ``exports`` of earlier steps override
        these, and the variables of the step override all. ``exports`` are plain strings, the others
        are templates. If an optional question has no answer, its variable does not change.
        """
        merged = dict(self.variables)
        for layer, is_template in ((plan_env, True), (exports, False), (step_env, True)):
            for name, value in layer.items():
                if value is None:
                    merged.pop(name, None)
                    continue
                text = self.render(value) if is_template else value
                if text or not is_template or not self._is_optional(value):
                    merged[name] = text
        return merged

    def describe_environment(self, step: Step, env: Mapping[str, str]) -> str:
        """Return a step's folder, and how its environment differs from the caller's."""
        old = self.variables
        changed = sorted(name for name in {*old, *env} if old.get(name) != env.get(name))
        words = [f"{name}={quote(env[name])}" if name in env else f"-u {name}" for name in changed]
        folder = self.root / self.render(step.cwd)
        return f"in {folder}, with {' '.join(words) or 'no changed variable'}"

    def _is_optional(self, template: str) -> bool:
        names = names_in(template, Kind.QUESTION)
        return any(self.questions[name].is_optional for name in names)

    def require(self, *programs: str) -> None:
        """Raise MissingToolError for the first program that is not on PATH."""
        for name in programs:
            if shutil.which(name, path=self.variables.get("PATH")) is None:
                raise MissingToolError(
                    f"{name} is not on PATH, but the job needs it: install it, or activate the "
                    "environment that has it."
                )


def count_devices(need: DeviceNeed, dev: Path = Path("/dev")) -> int:
    """Return how many devices of a kind this machine has, by counting their device files."""
    if not need.files or (need.requires and not (dev / need.requires).exists()):
        return 0
    return len(list(dev.glob(need.files)))


def check_scripts(plan: Plan, root: Path) -> None:
    """Raise CheckoutError if a test's script is missing from the checkout."""
    for test in plan.tests:
        steps: Sequence[Step] = () if test.skipped else test.steps
        for step in steps:
            script = next((word for word in step.argv if word.startswith("test/run_test")), None)
            if script and not (root / script).is_file():
                raise CheckoutError(
                    f"{root} has no {script}, which {test.name} runs: pass another checkout with "
                    "--checkout."
                )
