#!/bin/sh
# Runs the CI job that the environment names: by `nox -s dispatch`, or if that cannot start, by
# PyTorch's own script. Call it from the root of the checkout. Its options are those of
# `nox -s dispatch`; the script also honours --config, --build-environment, --shard,
# --checkout and --records.
#
# Whether dispatch can start is decided before anything of the checkout runs: `--probe` loads the
# noxfile, reads the job and makes the plan, and starts nothing. After that, the result of dispatch
# is final. No test can influence this decision, and a failed test is never run again.
#
# NOX is the command to use, by default `nox`. It is split into words.

# The configurations that exist only in ci_sessions, so that the script cannot run them; one per line.
native='
'

# nox needs standard files that are open.
{ true 3<&0; } 2>/dev/null || exec </dev/null
{ true 3>&1; } 2>/dev/null || exec >/dev/null
{ true 3>&2; } 2>/dev/null || exec 2>/dev/null

warn() {
    if [ "${GITHUB_ACTIONS:-}" = true ]; then
        echo "::warning title=ci_sessions::$1"
    else
        echo "warning: $1" >&2
    fi
}

fail() { # CODE TEXT
    if [ "${GITHUB_ACTIONS:-}" = true ]; then
        echo "::error title=ci_sessions::$2"
    fi
    echo "error: $2" >&2
    exit "$1"
}

limit=
if command -v timeout >/dev/null 2>&1; then limit="timeout 300"; fi

# On a full disk, Python may write half a module to __pycache__, which the next start cannot read.
# shellcheck disable=SC2086 # NOX and limit are split on purpose
if output=$(PYTHONDONTWRITEBYTECODE=1 $limit ${NOX:-nox} -s dispatch -- --probe "$@" 2>&1); then
    exec ${NOX:-nox} -s dispatch -- "$@"
fi

printf '%s\n' "$output" | sed 's/^/| /; s/##\[/# #[/g' >&2

# From here on, the same choices as in ci_sessions/emergency.py.
start=$(pwd) records=
while [ $# -gt 0 ]; do
    case $1 in
        --*=*) option=${1%%=*} value=${1#*=} ;;
        *) option=$1 value=${2:-} ;;
    esac
    case $option in
        --config) export TEST_CONFIG="$value" ;;
        --build-environment) export BUILD_ENVIRONMENT="$value" ;;
        --shard) export SHARD_NUMBER="${value%%/*}" NUM_TEST_SHARDS="${value##*/}" ;;
        --checkout) cd "$value" || exit 2 ;;
        --records) records=$value ;;
    esac
    shift
done
config=${TEST_CONFIG:-}
flag=$(printf %s "${USE_PYTHON_TEST_RUNNER:-}" | tr '[:upper:]' '[:lower:]' | tr -d '[:space:]')
intended=shell fallback=
case $flag in
    '') reason=flag-unset ;;
    0 | false) reason=flag-off ;;
    1 | true) reason=flag-on intended=python fallback=not-started ;;
    rollout) reason=undecided intended=python fallback=not-started ;;
    shadow) reason=shadow ;;
    *)
        fail 2 "USE_PYTHON_TEST_RUNNER is not one of 1, 0, rollout, shadow"
        ;;
esac
case $native in
    *"
${config:-none}
"*)
        fail 2 "dispatch cannot start, and the script does not know this TEST_CONFIG"
        ;;
esac

scripts=.ci/pytorch
if [ ! -f .ci/pytorch/test.sh ] && [ -f .jenkins/pytorch/test.sh ]; then scripts=.jenkins/pytorch; fi
script=$scripts/test.sh
case ${BUILD_ENVIRONMENT:-} in
    *onnx*) if [ -f .ci/onnx/test.sh ]; then script=.ci/onnx/test.sh; fi ;;
esac
if [ "$config" = multigpu ]; then script=$scripts/multigpu-test.sh; fi
case $script in
    */onnx/test.sh) reason=onnx intended=shell fallback= ;;
    */multigpu-test.sh) reason=multigpu intended=shell fallback= ;;
esac

if [ "${NO_SHELL_FALLBACK:-}" = 1 ] && [ "$intended" = python ]; then
    fail 70 "dispatch cannot start, and NO_SHELL_FALLBACK is 1"
fi
warn "nox -s dispatch cannot start; running $script instead"

# The records are in the checkout, if it can be written to.
case $records in
    '') if [ -w . ]; then records=.ci-sessions; else records=$start/.ci-sessions; fi ;;
    /*) ;;
    *) records=$start/$records ;;
esac

# A record, in which only harmless characters of the job's names are kept.
plain() { printf %s "$1" | LC_ALL=C tr -cd 'A-Za-z0-9._+/:,@=-' | cut -c 1-300; }
number() { case $1 in '' | *[!0-9]* | ??????*) echo 1 ;; *) echo "$1" ;; esac; }
part() { printf %s "$1" | LC_ALL=C sed 's/[^A-Za-z0-9_+-]/-/g'; }
label=$(plain "${BUILD_ENVIRONMENT:-}") name=$(plain "$config")
shard=$(number "${SHARD_NUMBER:-}") shards=$(number "${NUM_TEST_SHARDS:-}")
(
    umask 022
    set -C # create files only, never follow a link to one
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    id=$now/$(part "$label").$(part "$name").${shard}of$shards/$$
    file=$records/runs/$(date -u +%Y-%m-%dT%H-%M-%S)-$$-not-started.jsonl
    mkdir -p "$records/runs"
    [ -s "$records/.gitignore" ] || { rm -f "$records/.gitignore"; echo '*' >"$records/.gitignore"; }
    {
        printf '{"event": "run started", "format": 1, "id": "%s", "job": {"id": "%s", ' \
            "$id" "$(part "$label").$(part "$name").${shard}of$shards"
        printf '"config": "%s", "build_environment": "%s", "shard": %s, "num_shards": %s}, ' \
            "$name" "$label" "$shard" "$shards"
        printf '"started": "%s", "runner": "shell", "route": {"runner": "shell", ' "$now"
        printf '"intended": "%s", "reason": "%s", "fallback": "%s", ' "$intended" "$reason" "$fallback"
        printf '"commit": "%s", "error": "nox -s dispatch cannot start"}}\n' \
            "$(plain "${SHA1:-${GITHUB_SHA:-}}")"
        printf '{"event": "run ended", "id": "%s", "ended": "%s", "outcome": "unknown"}\n' "$id" "$now"
    } >"$file"
) 2>/dev/null || :

exec "./$script"
