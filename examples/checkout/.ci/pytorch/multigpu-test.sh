#!/bin/bash
# The sample's multi-GPU script: uses several processes instead of several devices.
set -ex
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python test/run_test.py --verbose -i distributed/test_c10d_gloo
