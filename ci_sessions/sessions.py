"""What a noxfile imports: ``import ci_sessions.sessions`` defines the nox sessions.

They are thin: each imports its verb when it runs, so that listing them loads neither the runner nor
parity. If the package is broken, ``dispatch`` must reach the script all the same
(``emergency.py``), and every other session says what is broken.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import nox

from ci_sessions import emergency

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__: list[str] = []

_INTERRUPTED = (129, 130, 143)  # HUP, INT, TERM
_NAMED = re.compile(r"""\bci\(config=(['"])([\w.+/:-]+)\1\)""")


def _run(session: nox.Session, verb: str, program: tuple[str, ...], config: str | None) -> None:
    """Run a verb, and let nox know how it went."""
    try:
        from ci_sessions.cli.options import Call  # noqa: PLC0415 - when it runs, not when listed
        from ci_sessions.cli.verbs import VERBS, load_verb  # noqa: PLC0415
        from ci_sessions.errors import CiSessionsError  # noqa: PLC0415
        from ci_sessions.job.environment import process_environment  # noqa: PLC0415
        from ci_sessions.log import set_up  # noqa: PLC0415

        main = load_verb(verb)
    except Exception as error:  # noqa: BLE001 - whatever is broken is told, or run past
        emergency.run(session, error)
        return
    set_up()
    call = Call(
        program=program,
        summary=VERBS[verb],
        out=sys.stdout,
        environment=process_environment(),
        config=config,
    )
    try:
        code = main(session.posargs, call)
    except CiSessionsError as error:
        session.error(str(error))
    if code in _INTERRUPTED:
        raise SystemExit(code)
    if code:
        raise nox.command.CommandFailed(reason=f"exit code {code}")


def _define_verbs() -> None:
    """Define a session for each verb."""
    from ci_sessions.cli.verbs import VERBS  # noqa: PLC0415 - a broken package is told below

    def define(verb: str, summary: str) -> None:
        def verb_session(session: nox.Session) -> None:
            _run(session, verb, ("nox", "-s", verb, "--"), None)

        verb_session.__doc__ = summary
        nox.session(name=verb, venv_backend="none", default=False)(verb_session)

    for verb, summary in VERBS.items():
        define(verb, summary)


def _define_ci() -> None:
    """Define the parametrized session of the configurations."""

    @nox.session(venv_backend="none", default=False)
    @nox.parametrize("config", list(_parameters()))
    def ci(session: nox.Session, config: str) -> None:
        """Run one configuration in Python; its tests are its tags."""
        _refuse_whole_list(session)
        _run(session, "run", ("nox", "-s", f"ci(config={config!r})", "--"), config)


def _parameters() -> Iterator[Any]:
    """Give a parameter for each configuration that is listed, or named on the command line."""
    from ci_sessions.catalogue.table import listed_configs  # noqa: PLC0415 - as above
    from ci_sessions.cli.listing import tags_of  # noqa: PLC0415

    named = (match[2] for text in _asked_for() for match in _NAMED.finditer(text))
    for config in dict.fromkeys([*listed_configs(), *named]):
        yield nox.param(config, id=f"config={config!r}", tags=list(tags_of(config)))


def _asked_for() -> list[str]:
    """Return the words that may name sessions: of the command line, and of NOXSESSION."""
    from ci_sessions.job.environment import process_environment  # noqa: PLC0415 - as above

    return [*sys.argv[1:], *process_environment().get("NOXSESSION").split(",")]


def _refuse_whole_list(session: nox.Session) -> None:
    """Refuse ``nox -s ci`` where the environment names a job: ten others are not what was meant."""
    from ci_sessions.job.environment import process_environment  # noqa: PLC0415 - as above
    from ci_sessions.job.variables import TEST_CONFIG  # noqa: PLC0415

    config = process_environment()[TEST_CONFIG]
    if config and "ci" in map(str.strip, _asked_for()):
        session.warn(
            f"`nox -s ci` is every configuration that `nox -l` lists, but {TEST_CONFIG.name} is "
            f"{config!r}: `nox -s run` runs the job that the environment names, and `nox -s "
            f"\"ci(config='{config}')\"` that configuration."
        )
        raise SystemExit(2)  # once, for all of them


try:
    _define_ci()
    _define_verbs()
except Exception as error:  # noqa: BLE001 - whatever is broken, CI must reach test.sh
    emergency.define(error)
