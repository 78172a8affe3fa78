"""The machine's answers to what a plan leaves open: places, questions, conditions, devices."""

from __future__ import annotations

import glob
import re
import secrets
import shutil
import string
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci_sessions.errors import CheckoutError, InternalError, MissingToolError
from ci_sessions.plan.placeholders import Kind, Piece, names_in, parse, render, substitute
from ci_sessions.plan.shell import bash_words
from ci_sessions.plan.step import Program
from ci_sessions.run import process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_sessions.plan.facts import Condition, Executables, Question
    from ci_sessions.plan.plan import DeviceNeed, Plan
    from ci_sessions.plan.step import Step, Variables

__all__ = ["Machine", "check_scripts", "count_devices"]

_LOCATE_TORCH = (
    'cd / && python -c \'import importlib.util as u, os, site; s = u.find_spec("torch"); '
    "print(os.path.dirname(os.path.dirname(s.origin)) if s and s.origin "
    "else site.getsitepackages()[0])'"
)
_PLACE = re.compile(r"\$(ROOT|SITE|TMP|SHIMS)\b")
_WILDCARD = re.compile(r"[*?]")


@dataclass(slots=True)
class Machine:
    """Asks each thing once and remembers. Questions run in the environment ``variables``."""

    root: Path
    variables: Mapping[str, str]
    questions: Mapping[str, Question] = field(default_factory=lambda: MappingProxyType({}))
    _known: dict[str, str] = field(default_factory=dict)

    def place(self, name: str) -> str:
        """Return a folder (ROOT, SITE, HOME, TMP, SHIMS), or the search PATH."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> str:
        if name == "ROOT":
            return str(self.root)
        if name == "SITE":
            found = process.capture(_LOCATE_TORCH, cwd=self.root, env=self.variables)
            return found.text or "$SITE"
        if name == "SHIMS":
            python = shutil.which("python", path=self.variables.get("PATH"))
            return str(Path(python).parent) if python else "$SHIMS"
        if name == "TMP":
            return tempfile.gettempdir()
        return self.variables.get(name, f"${name}")  # HOME, PATH

    @property
    def random(self) -> str:
        """Eight letters, the same all run."""
        if "random" not in self._known:
            self._known["random"] = "".join(secrets.choice(string.ascii_letters) for _ in range(8))
        return self._known["random"]

    def pin(self, name: str) -> str | None:
        """Return the commit that the checkout pins a project to, if it does."""
        path = self.root / ".github" / "ci_commit_pins" / f"{name}.txt"
        try:
            return path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None  # a step that needs it fails by name

    def answer(self, name: str) -> str:
        """Ask a question. Raises InternalError where there is no answer and there must be one."""
        key = f"ask:{name}"
        if key not in self._known:
            question = self.questions[name]
            asked = self._shell(question.line)
            if asked.code == process.TIMED_OUT or (asked.code and question.is_needed):
                raise InternalError(f"no answer to {name!r} (exit {asked.code}): {question.line}")
            self._known[key] = asked.text
        return self._known[key]

    def holds(self, condition: Condition) -> bool:
        """Evaluate a condition: anew, unless it cannot change."""
        key = f"if:{condition.name}"
        if not condition.is_fixed or key not in self._known:
            self._known[key] = "" if self._shell(condition.line).code else "yes"
        return bool(self._known[key])

    def _shell(self, line: str) -> process.Captured:
        """Run a line of shell that finds the places which it names as variables."""
        places = {name: self.place(name) for name in _PLACE.findall(line)}
        return process.capture(line, cwd=self.root, env={**self.variables, **places})

    def found(self, executables: Executables, cwd: str) -> list[str]:
        """List executables that are there, as paths from the step's folder (a template)."""
        folder = self.root / self.render(cwd)
        paths = [
            pattern[: pattern.rindex("/") + 1] + path.name
            for pattern in executables.patterns
            for path in sorted(folder.glob(pattern.removeprefix("./")))
            if path.is_file() and path.stat().st_mode & 0o111 and path.suffix not in (".so", ".a")
        ]
        return list(dict.fromkeys(paths))

    # --- templates

    def known(self, piece: Piece) -> str | None:
        """Return what is known of a piece without asking a question."""
        match piece.kind:
            case Kind.PLACE:
                return self.place(piece.name)
            case Kind.PIN:
                return self.pin(piece.name)
            case Kind.RANDOM:
                return self.random
            case _:
                return None

    def pinned(self, piece: Piece) -> str | None:
        """Return a pinned commit, and leave all else open: for people, who know places by name."""
        return self.pin(piece.name) if piece.kind is Kind.PIN else None

    def placed(self, step: Step) -> Step:
        """Return a step with all filled in that is known without a question."""
        return step.mapped(lambda template: substitute(template, self.known))

    def render(self, template: str) -> str:
        """Return the plain text of a template, asking what it asks."""
        return render(template, self._value)

    def _value(self, piece: Piece) -> str:
        if piece.kind is Kind.QUESTION:
            return self.answer(piece.name)
        found = self.known(piece)
        return f"{piece.kind.name}-{piece.name}" if found is None else found

    def argv(self, step: Step, *, saves_to: str = "") -> tuple[str, ...]:
        """Return the words of a step, answered; wildcards become the files that match.

        ``saves_to`` is the file in which a shell step writes down its environment.
        """
        command = step.command
        in_bash = bash_words(command, self.render, saves_to=saves_to)
        if in_bash is not None:
            return in_bash
        words: list[str] = []
        for template in command.argv:
            asked = names_in(template, Kind.QUESTION)
            if asked and self.questions[asked[0]].is_list:
                words += self.answer(asked[0]).split()
            elif isinstance(command, Program) and command.expands:
                words += self._expand(template, step.cwd)
            else:
                words.append(self.render(template))
        return tuple(words)

    def _expand(self, template: str, cwd: str) -> list[str]:
        """Return the files that match; a pattern that nothing matches stays as it is."""
        pieces = parse(template)
        texts = [piece.name if piece.kind is Kind.TEXT else "" for piece in pieces]
        if not any(map(_WILDCARD.search, texts)):
            return [self.render(template)]
        base = self.root / self.render(cwd)
        pattern = "".join(
            piece.name.replace("[", "[[]") if piece.kind is Kind.TEXT else glob.escape(value)
            for piece in pieces
            for value in ["" if piece.kind is Kind.TEXT else self._value(piece)]
        )
        found = sorted(glob.glob(pattern, root_dir=base))  # noqa: PTH207 - Path.glob takes no absolute pattern
        return found or [self.render(template)]

    def environment(
        self, exported: Variables, kept: Mapping[str, str | None], own: Variables
    ) -> dict[str, str]:
        """Lay a step's variables over the caller's; None removes a name.

        First what the plan exports for all, then what earlier steps left (``kept``, plain texts),
        then the step's own. A question without an answer that is optional changes nothing.
        """
        merged = dict(self.variables)
        for layer, is_template in ((exported, True), (kept, False), (own, True)):
            for name, value in layer.items():
                if value is None:
                    merged.pop(name, None)
                    continue
                text = self.render(value) if is_template else value
                if text or not is_template or not self._is_optional(value):
                    merged[name] = text
        return merged

    def _is_optional(self, template: str) -> bool:
        asked = names_in(template, Kind.QUESTION)
        return any(self.questions[name].is_optional for name in asked)

    def need(self, *programs: str) -> None:
        """Raise ``MissingToolError`` for the first program that is not on PATH."""
        for name in programs:
            if shutil.which(name, path=self.variables.get("PATH")) is None:
                raise MissingToolError(
                    f"{name} is not on PATH, and the job's steps start with it: install it, or "
                    "activate the environment that has it."
                )


def count_devices(need: DeviceNeed, dev: Path = Path("/dev")) -> int:
    """Count this machine's devices of a kind by their device files; no process is started."""
    if not need.files or (need.requires and not (dev / need.requires).exists()):
        return 0
    return len(list(dev.glob(need.files)))


def check_scripts(plan: Plan, root: Path) -> None:
    """Raise ``CheckoutError`` where a test's own script is not in the checkout."""
    for test in plan.tests:
        steps: Sequence[Step] = () if test.skipped else test.steps
        for step in steps:
            script = next((word for word in step.argv if word.startswith("test/run_test")), None)
            if script and not (root / script).is_file():
                raise CheckoutError(f"{root} has no {script}, which {test.name} runs.")
