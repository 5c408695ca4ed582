#!/usr/bin/env bash
# The cuda back end: its contract in three schedules and its operations against the reference on the simulated device, what
# happens when a call fails, and all convolutions planned by the real cuDNN for GPUs that are not here.
# timeout: 400
set -euo pipefail
if [ -z "${SIMDEV_DIR:-}" ] || [ ! -x "${CUDA_TESTS:-}/cuda_ops" ]; then
    echo "no simulated device in this build"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
simulated=("$SRC/tests/simdev/run" timeout 100)
quiet() { "$@" >said 2>&1; }
for schedule in eager lazy random; do
    check "contract, $schedule" quiet env SIMDEV_SCHED=$schedule "${simulated[@]}" "$CUDA_TESTS/cuda_contract"
done
check "steps, lazy" quiet env SIMDEV_SCHED=lazy "${simulated[@]}" "$CUDA_TESTS/cuda_steps"
check "steps, random" quiet env SIMDEV_SCHED=random "${simulated[@]}" "$CUDA_TESTS/cuda_steps"
check "steps, polls that leave an error behind" quiet env SIMDEV_NOT_READY=1 "${simulated[@]}" "$CUDA_TESTS/cuda_steps"
check "operations" quiet env "${simulated[@]}" "$CUDA_TESTS/cuda_ops"
for precision in tf32 bf16; do # rounded as tensor cores round, summed as this CPU sums
    check "operations, $precision" quiet env SIMDEV_CAPABILITY=80 "${simulated[@]}" "$CUDA_TESTS/cuda_ops" $precision
done
check "planning by cuDNN" quiet "$CUDA_TESTS/cuda_planning"

# Each call that fails is told, and nothing is left behind: the double counts leaks as failures.
fails() { # fails FUNCTION:N
    SIMDEV_FAIL=$1 quiet "${simulated[@]}" "$CUDA_TESTS/cuda_steps" failing && grep -q '^5: ' said
}
for call in cudaSetDevice:1 cudaGetDeviceProperties:1 cudaStreamCreate:{1,2,3} cudaEventCreate:{1,20,80} \
    cudaMalloc:{1,2,5,9,14,20,30} cudaMallocHost:{1,2,3,4,5,6} cudnnCreate:1 cublasCreate:1 cublasSetWorkspace:1 \
    cudnnBackendFinalize:{1,9} cudnnBackendExecute:{1,3} cublasSgemm:{1,4} cudaMemcpyAsync:{1,3,5} cudaLaunchKernel:{1,4,9} \
    cudaStreamBeginCapture:1 cudaStreamEndCapture:1 cudaGraphInstantiate:{1,2} cudaGraphLaunch:{1,3} cudaEventRecord:{1,3} \
    cudaEventSynchronize:3 cudaStreamSynchronize:{1,2} cudaStreamWaitEvent:{1,2} cudaMemsetAsync:{1,2} \
    cudaDeviceGetStreamPriorityRange:1 cudnnSetStream:1 cublasSetStream:1 cudnnBackendCreateDescriptor:{1,2,5,20,300} \
    cudnnBackendSetAttribute:{1,2,9,30,60} cudnnBackendGetAttribute:{1,2,3,4,5,6,9} cudaGraphGetNodes:{1,2} cudaEventQuery:1 \
    cudaStreamQuery:{1,3}; do
    check "$call fails" fails "$call"
done
finish
