"""The machine's answers to what a plan leaves open: places, questions, conditions, devices."""

from __future__ import annotations

import re
import secrets
import shutil
import string
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ci_sessions.errors import CheckoutError, InternalError, MissingToolError
from ci_sessions.job.build_environment import Device
from ci_sessions.plan.placeholders import CONDITIONS, GLOBS, QUESTIONS, fill, split_list_questions
from ci_sessions.run import process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ci_sessions.plan.plan import Plan, Step, Variables

__all__ = ["Machine", "count_devices", "missing_script", "pin_plan", "place_plan"]

_LOCATE_TORCH = (
    'cd / && python -c \'import importlib.util as u, os, site; s = u.find_spec("torch"); '
    "print(os.path.dirname(os.path.dirname(s.origin)) if s and s.origin "
    "else site.getsitepackages()[0])'"
)


@dataclass(slots=True)
class Machine:
    """Asks each thing once and remembers. Questions run in the environment ``variables``."""

    root: Path
    variables: Mapping[str, str]
    _known: dict[str, str] = field(default_factory=dict)

    def place(self, name: str) -> str:
        """Return a folder (ROOT, SITE, HOME, TMP, SHIMS), the search PATH, or RANDOM letters."""
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
        if name == "RANDOM":
            return "".join(secrets.choice(string.ascii_letters) for _ in range(8))
        return self.variables.get(name, f"${name}")  # HOME, PATH

    def pin(self, name: str) -> str:
        """Return the commit that the checkout pins a project to."""
        path = self.root / ".github" / "ci_commit_pins" / f"{name}.txt"
        if not path.is_file():
            return f"PIN-{name}"  # shown in a dry run; a step that needs it fails by name
        return path.read_text(encoding="utf-8").strip()

    def answer(self, name: str) -> str:
        """Ask a question of ``tokens.QUESTIONS``."""
        key = f"ask:{name}"
        if key not in self._known:
            line = self.fill_places(QUESTIONS[name].shell)
            asked = process.capture(line, cwd=self.root, env=self.variables)
            if asked.code == process.TIMED_OUT or (asked.code and QUESTIONS[name].is_needed):
                raise InternalError(f"no answer to {name!r} (exit {asked.code}): {line}")
            self._known[key] = asked.text
        return self._known[key]

    def holds(self, name: str) -> bool:
        """Evaluate a condition of ``tokens.CONDITIONS``: anew, unless it cannot change."""
        key = f"if:{name}"
        if not CONDITIONS[name].is_fixed or key not in self._known:
            line = self.fill_places(CONDITIONS[name].shell)
            code = process.capture(line, cwd=self.root, env=self.variables).code
            self._known[key] = "" if code else "yes"
        return bool(self._known[key])

    def found(self, name: str, cwd: str) -> list[str]:
        """List the executables of ``tokens.GLOBS``, as paths from the step's folder."""
        folder = self.root / cwd
        paths = [
            pattern[: pattern.rindex("/") + 1] + path.name
            for pattern in GLOBS[name].patterns
            for path in sorted(folder.glob(pattern.removeprefix("./")))
            if path.is_file() and path.stat().st_mode & 0o111 and path.suffix not in (".so", ".a")
        ]
        return list(dict.fromkeys(paths))

    def fill_places(self, text: str) -> str:
        """Fill in the places and pins; questions stay."""
        return fill(text, place=self.place, pin=self.pin)

    def argv(self, step: Step) -> tuple[str, ...]:
        """Return the words of a step, answered; wildcards become the files that match."""
        words = split_list_questions(step.command, self.answer)
        filled = [fill(word, place=self.place, pin=self.pin, answer=self.answer) for word in words]
        if not step.expands:
            return tuple(filled)
        return tuple(path for word in filled for path in self._expand(word, step.cwd))

    def _expand(self, word: str, cwd: str) -> list[str]:
        if not re.search(r"[*?]", word):
            return [word]
        base = self.root / self.fill_places(cwd)
        whole = Path(word)
        top = Path(whole.anchor) if whole.is_absolute() else base
        pattern = str(whole.relative_to(whole.anchor)) if whole.is_absolute() else word
        found = sorted(top.glob(pattern.replace("[", "[[]")))
        names = [str(path if whole.is_absolute() else path.relative_to(base)) for path in found]
        return names or [word]

    def environment(self, *layers: Variables) -> dict[str, str]:
        """Lay variables over the caller's; None removes a name, an optional blank leaves it."""
        merged = dict(self.variables)
        for layer in layers:
            for name, value in layer.items():
                if value is None:
                    merged.pop(name, None)
                    continue
                text = fill(value, place=self.place, pin=self.pin, answer=self.answer)
                is_blank = not text and any(QUESTIONS[asked].is_optional for asked in _asked(value))
                if not is_blank:
                    merged[name] = text
        return merged

    def need(self, *programs: str) -> None:
        """Raise ``MissingToolError`` for the first program that is not on PATH."""
        for name in programs:
            if shutil.which(name, path=self.variables.get("PATH")) is None:
                raise MissingToolError(
                    f"{name} is not on PATH, and the job's steps start with it: install it, or "
                    "activate the environment that has it."
                )


def _asked(value: str) -> list[str]:
    return re.findall(r"\$\{ask:([a-z0-9_]+)\}", value)


def place_plan(plan: Plan, machine: Machine) -> Plan:
    """Fill a plan's places and pins in: the words that are run."""
    return fill_plan(plan, machine.fill_places)


def pin_plan(plan: Plan, machine: Machine) -> Plan:
    """Fill only the pins in; places keep their short names."""
    return fill_plan(plan, lambda text: fill(text, pin=machine.pin))


def fill_plan(plan: Plan, filled: Callable[[str], str]) -> Plan:
    """Apply a function to every text of a plan, but for the search path, which grows as it runs."""

    def words(values: Variables) -> dict[str, str | None]:
        return {
            name: value if value is None or name == "PATH" else filled(value)
            for name, value in values.items()
        }

    def placed(step: Step) -> Step:
        return replace(
            step,
            argv=tuple(map(filled, step.argv)),
            cwd=filled(step.cwd),
            env=words(step.env),
            sources=tuple(map(filled, step.sources)),
            writes=filled(step.writes) if step.writes else None,
            output=filled(step.output) if step.output else None,
        )

    return replace(
        plan,
        env=words(plan.env),
        setup=tuple(map(placed, plan.setup)),
        tests=tuple(replace(test, items=tuple(map(placed, test.steps))) for test in plan.tests),
        cleanup=tuple(map(placed, plan.cleanup)),
    )


def count_devices(device: Device, dev: Path = Path("/dev")) -> int:
    """Count this machine's devices of a kind by their device files; no process is started."""
    patterns = {
        Device.CUDA: "nvidia[0-9]*",
        Device.ROCM: "dri/renderD*",
        Device.XPU: "dri/renderD*",
        Device.TPU: "accel*",
    }
    if device not in patterns:
        return 0
    if device is Device.ROCM and not (dev / "kfd").exists():
        return 0
    return len(list(dev.glob(patterns[device])))


def missing_script(plan: Plan, root: Path) -> None:
    """Raise ``CheckoutError`` where a test's own script is not in the checkout."""
    for test in plan.tests:
        if test.skipped:
            continue
        for step in test.steps:
            script = next((word for word in step.argv if word.startswith("test/run_test")), None)
            if script and not (root / script).is_file():
                raise CheckoutError(f"{root} has no {script}, which {test.name} runs.")
