#!/usr/bin/env bash
# The sums between GPUs (tests/cuda_sums.c) on the simulated device: 1 to 3 ranks, three schedules; and a rank that is lost.
# timeout: 180
set -euo pipefail
program=${CUDA_TESTS:-}/cuda_sums
if [ -z "${SIMDEV_DIR:-}" ] || [ ! -x "$program" ]; then
    echo "no simulated device in this build"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
for schedule in eager lazy random; do
    for n in 1 2 3; do
        check "$n ranks, $schedule" env SIMDEV_SCHED=$schedule "$SRC/tests/simdev/run" "$MPIRUN" -np "$n" "$program"
    done
done
code=0
timeout 60 "$SRC/tests/simdev/run" "$MPIRUN" -np 3 "$program" lost >said 2>&1 || code=$?
check "a lost rank ends the job with 6, not $code" test "$code" = 6
check "... and is noticed" grep -Eq 'rank [01]: 6, NCCL on rank [01] of 3' said
[ "$n_failed" -eq 0 ] || cat said >&2
finish
