#!/bin/bash
setup_torch_trace() { export TORCH_TRACE="${TMPDIR:-/tmp}/sample-torch-trace"; }
collect_tlparse_output() { echo "no trace in ${TORCH_TRACE:-(unset)}"; }
