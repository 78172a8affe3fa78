#!/bin/bash
# The sample's test.sh: like the real one, for the configurations that the sample supports.
set -ex -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/pytorch/common_utils.sh
source .ci/pytorch/torch_trace.sh
export TERM=vt100 LANG=C.UTF-8 TORCH_SERIALIZATION_DEBUG=1 VALGRIND=ON
SHARD_NUMBER="${SHARD_NUMBER:=1}"
NUM_TEST_SHARDS="${NUM_TEST_SHARDS:=1}"
SHARD=(--shard "$SHARD_NUMBER" "$NUM_TEST_SHARDS")
REPORTS=$(pwd)/test/test-reports
INCLUDE=""
if [[ -n $TESTS_TO_INCLUDE ]]; then INCLUDE="--include $TESTS_TO_INCLUDE"; fi
# The sample has no torch, so this folder does not exist.
TORCH=$(python -c "import site; print(site.getsitepackages()[0])")/torch

run_test() { python test/run_test.py "$@"; }

link() { # folder, libraries...
  local folder=$1 library
  shift
  if [[ ! -d $folder ]]; then return; fi
  for library; do ln -sf "$TORCH/lib/$library"* "$folder"; done
}

test_python() {
  # shellcheck disable=SC2086
  run_test --exclude-jit-executor --exclude-distributed-tests --exclude-quantization-tests $INCLUDE --verbose
  assert_git_not_dirty
}

test_aten() {
  link build/bin libc10 libcaffe2 libmkldnn libnccl libtorch
  aten/tools/run_tests.sh build/bin
  assert_git_not_dirty
}

test_vec256() {
  mkdir -p test/test-reports/vec256
  pushd build/bin >/dev/null
  for binary in ./vec256_test*; do
    "$binary" --gtest_output=xml:test/test-reports/vec256/"$binary".xml
  done
  popd >/dev/null
  assert_git_not_dirty
}

test_smoke() {
  install_nvmath
  run_test --include inductor/test_flex_attention -k test_tma_with_customer_kernel_options --upload-artifacts-while-running
  run_test --include test_matmul_cuda test_scaled_matmul_cuda inductor/test_fp8 inductor/test_max_autotune inductor/test_cutedsl_grouped_mm --upload-artifacts-while-running
  run_test --include test_foreach -k TestForeachMM --upload-artifacts-while-running
  run_test --include test_linalg -k polar --upload-artifacts-while-running
  assert_git_not_dirty
}

test_distributed() {
  install_torchcomms
  install_spmd_types
  run_test --distributed-tests "${SHARD[@]}" --verbose
  assert_git_not_dirty
  if [[ $SHARD_NUMBER == 1 ]]; then
    link "$TORCH/bin" libtorch libc10
    CPP_TESTS_DIR=$TORCH/bin run_test --cpp --verbose -i cpp/test_cpp_rpc
  fi
}

test_inductor_distributed() {
  install_torchcomms
  setup_torch_trace
  local name fsdp=distributed/_composable/fsdp
  for name in test_replicate_on_devices test_on_gpu_device1 test_non_default_gpu_device test_load_package_multiple_gpus; do
    run_test -i inductor/test_aot_inductor.py -k "$name" --verbose
  done
  for name in test_c10d_functional_native tensor/test_dtensor_compile tensor/parallel/test_micro_pipeline_tp _composable/test_replicate_with_compiler; do
    run_test -i "distributed/$name.py" --verbose
  done
  run_test -i $fsdp/test_fully_shard_comm.py --verbose
  for name in test_train_parity_multi_group test_train_parity_with_activation_checkpointing test_train_parity_hsdp test_train_parity_2d_transformer_checkpoint_resume test_gradient_accumulation; do
    run_test -i $fsdp/test_fully_shard_training.py -k "$name" --verbose
  done
  run_test -i $fsdp/test_fully_shard_state_dict.py -k test_dp_state_dict_save_load --verbose
  run_test -i $fsdp/test_fully_shard_frozen.py --verbose
  for name in test_compute_dtype test_reduce_dtype; do
    run_test -i $fsdp/test_fully_shard_mixed_precision.py -k "$name" --verbose
  done
  run_test -i $fsdp/test_fully_shard_clip_grad_norm_.py -k test_clip_grad_norm_2d --verbose
  run_test -i $fsdp/test_fully_shard_compile.py --verbose
  run_test -i distributed/fsdp/test_fsdp_tp_integration.py -k test_fsdp_tp_integration --verbose
  run_test --include distributed/test_dynamo_distributed distributed/test_inductor_collectives distributed/test_aten_comm_compute_reordering distributed/test_compute_comm_reordering --verbose
  assert_git_not_dirty
  collect_tlparse_output
}

test_inductor_cpp_wrapper() {
  setup_torch_trace
  export TORCHINDUCTOR_CPP_WRAPPER=1
  PYTHONPATH=/torchbench run_test --include inductor/test_torchinductor_opinfo -k 'linalg or to_sparse or TestInductorOpInfoCPU' "${SHARD[@]}" --verbose
  PYTHONPATH=/torchbench run_test --include inductor/test_torchinductor inductor/test_max_autotune inductor/test_cpu_repro inductor/test_triton_kernels inductor/test_combo_kernels "${SHARD[@]}" --verbose
  PYTHONPATH=/torchbench run_test --inductor --include test_torch -k take "${SHARD[@]}" --verbose
  TORCHINDUCTOR_AUTOTUNE_AT_COMPILE_TIME=1 PYTHONPATH=/torchbench run_test --include inductor/test_torchinductor inductor/test_triton_kernels inductor/test_max_autotune "${SHARD[@]}" --verbose
  if [[ $SHARD_NUMBER == 1 ]]; then
    CPP_TESTS_DIR=build/bin LD_LIBRARY_PATH=$TORCH/lib run_test --cpp --verbose -i cpp/test_aoti_abi_check cpp/test_shim cpp/test_aoti_inference cpp/test_vec_half_AVX2 -dist=loadfile
  fi
  collect_tlparse_output
}

test_dynamo_benchmark() { # suite, script
  local suite=$1 script=$2 mode dtype
  setup_torch_trace
  if [[ $suite == torchbench ]]; then
    tbb=$(find "$(dirname "$(which python)")/../lib/" -name libtbb.so.12)
    export PYTHONPATH=/torchbench LD_PRELOAD="$tbb:$LD_PRELOAD"
  fi
  for mode in inference training; do
    if [[ $mode == inference ]]; then dtype=--bfloat16; else dtype=--amp; fi
    python "benchmarks/dynamo/$script.py" --ci --accuracy --timing --explain --print-compilation-time --device cuda "--$mode" $dtype \
      --total-partitions "$NUM_TEST_SHARDS" --partition-id "$((SHARD_NUMBER - 1))" --output "$REPORTS/${mode}_$script.csv"
    for check in accuracy graph_breaks; do
      python "benchmarks/dynamo/check_$check.py" --actual "$REPORTS/${mode}_$script.csv" --expected "benchmarks/dynamo/ci_expected_accuracy/${suite}_$mode.csv"
    done
  done
  collect_tlparse_output
}

case "$TEST_CONFIG" in
  jit_legacy)
    run_test --include test_jit_legacy test_jit_fuser_legacy --verbose
    assert_git_not_dirty
    ;;
  docs_test) .ci/pytorch/docs-test.sh ;;
  smoke) test_smoke ;;
  distributed) test_distributed ;;
  inductor_distributed) test_inductor_distributed ;;
  inductor_cpp_wrapper) test_inductor_cpp_wrapper ;;
  huggingface | torchbench) test_dynamo_benchmark "$TEST_CONFIG" "$TEST_CONFIG" ;;
  timm) test_dynamo_benchmark timm timm_models ;;
  *)
    test_python
    test_aten
    test_vec256
    ;;
esac
