#!/bin/bash
# The sample's versions of functions in the real tree: they install nothing, and say so.
assert_git_not_dirty() {
  local status
  status=$(git status --porcelain -- . 2>/dev/null | grep -v '?? third_party' || true)
  if [[ $status ]]; then echo "the checkout is dirty: $status"; exit 1; fi
}
install_nvmath() { echo "nvmath: not needed by the sample checkout"; }
install_torchcomms() { echo "torchcomms: not needed by the sample checkout"; }
install_spmd_types() { echo "spmd_types: not needed by the sample checkout"; }
