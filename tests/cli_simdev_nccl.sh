#!/usr/bin/env bash
# timeout: 120
# cli_simdev_nccl.sh: the simulated NCCL sums over processes, and sees ranks that disagree, die, abort or share a device.
set -euo pipefail
if [ ! -x "${SIMDEV_DIR:-}/probe_nccl" ]; then
    echo "the simulated device is not built here"
    exit 77
fi
passed=0 failed=0

# check CASE EXIT TEXT: the worst exit code of the ranks, and what the output must hold ("": it must be silent)
check() {
    local code=0
    "$SRC/tests/simdev/run" timeout 30 "$SIMDEV_DIR/probe_nccl" "$1" >out.txt 2>&1 || code=$?
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
    check sum 0 ''
    check other_count 86 'VIOLATION: NCCL: rank . calls all-reduce of 100[01] elements .* of 100[01] '
    check other_type 86 'VIOLATION: NCCL: rank . calls all-reduce of 1000 elements of type [48]'
    check peer_dies 9 '^remote process exited'
    check peer_aborts 1 '^remote process exited'
    check no_order 86 'race: '
    check same_device 1 '^invalid usage'
done
if compgen -G '/dev/shm/simdev-nccl-*' >/dev/null; then # of our own: each names its process
    for file in /dev/shm/simdev-nccl-*; do
        pid=${file#/dev/shm/simdev-nccl-} pid=${pid%%-*}
        if [ ! -e "/proc/$pid" ]; then
            echo "FAILED: left behind: $file"
            failed=$((failed + 1))
        fi
    done
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
