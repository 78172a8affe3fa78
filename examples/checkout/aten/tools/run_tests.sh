#!/bin/bash
# Runs the test binaries of a build folder.
set -e
cd "$1"
for binary in ./basic ./scalar_test; do
  echo "$binary"
  "$binary"
done
