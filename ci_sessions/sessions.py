"""The nox sessions: a noxfile defines them with ``import ci_sessions.sessions``.

Each session imports its command only when it runs, so that listing sessions loads neither the
runner nor parity. If the package is broken, ``dispatch`` still runs the script (``emergency.py``),
and every other session reports the error.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

import nox

from ci_sessions import emergency

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__: list[str] = []

_SIGNALLED = 128  # exit codes above this are 128 + N, for signal N
_BY_NAME = ("-s", "-e", "--session", "--sessions")  # nox's options that select sessions by name
_CI_SESSION = re.compile(r"""\bci\(config=(['"])([\w.+/:-]+)\1\)""")


def _run(session: nox.Session, command: str, name: str, config: str | None = None) -> None:
    """Run a command, and report its result to nox. ``name`` is the name of the session."""
    try:
        from ci_sessions.cli.entry import run_command  # noqa: PLC0415 - not when sessions are listed
        from ci_sessions.cli.program import nox_program  # noqa: PLC0415 - as above
        from ci_sessions.cli.verbs import load_command  # noqa: PLC0415

        main = load_command(command)
    except Exception as error:  # noqa: BLE001 - whatever is broken, report it or run the script
        emergency.run(session, error)
        return
    program = (*nox_program(), "-s", name, "--")
    code = run_command(command, main, session.posargs, program=program, config=config)
    if code > _SIGNALLED:
        raise SystemExit(code)  # nox would go on with the next session
    if code:
        raise nox.command.CommandFailed(reason=f"exit code {code}")


def _define_commands() -> None:
    """Define a session for each command."""
    from ci_sessions.cli.verbs import COMMANDS  # noqa: PLC0415 - errors are handled below

    def define(command: str, summary: str) -> None:
        def command_session(session: nox.Session) -> None:
            _run(session, command, command)

        command_session.__doc__ = summary
        nox.session(name=command, venv_backend="none", default=False)(command_session)

    for command, summary in COMMANDS.items():
        define(command, summary)


def _define_ci() -> None:
    """Define the session that is parametrized over the configurations."""

    @nox.session(venv_backend="none", default=False)
    @nox.parametrize("config", list(_parameters()))
    def ci(session: nox.Session, config: str) -> None:
        """Run one configuration with its added tests, which CI (dispatch) runs only with --added.

        Added tests are those that test.sh does not have. The names of all tests are tags.
        """
        _check_not_whole_list(session)
        _run(session, "run", f"ci(config={config!r})", config)


def _parameters() -> Iterator[Any]:
    """Yield a parameter for each configuration that is listed, or requested by name."""
    from ci_sessions.catalogue.table import listed_configs  # noqa: PLC0415 - as above
    from ci_sessions.cli.listing import config_tags  # noqa: PLC0415

    named = (match[2] for text in _requested_names() for match in _CI_SESSION.finditer(text))
    for config in dict.fromkeys([*listed_configs(), *named]):
        tags = list(config_tags(config)) if _needs_tags() else []
        yield nox.param(config, id=f"config={config!r}", tags=tags)


def _needs_tags() -> bool:
    """Return whether nox may list or select by tags; they take a plan of each configuration."""
    options = [arg for arg in _nox_arguments() if arg.startswith("-")]
    return any(arg not in _BY_NAME for arg in options) or not _requested_names()


def _requested_names() -> list[str]:
    """Return the names of the requested sessions: nox's own options, and NOXSESSION."""
    from ci_sessions.job.environment import process_environment  # noqa: PLC0415 - as above

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(*_BY_NAME, action="extend", nargs="*", default=[])
    names = parser.parse_known_args(_nox_arguments())[0].session
    return [name.strip() for name in names or process_environment().get("NOXSESSION").split(",")]


def _nox_arguments() -> list[str]:
    return sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]


def _check_not_whole_list(session: nox.Session) -> None:
    """Fail on ``nox -s ci`` if the environment gives a job: running all others is a mistake."""
    from ci_sessions.job.environment import process_environment  # noqa: PLC0415 - as above
    from ci_sessions.job.variables import TEST_CONFIG  # noqa: PLC0415

    config = process_environment()[TEST_CONFIG]
    if config and "ci" in _requested_names():
        session.warn(
            f"`nox -s ci` runs every configuration that `nox -l` lists, but {TEST_CONFIG.name} is "
            f"{config!r}: use `nox -s run` for the job given by the environment, or `nox -s "
            f"\"ci(config='{config}')\"` for that configuration."
        )
        raise SystemExit(2)  # only once, not for every configuration


try:
    _define_ci()
    _define_commands()
except Exception as error:  # noqa: BLE001 - whatever is broken, dispatch must run the script
    emergency.define(error)
