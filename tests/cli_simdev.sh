#!/usr/bin/env bash
# timeout: 120
# cli_simdev.sh: the simulated device tells right programs from wrong ones, in every order of its queue. A double that sees
# nothing would make every other test on it worthless.
set -euo pipefail
if [ ! -x "${SIMDEV_DIR:-}/probe" ]; then
    echo "the simulated device is not built here"
    exit 77
fi
passed=0 failed=0
export SIMDEV_KERNELS=$SIMDEV_DIR/probe_kernels.so

# check CASE EXIT TEXT: what the case ends with, and a text that its output must hold ("": it must be silent).
check() {
    local code=0
    (
        "$SRC/tests/simdev/run" timeout 20 "$SIMDEV_DIR/probe" "$1" >out.txt 2>&1
        exit $?
    ) 2>/dev/null || code=$? # without the shell's word about a segmentation fault
    if [ "$code" -eq "$2" ] && if [ -n "$3" ]; then grep -qE "$3" out.txt; else [ ! -s out.txt ]; fi; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $1 in order ${SIMDEV_SCHED}: exit code $code, expected $2 and '$3'"
        cat out.txt
    fi
}

for SIMDEV_SCHED in eager lazy random; do
    export SIMDEV_SCHED
    for right in streams graph priorities kernels math narrow poll_event pageable; do
        check "$right" 0 ''
    done
    check missing_wait 86 'race: .*add_kernel.*with no order|race: .*fill_kernel.*with no order'
    check missing_wait_back 86 'race: .*with no order'
    check not_waited 86 'race: .*fill_kernel.* writes .*with no order'
    check pinned_reused 86 'race: copy .*with no order'
    check graph_unjoined 86 'does not wait for'
    check priorities_lost 86 'streams of priority 0 and -5'
    check wait_in_capture 86 'during a capture'
    check collide 86 'race within .*collide_kernel'
    check no_barrier 86 'shared memory'
    check diverge 86 'wait at a barrier'
    check out_of_bounds 86 'out of bounds: write of 4 bytes at offset 4000 of a buffer of 4000'
    check uninitialised 86 'never written'
    check use_after_free 86 'use after free'
    check use_after_free 86 'cudaErrorIllegalAddress, then cudaErrorIllegalAddress' # as on a device, it stays
    check double_free 86 'freed before'
    check leak 86 'LEAK: 4096 bytes of device memory'
    check wrong_kind 86 'destination is host, source is device'
    check destroyed_stream 86 'does not exist or was destroyed'
    check host_access 139 'follows a device pointer'
    if [ $SIMDEV_SCHED = lazy ]; then # CUDA allows either
        check pageable_freed 86 'pageable memory was changed or freed'
    else
        check pageable_freed 0 ''
    fi
done

# planned failures: the n-th call, with the error that CUDA would give
fails() { # SETTING TEXT
    export SIMDEV_FAIL=$1
    check streams 1 "$2"
    unset SIMDEV_FAIL
}
fails cudaMalloc:2 'cudaMalloc.*out of memory'
fails cudaMallocHost:1 'cudaMallocHost.*out of memory'
fails cudaStreamSynchronize:1 'cudaStreamSynchronize.*unspecified launch failure'
SIMDEV_FAIL=cudaMalloc:9 check streams 0 ''
OMPI_COMM_WORLD_RANK=1 SIMDEV_FAIL=cudaMalloc:1@2 check streams 0 ''
SIMDEV_MEMORY_MB=0 check streams 1 'out of memory'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
