#!/bin/bash
# Sourced by test.sh with a computed path.
declare -A KNOWN=([gpu]=cuda)
get_pinned_commit() { cat .github/ci_commit_pins/"$1".txt; }
pip_install() { pip install --progress-bar off "$@" || pip install --progress-bar off "$@"; }
get_exit_code() {
  set +e
  "$@"
  code=$?
  set -e
  return $code
}
setup_torch_trace() { export TORCH_TRACE=/var/log/trace; }
