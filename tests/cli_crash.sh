#!/usr/bin/env bash
# timeout: 300
# The disk fails, or the power, at the k-th call that changes a file of the run directory, for every k of a whole run
# (tests/crash_shim.c stands between the program and the system). After a kill or a power cut: the newest checkpoint can be
# read, and --resume ends with the bits of a run that nothing happened to, and leaves nothing temporary. After a call that
# failed: a warning, training goes on to its end, exit code 4, and again --resume.
set -euo pipefail

"${CC:-cc}" -shared -fPIC -O1 -std=c11 -D_GNU_SOURCE -o shim.so "$SRC/tests/crash_shim.c" -pthread
# A sanitizer's library wants to come first.
sanitizer=$(ldd "$DTRAIN" | sed -n 's/.*=> \(.*lib[at]san[^ ]*\) .*/\1/p')
export NO_COLOR=1 SHIM="${sanitizer:+$sanitizer }$PWD/shim.so" TOP=$PWD
python3 "$SRC/tests/make_data.py" data --train 96 --test 20 --size 12 --classes 4

train() { # train ARGUMENTS...: three updates an epoch; what it says into said
    "$DTRAIN" train --data "$TOP/data" --model 'fc 4' --batch 32 --micro-batch 16 --epochs 2 --threads 1 --keep 1 \
        --progress lines "$@" >said 2>&1
}
digest() { sed -n 's/.*params_sha256 *\([0-9a-f]\{64\}\).*/\1/p' said | tail -n 1; }

# try HOW K: one line about what is wrong, or nothing
try() {
    local how=$1 k=$2 rc=0 newest want_rc=137 kept at
    exec 2>noise # the shell tells of each killed process
    mkdir "$how-$k" && cd "$how-$k"
    CRASH_IN=$PWD/run CRASH_NOT=log.jsonl CRASH_AT=$k CRASH_HOW=$how CRASH_RENAMED=$PWD/renamed LD_PRELOAD=$SHIM \
        train --out run || rc=$?
    case $how in
    EINTR) want_rc=0 ;;
    E* | short) want_rc=4 ;;
    esac
    if [ "$rc" = 0 ] && grep -q 'warning: cannot remove ' said; then
        rc=4 # what is too much is worth a warning, no more
    fi
    [ "$rc" = "$want_rc" ] || echo "$how $k: exit code $rc, not $want_rc"
    if [ "$want_rc" = 4 ] && [ -e run/run.h5 ]; then
        grep -qE '^dtrain: warning: .*(Input/output error|No space left)' said || echo "$how $k: no warning with a reason"
        grep -qE 'epoch +2/2' said || echo "$how $k: training did not go on"
        [ -z "$(find run -name '*.tmp')" ] || echo "$how $k: left behind: $(find run -name '*.tmp')"
    fi
    # What latest.h5 was once set to is on the disk, or something newer.
    kept=$(sed -n 's/^checkpoint-\([0-9]*\).*/\1/p; s/^latest.*/kept/p' renamed 2>/dev/null | grep -B 1 kept | tail -n 2 | head -n 1)
    newest=$(find run -name 'checkpoint-*.h5' 2>/dev/null | sed 's/.*-\([0-9]*\).h5$/\1/' | sort -n | tail -n 1)
    [ "${newest:-0}" -ge "${kept:-0}" ] || echo "$how $k: the newest checkpoint is of step ${newest:-0}, step $kept was saved"
    if [ -L run/latest.h5 ] && [ "$want_rc" = 137 ]; then
        "$DTRAIN" eval run --last --data "$TOP/data" >said 2>&1 || echo "$how $k: latest.h5: $(cat said)"
    fi
    rc=0
    train --out run --resume || rc=$?
    [ "$rc" = 0 ] || echo "$how $k: --resume: exit code $rc: $(tail -n 1 said)"
    [ "$(digest)" = "$WANT" ] || echo "$how $k: --resume: other bits"
    at=$(sed -n 's/.*resumed* .*step \([0-9]*\).*/\1/p' said | head -n 1)
    [ "${at:-0}" = "${newest:-0}" ] || echo "$how $k: resumed at step ${at:-0}, the newest checkpoint is of step ${newest:-0}"
    ! grep -q '^dtrain: ' said || echo "$how $k: --resume says: $(grep '^dtrain: ' said)"
    [ "$(readlink run/latest.h5)" = checkpoint-6.h5 ] || echo "$how $k: latest.h5 -> $(readlink run/latest.h5)"
    [ "$(readlink run/best.h5)" = "$BEST" ] || echo "$how $k: best.h5 -> $(readlink run/best.h5), not $BEST"
    [ "$want_rc" != 137 ] || "$DTRAIN" eval run --data "$TOP/data" >said 2>&1 || echo "$how $k: best.h5: $(cat said)"
    [ -z "$(find run -name '*.tmp')" ] || echo "$how $k: left behind after --resume: $(find run -name '*.tmp')"
    [ "$(find run -name 'checkpoint-*' | wc -l)" -le 2 ] || echo "$how $k: not pruned: $(ls -m run)"
    cd .. && rm -r "$how-$k"
}
# try_log HOW K: the same for log.jsonl, of which nothing but a line may be lost
try_log() {
    local how=$1 k=$2 rc=0
    exec 2>noise
    mkdir "log-$how-$k" && cd "log-$how-$k"
    CRASH_IN=$PWD/run/log.jsonl CRASH_AT=$k CRASH_HOW=$how LD_PRELOAD=$SHIM train --out run || rc=$?
    [ "$rc" = 4 ] || echo "log $how $k: exit code $rc, not 4"
    grep -q '^dtrain: .*run/log.jsonl: ' said || echo "log $how $k: no sentence names the log"
    if [ -e run/run.h5 ]; then
        train --out run --resume || echo "log $how $k: --resume: $(tail -n 1 said)"
        [ "$(digest)" = "$WANT" ] || echo "log $how $k: other bits"
        python3 -c 'import json; [json.loads(line) for line in open("run/log.jsonl")]' || echo "log $how $k: no JSON"
    fi
    cd .. && rm -r "log-$how-$k"
}
export -f train digest try try_log

CRASH_IN=$PWD/whole CRASH_NOT=log.jsonl CRASH_COUNT=count LD_PRELOAD=$SHIM train --out whole
WANT=$(digest) BEST=$(readlink whole/best.h5) n=$(<count)
export WANT BEST
if [ ${#WANT} -ne 64 ] || [ "$n" -lt 30 ]; then
    echo "FAILED: the run without a failure ($n calls)" && cat said && exit 1
fi

for k in $(seq "$n"); do
    for how in kill power EIO; do echo "$how $k"; done
done >cases
for k in $(seq 3 4 "$n"); do
    for how in half short ENOSPC; do echo "$how $k"; done
done >>cases
echo "EINTR 0" >>cases
sed -i 's/^/try /' cases
CRASH_IN=$PWD/log/log.jsonl CRASH_COUNT=count LD_PRELOAD=$SHIM train --out log
for k in $(seq "$(<count)"); do
    for how in ENOSPC short; do echo "try_log $how $k"; done
done >>cases
# shellcheck disable=SC2016 # the inner shell expands these
xargs -P 2 -L 1 bash -c '"$0" "$@"' <cases >wrong || echo "a case ended early" >>wrong
# No file may have a byte (ulimit -f 0): as with a full disk, and not a signal's death.
echo "limit 0" >>cases
python3 - "$DTRAIN" >>wrong <<'PY'
import resource, subprocess, sys
run = subprocess.run([sys.argv[1], "train", "--data", "data", "--model", "fc 4", "--batch", "32", "--micro-batch", "16",
                      "--epochs", "2", "--threads", "1", "--out", "limit"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)), check=False)
if run.returncode != 4 or b"epoch   2/2" not in run.stdout or b"File too large" not in run.stdout:
    print("limit 0: exit code", run.returncode, run.stdout.decode().replace("\n", "; "))
PY
sed 's/^/FAILED: /' wrong >&2
n_failed=$(cut -d: -f1 wrong | sort -u | wc -l)
echo "$(($(wc -l <cases) - n_failed)) passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
