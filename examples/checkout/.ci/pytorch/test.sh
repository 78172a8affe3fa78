#!/bin/bash
# The sample's test.sh: the same shape as the real one, for the configurations that it has.
set -ex -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/pytorch/common_utils.sh
source .ci/pytorch/torch_trace.sh
export TERM=vt100 LANG=C.UTF-8 TORCH_SERIALIZATION_DEBUG=1 VALGRIND=ON
SHARD_NUMBER="${SHARD_NUMBER:=1}"
NUM_TEST_SHARDS="${NUM_TEST_SHARDS:=1}"
INCLUDE=""
if [[ -n $TESTS_TO_INCLUDE ]]; then INCLUDE="--include $TESTS_TO_INCLUDE"; fi

case "$TEST_CONFIG" in
  jit_legacy) python test/run_test.py --include test_jit_legacy test_jit_fuser_legacy --verbose ;;
  docs_test) .ci/pytorch/docs-test.sh ;;
  distributed) python test/run_test.py --distributed-tests --shard "$SHARD_NUMBER" "$NUM_TEST_SHARDS" --verbose ;;
  *inductor*) python test/run_test.py --include inductor/test_torchinductor --verbose ;;
  *) # shellcheck disable=SC2086
    python test/run_test.py --exclude-jit-executor --exclude-distributed-tests --exclude-quantization-tests $INCLUDE --verbose ;;
esac
assert_git_not_dirty
