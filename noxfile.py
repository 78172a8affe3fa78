# /// script
# requires-python = ">=3.10"
# dependencies = [
#   "nox>=2026.4.10",
#   "packaging>=24.0",
#   "filelock>=3.16",
#   "colorlog>=6.8",
#   "tomli>=2.0; python_version < '3.11'",
# ]
# ///
"""PyTorch's CI test configurations, and this project's own sessions.

Dry run: nox -s "ci(config='jit_legacy')" -- --dry-run
"""

from __future__ import annotations

import sys
from pathlib import Path

import nox

# The nox command does not add the noxfile's folder to sys.path.
sys.path.insert(0, str(Path(__file__).parent))

import ci_sessions.sessions  # noqa: F401 - defines the CI sessions

nox.options.sessions = ["tests", "lint", "types"]
nox.options.default_venv_backend = "venv"
WORKFLOWS, EXAMPLES = Path(".github/workflows"), Path("examples/workflows")
PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str) -> None:
    """Install the project and its dependency groups into the session's environment."""
    session.install("-e", ".", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session(reuse_venv=True)
def tests(session: nox.Session) -> None:
    """Run the tests, with branch coverage except for those that measure time and memory."""
    install(session, "test")
    if not session.posargs:
        session.run("pytest", "-n", "auto", "-m", "measures")
    session.run("coverage", "erase")
    chosen = session.posargs or ["-m", "not measures"]
    session.run("coverage", "run", "-m", "pytest", "-n", "auto", *chosen)
    session.run("coverage", "combine", silent=True)
    session.run("coverage", "report")


@nox.session(reuse_venv=True, default=False)
def tests_lowest(session: nox.Session) -> None:
    """Run the unit and integration tests with the lowest supported versions of all dependencies."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    needed = [*PROJECT["project"]["dependencies"], *(one for extra in extras for one in extra)]
    groups = nox.project.dependency_groups(PROJECT, "test")
    session.install("-e", ".", *(one.replace(">=", "==", 1) for one in (*needed, *groups)))
    chosen = session.posargs or ["tests/unit", "tests/integration"]
    session.run("pytest", "-n", "auto", *chosen)


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Check code style, import contracts and workflows."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")
    workflows = [*WORKFLOWS.glob("*.yml"), *EXAMPLES.glob("*.yml")]
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    session.run("zizmor", "--offline", "--quiet", *workflows)


@nox.session(reuse_venv=True)
def types(session: nox.Session) -> None:
    """Check types."""
    install(session, "types")
    session.run("mypy")


@nox.session(reuse_venv=True, default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation site in docs/_build; -- linkcheck also checks external links."""
    install(session, "docs")
    build = ("sphinx-build", "--quiet", "--fresh-env", "--nitpicky", "--fail-on-warning")
    session.run(*build, "docs", "docs/_build/html")
    session.run("python", "docs/check_links.py", "docs/_build/html")
    if "linkcheck" in session.posargs:
        session.run(*build, "-b", "linkcheck", "docs", "docs/_build/linkcheck")


@nox.session(reuse_venv=True, default=False)
def release_check(session: nox.Session) -> None:
    """Build and check what a release publishes; -- --all on every Python, --keep FOLDER."""
    session.install(*nox.project.dependency_groups(PROJECT, "release"))
    session.run("python", "tests/release/release_check.py", *session.posargs)


@nox.session(reuse_venv=True, default=False)
def bench(session: nox.Session) -> None:
    """Benchmark against plain baselines; -- --fast, --check, --against REV, --json FILE."""
    session.install("-e", ".[report]")
    session.run("python", "tests/bench/bench.py", *session.posargs)


@nox.session(reuse_venv=True, default=False)
def mutants(session: nox.Session) -> None:
    """Check that the unit tests notice mutations of the gate and the records."""
    install(session, "test", "mutants")
    session.run("python", "tests/mutants/mutants.py", *session.posargs)


@nox.session(reuse_venv=True, default=False)
def soak(session: nox.Session) -> None:
    """Run random jobs with random faults for some minutes; -- --minutes 10 --seed 1."""
    install(session)
    session.run("python", "tests/soak/soak.py", *session.posargs)


@nox.session(reuse_venv=True, default=False)
def e2e(session: nox.Session) -> None:
    """Run the workflows with act, and jobs on PyTorch 1.13.1; -- --all adds 2.6.0 and pairs."""
    install(session, "test", "e2e")
    session.run("pytest", "tests/e2e", "-rA", "--show-capture=stdout", *session.posargs)


if __name__ == "__main__":
    nox.main()
