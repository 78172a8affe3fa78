"""What a noxfile imports: ``import ci_sessions.sessions`` defines the sessions.

If the package is broken, the ``dispatch`` session must exist all the same and reach the shell.
"""

from __future__ import annotations

__all__: list[str] = []

try:
    import ci_sessions.cli.registered  # noqa: F401 - defines the sessions
except Exception as error:  # noqa: BLE001 - whatever is broken, CI must reach test.sh
    from ci_sessions import emergency

    emergency.define(error)
