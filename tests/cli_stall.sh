#!/usr/bin/env bash
# timeout: 240
# A rank that is stopped (SIGSTOP) or blocked in writing is named by the others, with phase, and the job ends by itself in
# time with exit code 6, at every phase; what was saved is whole, and --resume ends with the bits of a run that nothing
# happened to. No alarm: a whole job that was stopped and continued, a machine under load, --stall-timeout 0.
set -euo pipefail

"${CC:-cc}" -shared -fPIC -O1 -std=c11 -D_GNU_SOURCE -I"$SRC" -o shim.so "$SRC/tests/stall_shim.c" -pthread -ldl
sanitizer=$(ldd "$DTRAIN" | sed -n 's/.*=> \(.*lib[at]san[^ ]*\) .*/\1/p')
slow=${sanitizer:+4} # a sanitizer's program needs more time for everything
export NO_COLOR=1 SHIM="${sanitizer:+$sanitizer }$PWD/shim.so" TOP=$PWD T=$((4 * ${slow:-1})) DTRAIN MPIRUN
python3 "$SRC/tests/make_data.py" data --train 640 --test 200 --size 12 --classes 4

# job DIR RANKS ARGUMENTS...: what it says into DIR.said
job() {
    local dir=$1 ranks=$2
    shift 2
    timeout -k 5 100 "$MPIRUN" -np "$ranks" env LD_PRELOAD="${PRELOAD-}" "$DTRAIN" train --data "$TOP/data" --model 'fc 4' --batch 32 --micro-batch 16 \
        --epochs 3 --threads 1 --checkpoint-every 5 --progress none --out "$dir" --stall-timeout "$T" "$@" >"$dir.said" 2>&1
}
digest() { sed -n 's/.*params_sha256 *\([0-9a-f]\{64\}\).*/\1/p' "$1.said" | tail -n 1; }

# late NAME RANK PHASE-PATTERN VARIABLE=VALUE...: rank RANK of 2 stops; one line about what is wrong, or nothing
late() {
    local name=$1 rank=$2 phase=$3 rc=0 begin=$EPOCHREALTIME took
    shift 3
    mkdir -p "$name" && cd "$name"
    (
        export STALL_RANK="$rank" PRELOAD="$SHIM" # of the ranks, not of mpirun
        for setting in "$@"; do export "${setting?}"; done
        job run 2
    ) || rc=$?
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
    [ "$rc" = 6 ] || echo "$name: exit code $rc, not 6: $(tail -n 1 run.said)"
    grep -qE "^dtrain: rank [0-9]+ \(.*\): rank $rank \(.*\) .*; phase ($phase), step [0-9]+, last finished collective: .*--stall-timeout $T" \
        run.said || echo "$name: is not named as it should be: $(grep '^dtrain: ' run.said || tail -n 1 run.said)"
    [ "$(grep -c 'stall-timeout' run.said)" = 1 ] || echo "$name: not said once: $(grep stall-timeout run.said | tr '\n' ' ')"
    # start (2 s), the time-out, and 5 s more; a machine that is busy with other tests takes longer
    awk -v took="$took" -v limit=$((T + 5 + 10 * ${slow:-1})) 'BEGIN { exit took > limit }' || echo "$name: took $took s"
    if [ -L run/latest.h5 ]; then
        "$DTRAIN" eval run --last --data "$TOP/data" >eval.said 2>&1 || echo "$name: latest.h5: $(cat eval.said)"
    fi
    T=60 job run 1 --resume || echo "$name: --resume: $(tail -n 1 run.said)"
    [ "$(digest run)" = "$WANT" ] || echo "$name: --resume: other bits"
    cd ..
}

# other COMMAND RANK PHASE PHASE-NUMBER: the same of a command that trains nothing, on 3 ranks
other() {
    local rc=0 words=(--threads 1 --stall-timeout "$T") said=$1-$2.said
    [ "$1" != doctor ] || words+=(--data "$TOP/data" --out "doctor-$2")
    timeout -k 5 60 "$MPIRUN" -np 3 env STALL_RANK="$2" STALL_PHASE="$4" LD_PRELOAD="$SHIM" \
        "$DTRAIN" "$1" "${words[@]}" >"$said" 2>&1 || rc=$?
    [ "$rc" = 6 ] || echo "$1-$2: exit code $rc, not 6: $(tail -n 1 "$said")"
    grep -qE "^dtrain: rank [0-9]+ \(.*\): rank $2 \(.*\) .*; phase $3, .*--stall-timeout $T" "$said" ||
        echo "$1-$2: is not named as it should be: $(grep '^dtrain: ' "$said" || tail -n 1 "$said")"
}
export -f job digest late other

T=60 job whole 2
WANT=$(digest whole)
export WANT slow
[ ${#WANT} -eq 64 ] || { echo "FAILED: the run that nothing happens to" && cat whole.said && exit 1; }

cat >cases <<'EOF'
late start-1 1 start-up|data STALL_PHASE=0 STALL_MS=2
late meeting-1 1 start-up STALL_MEETING=1
late mapped-1 1 start-up STALL_MEETING=2
late data-0 0 data|start-up STALL_PHASE=1
late training-0 0 training|evaluation|checkpoint STALL_PHASE=2
late training-1 1 training|evaluation|checkpoint STALL_PHASE=2 STALL_MS=5
late evaluation-1 1 evaluation|training|checkpoint STALL_PHASE=3
late checkpoint-0 0 checkpoint|training|evaluation STALL_PHASE=4
late end-1 1 end STALL_PHASE=5
late end-0 0 end STALL_PHASE=5
late finalize-1 1 end STALL_FINALIZE=1
late finalize-0 0 end STALL_FINALIZE=1
late fsync-9 0 checkpoint STALL_FSYNC=9
late sockets-1 1 [-a-z]+ STALL_PHASE=2 STALL_NO_MEMFD=1
late sockets-0 0 [-a-z]+ STALL_PHASE=2 STALL_NO_MEMFD=1
other doctor 1 measuring 7
other doctor 0 measuring 7
other bench 1 measuring 7
other devices 2 end 5
EOF
# shellcheck disable=SC2016 # the inner shell expands these
xargs -P 6 -L 1 bash -c '"$0" "$@"' <cases >wrong 2>&1 || echo "a case ended early" >>wrong

# One process alone, whose disk hangs: it says so itself.
echo "alone" >>cases
rc=0
STALL_RANK=0 STALL_FSYNC=6 timeout -k 5 60 env LD_PRELOAD="$SHIM" "$DTRAIN" train --data data --model 'fc 4' --epochs 2 --out alone \
    --stall-timeout "$T" >alone.said 2>&1 || rc=$?
if [ "$rc" != 6 ] || ! grep -q "blocked in writing its files" alone.said; then echo "alone: $rc: $(tail -n 1 alone.said)" >>wrong; fi

# Stopped as a whole for longer than the time-out and continued, under load: no alarm.
echo "no-alarm" >>cases
for _ in 1 2 3 4; do nice -n 5 sh -c 'while :; do :; done' & load="${load:-} $!"; done
job calm 2 --epochs 8 &
calm=$!
for _ in $(seq 400); do
    [ ! -e calm/checkpoint-5.h5 ] || break
    sleep 0.05
done
launcher=$(pgrep -P "$(pgrep -P $calm -x timeout)" -x "$(basename "$MPIRUN")" || true)
# The ranks are those of this launcher alone.
ranks=$(pgrep -P "${launcher:-none}" -x dtrain || true)
# shellcheck disable=SC2086 # several numbers
if [ "$(wc -w <<<"$ranks")" = 2 ]; then
    kill -STOP $ranks
    sleep $((T + 1))
    kill -CONT $ranks
else
    echo "no-alarm: found no ranks to stop" >>wrong
fi
wait $calm || echo "no-alarm: exit code $?: $(tail -n 1 calm.said)" >>wrong
# shellcheck disable=SC2086
kill $load
sed 's/^/FAILED: /' wrong >&2
n_failed=$(cut -d: -f1 wrong | sort -u | wc -l)
echo "$(($(wc -l <cases) - n_failed)) passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
