#!/bin/bash
# Everything in CI scripts that is hard to record. test_recorder.py has the expected commands.
set -eux -o pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export LANG=C.UTF-8 KIND="${KNOWN[gpu]}"
SITE=$(python -c "import site; print(site.getsitepackages()[0])")/torch

# Arguments that are hard to preserve
python test/run_test.py 'one word' "" 'new
line' $'tab\t' "it's" --k='*' -- "\$HOME" 'ümlaut'
A="x  y" python quoted.py ${EMPTY-} ${EMPTY:-fall back} "${A-}" 2>/dev/null || true

# Functions, arguments that are commands, and variables that functions set
pip_install "git+https://example.invalid/vision@$(get_pinned_commit vision)"
again() { "$@"; }
again again python again.py "a b"
with_env() { DEPTH=$((${DEPTH:-0} + 1)) python with_env.py; }
OUTER=1 with_env
setup_torch_trace
python after_trace.py

# Failures, expected and unexpected
(cd test && ! get_exit_code python -c "import torch; torch._C._crash_if_csrc_asan(3)")
if ! python -c "import numba.cuda"; then echo "no numba"; fi
python -c "import numba.cuda" || python without_numba.py
false || echo "went on"

# Paths with slashes, with and without a file
"$SITE"/bin/test_api --gtest_filter='-*CUDA'
OMP_NUM_THREADS=2 DATA="a b" "$SITE/bin/test_jit" one | tee log.txt
/opt/tool/run --now
./build/bin/none 2>&1 | grep -v nothing || true
x=$(/usr/bin/env LC_ALL=C python in_env.py)
for binary in ./build/bin/first "./build/bin/second"; do $binary; done
PATH=/usr/bin:/bin rm -rf "$HOME"
export PATH="/usr/bin:/bin:$PATH"
curl https://example.invalid -o out

# Loops over files, and over the output of tools
for file in test/cases/*.py; do python "$file"; done
grep -v '^ *#' <benchmarks/models.csv | while IFS=, read -r model dtype; do
  python bench.py --only "$model" "--$dtype"
done
for name in $(find test/cases -name '*.py' -printf '%f\n' | sed 's/ /_/; s/\.py$//' | sort -r); do python named.py "$name"; done

# Sourced files from elsewhere, and functions that they would define
source /opt/intel/setvars.sh --force
python -m venv venv
. venv/bin/activate
build_torch_xla .
deactivate

# Folders
git clone --quiet https://example.invalid/xla.git
pushd xla >/dev/null
git checkout "$(cat ../.github/ci_commit_pins/vision.txt)"
popd >/dev/null
(cd ../elsewhere && python there.py)
cd test/cases && python here.py && cd - >/dev/null
scratch=$(mktemp -d) && python scratch.py "$scratch/out" /tmp/fixed

# Builtins that run, hide or look up commands
command -v ninja
if command -v sccache; then sccache --show-stats; fi
command python by_command.py
eval "python by_eval.py 'two words'"
time python timed.py
python background.py &
wait
if [[ "linux-cuda12.4" =~ cuda([0-9.]+) ]] && python matched.py; then python version.py "${BASH_REMATCH[1]}"; fi
IFS=:
parts="a:b"
set -f
python split.py $parts *
set +f
unset IFS
trap 'python at_exit.py "$?"' EXIT
unset LANG
{ python grouped.py; python grouped_too.py; } | cat
python <<'EOF'
print("a here-document")
EOF
python expected.py && exec python last.py "bye now"
python never.py
