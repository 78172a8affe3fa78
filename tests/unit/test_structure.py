"""Checks of the package's own source: each fact is in one place only."""

from __future__ import annotations

import ast
import re

import pytest
from conftest import ROOT

from ci_sessions import emergency
from ci_sessions.catalogue import questions
from ci_sessions.catalogue.devices import DEVICES
from ci_sessions.cli.verbs import COMMANDS
from ci_sessions.gate.rollout import read_rollout
from ci_sessions.job.variables import BY_NAME, VARIABLES
from ci_sessions.plan.facts import Condition, Executables
from ci_sessions.plan.recorded import recorded_answers
from ci_sessions.text import is_secret_name

PACKAGE = ROOT / "ci_sessions"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
ROOT_MODULES = {
    "__init__", "__main__", "clock", "emergency", "errors", "log", "sessions", "text", "toml",
}  # fmt: skip


def strings_in(path):
    """Yield the string literals of a module, except for docstrings."""
    tree = ast.parse(path.read_text())
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES])
def test_a_variable_is_spelled_in_one_module(path):
    allowed = {PACKAGE / "job" / "variables.py", PACKAGE / "emergency.py"}
    found = {text for text in strings_in(path) if text in BY_NAME}
    assert not found or path in allowed


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES])
def test_phases_and_recorded_answers_are_only_in_their_files(path):
    phases = set(read_rollout().open_phases) | {
        entry.phase for entry in read_rollout().configurations.values()
    }
    recorded = recorded_answers().questions
    # The answer "dist/*.whl" is the pattern itself, which matched no file.
    answers = {text for name, text in recorded.items() if len(text) > 2 and name != "wheel"}
    found = {text for text in strings_in(path) if text in phases - {"1"} or text in answers}
    assert found <= {"x86_64"}, "Python uses the same name for the architecture"


def test_every_question_and_condition_has_a_recorded_answer():
    answers = recorded_answers()
    found = vars(questions).values()
    conditions = {one.name for one in found if isinstance(one, Condition)}
    wheels = {name for name in answers.conditions if name.endswith("_has_no_wheel")}
    assert set(answers.questions) == set(questions.QUESTIONS)
    assert set(answers.conditions) == conditions | wheels
    assert set(answers.executables) == {
        one.name for one in vars(questions).values() if isinstance(one, Executables)
    }


def test_emergency_uses_the_names_of_the_tables():
    """It imports nothing else from the package, so it works if other modules do not."""
    tree = ast.parse((PACKAGE / "emergency.py").read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in imported if name and name.startswith("ci_sessions")]
    spelled = {
        text for text in strings_in(PACKAGE / "emergency.py") if re.fullmatch(r"[A-Z_]{2,}", text)
    }
    assert spelled - {"NOXSESSION"} <= set(BY_NAME)
    assert set(emergency.COMMANDS) == set(COMMANDS) - {"dispatch"}


def test_every_secret_variable_has_a_secret_name():
    assert [one.name for one in VARIABLES if one.is_secret and not is_secret_name(one.name)] == []


def test_devices_that_the_script_does_not_check_for_are_one_row():
    """test.sh checks for CUDA, ROCm and XPU in many places, so the suites do too."""
    names = {device.name for device in DEVICES} - {"cuda", "rocm", "xpu"}
    for path in MODULES:
        if path.name != "devices.py":
            assert names.isdisjoint(strings_in(path))


def test_the_package_root_has_the_documented_modules():
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT_MODULES


def test_modules_are_short():
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in MODULES
        if (lines := len(path.read_text().splitlines())) > 350
    }
    assert long == {}


def test_the_architecture_has_a_line_for_each_module():
    page = (ROOT / "docs" / "architecture.md").read_text()
    tree = re.search(r"^```\nci_sessions/\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]
    listed, folder = set(), ""
    for line in tree.splitlines():
        indent, name = re.match(r"( +)(\S+)", line).groups()
        if name.endswith("/"):
            folder = name
        else:
            listed.add(name if len(indent) == 2 else folder + name)
    modules = {
        str(path.relative_to(PACKAGE))
        for path in [*MODULES, *PACKAGE.rglob("*.bash")]
        if path.name != "__init__.py"
    }
    assert listed == modules


def package_imports():
    """Return which package or root module imports which other."""
    edges = set()
    for path in MODULES:
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ci_sessions."):
                edges.add((name, node.module.split(".")[1]))
            elif isinstance(node, ast.ImportFrom) and node.module == "ci_sessions":
                edges |= {(name, alias.name) for alias in node.names}
    return {(GROUPS.get(a, a), GROUPS.get(b, b)) for a, b in edges}


GROUPS = dict.fromkeys(("errors", "log", "clock", "text"), "base") | {"__main__": "sessions"}


def drawn_edges():
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawing = re.search(r"^```mermaid\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]
    edges = set()
    for line in re.sub(r'\["[^"]*"\]', "", drawing).splitlines()[1:]:
        start, _, ends = line.partition(" --> ")
        edges |= {(start.strip(), end.strip()) for end in ends.split(" & ")}
    return edges


def test_the_drawing_shows_the_imports():
    """Each arrow is an import; each import is an arrow, or a way along the arrows."""
    drawn, imports = drawn_edges(), package_imports()
    assert drawn - imports == set()
    reachable = set(drawn)
    while more := {(a, d) for a, b in reachable for c, d in drawn if b == c} - reachable:
        reachable |= more
    ignored = {"__version__", "emergency"}
    assert {(a, b) for a, b in imports - reachable if a != b and b not in ignored} == set()
