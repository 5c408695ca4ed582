#!/usr/bin/env bash
# timeout: 300
# The promise, by the whole program: the same parameters to the last bit, and the same figures, for every number of ranks and
# threads, in float32 and in bf16, whether sums overlap with computing or not. 10 micro-batches a step, so that most numbers
# of workers share them unevenly or have some idle; a short last step; dropout.
set -euo pipefail

# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
python3 "$SRC/tests/make_data.py" data --train 800 --test 100
common=(--data data --samples 700 --validation 52 --batch 160 --micro-batch 16 --epochs 2 --seed 7 --progress none
    --model "conv 16 3; relu; pool 2; dropout 0.25; conv 24 3; relu; pool 2 avg; fc 48; relu; fc 10")
run() { # run RANKS THREADS DIR ARGUMENTS...: exit code in rc
    local ranks=$1 threads=$2 dir=$3
    shift 3
    local launcher=("$MPIRUN" -np "$ranks")
    [ "$ranks" -gt 1 ] || launcher=()
    rc=0
    "${launcher[@]}" "$DTRAIN" "${common[@]}" --threads "$threads" --out "$dir" "$@" >said 2>&1 || rc=$?
}
digest() { sed -n 's/.*params_sha256[": ]*\([0-9a-f]\{64\}\).*/\1/p' said | tail -n 1; }
figures() { # figures DIR: what the log says of the epochs, without times
    python3 -c '
import json, sys
for line in open(sys.argv[1] + "/log.jsonl"):
    event = json.loads(line)
    if event["event"] == "epoch":
        print([(k, v) for k, v in event.items() if k not in ("time", "seconds", "images_per_second") and not k.startswith("slowest_")])' "$1"
}
# same WHAT DIR: as the first run of this precision
same() {
    check "$1: runs" [ "$rc" -eq 0 ]
    check "$1: the same bits" [ "$(digest)" = "$want" ]
    check "$1: the same figures" [ "$(figures "$2")" = "$want_figures" ]
}

first_digest=
for precision in f32 bf16; do
    run 1 1 "$precision-1-1" --precision "$precision"
    if [ "$precision" = bf16 ] && [ "$rc" -eq 2 ]; then
        check "a CPU without bf16 says so" grep -q 'neither AVX512-BF16 nor AMX' said
        echo "not tried: bf16 (this CPU has none)"
        break
    fi
    want=$(digest)
    want_figures=$(figures "$precision-1-1")
    check "$precision: a run" [ "$rc" -eq 0 -a ${#want} -eq 64 ]
    check "$precision: two epochs' figures" [ "$(wc -l <<<"$want_figures")" -eq 2 ]
    check "$precision: a precision has bits of its own" [ "$want" != "$first_digest" ]
    first_digest=$want
    for ranks in 1 2 3 4 5 8; do
        for threads in 1 2; do
            [ "$ranks$threads" != 11 ] || continue
            run $ranks $threads "$precision-$ranks-$threads" --precision "$precision"
            same "$precision, $ranks ranks x $threads threads" "$precision-$ranks-$threads"
        done
    done
    for ranks in 2 3 5; do
        run $ranks 2 "$precision-$ranks-overlap" --precision "$precision" --overlap on
        same "$precision, $ranks ranks with overlap" "$precision-$ranks-overlap"
    done
    # The bits are those of the file, by rank 0's own account and by the reader's.
    check "the digest is latest.h5's" grep -qa "$want" "$precision-5-overlap/latest.h5"
done

# And the test can tell: another seed has other bits.
run 2 1 other --seed 8
check "another seed, other bits" [ "$rc" -eq 0 -a "$(digest)" != "$want" ]

finish
