#!/bin/sh
# What a CI job calls in a checkout that contains a copy of this package, from its root: it installs
# the pinned dependencies into an environment of their own, so that the packages under test stay as
# they are, and calls dispatch.sh with its options. If that fails, dispatch.sh finds no nox, runs the
# script instead, and leaves a record that counts as a fallback.

own=ci_sessions/resources
folder=
if [ -n "${RUNNER_TEMP:-}" ] && [ -d "$RUNNER_TEMP" ] && [ -w "$RUNNER_TEMP" ]; then
    folder=$RUNNER_TEMP/ci-sessions
elif folder=$(mktemp -d); then # a new one: nobody else can have put a nox there
    folder=$folder/ci-sessions
fi
if [ -n "$folder" ] && python3 -m venv --clear "$folder" >&2 &&
    "$folder/bin/python" -m pip install --quiet --no-color --disable-pip-version-check \
        --require-hashes -r "$own/requirements.txt" >&2 &&
    mkdir -p "$folder/commands"; then
    # Only python -m nox can import a package that lies beside the noxfile.
    printf '#!/bin/sh\nexec "%s" -m nox "$@"\n' "$folder/bin/python" >"$folder/commands/nox"
    chmod +x "$folder/commands/nox"
    PATH=$folder/commands:$PATH
    export PATH
elif [ "${GITHUB_ACTIONS:-}" = true ]; then
    printf '\n%s\n' "::warning title=ci_sessions::the pinned dependencies could not be installed"
else
    echo "warning: the pinned dependencies of ci_sessions could not be installed" >&2
fi
exec sh "$own/dispatch.sh" "$@"
