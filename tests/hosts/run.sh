#!/usr/bin/env bash
# tests/hosts/run.sh [--short] [DTRAIN]: dtrain over several hosts, which are namespaces of this machine (tests/hosts/net.sh).
#   - three hosts find the parameters of one
#   - doctor finds a slow link and a file that differs, and is content with good ones
#   - a cut cable and a frozen host under launch/dtrain-run: named, ended in time, restarted on the others with the same bits
#   - not with --short: a sweep over hosts with latency and bandwidth, and the report's prediction against what was measured
# Runs in an empty folder of its own, or the current one. Exit code 77: namespaces are not allowed here.
set -euo pipefail
SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
short=()
if [ "${1:-}" = --short ]; then
    short=(--short)
    shift
fi
DTRAIN=${1:-${DTRAIN:-$SRC/dtrain}}
. "$SRC/tests/hosts/net.sh"
hosts_can || exit 77
if [ -n "$(ls -A)" ]; then # not in the user's folder
    here=$(mktemp -d)
    trap 'rm -rf "$here"' EXIT
    cd "$here"
    "$SRC/tests/hosts/run.sh" "${short[@]}" "$(cd "$OLDPWD" && realpath "$DTRAIN")"
    exit
fi

n_passed=0 n_failed=0
check() { # check WHAT COMMAND...: the command succeeds
    local what=$1
    shift
    if "$@"; then
        n_passed=$((n_passed + 1))
    else
        n_failed=$((n_failed + 1))
        echo "FAILED: $what" >&2
        tail -n 25 out.txt err.txt | sed 's/^/    | /' >&2
    fi
}
run() { # run COMMAND...: its output in out.txt and err.txt, its exit code in $code, its seconds in $took
    local began=$SECONDS
    code=0
    "$@" >out.txt 2>err.txt || code=$?
    took=$((SECONDS - began))
}
says() { tr -s ' \n' ' ' <out.txt | grep -qE -- "$1"; } # out.txt has it, wherever its lines end
digest() { sed -n 's/^ *params_sha256 //p' out.txt; }
# over N COMMAND...: mpirun on h1, a rank on each of N hosts
over() { local n=$1 && shift && hosts_exec h1 timeout -k 2 120 mpirun -np "$n" --hostfile net/hostfile --map-by ppr:1:node "$@"; }

# What is trained: seconds, with a checkpoint early and often.
train=("$DTRAIN" train --data data --model "fc 64; relu; fc 10" --epochs 10 --batch 64 --micro-batch 8 --threads 1 --progress none
    --checkpoint-every 5)
python3 "$SRC/tests/make_data.py" data --train 600 --test 50
run "${train[@]}" --out out/alone
alone=$(digest)
check "one host trains" test -n "$alone"
hosts_up net 3

# --- the same bits ---
run over 3 "${train[@]}" --out out/three
check "three hosts train: exit code $code" test "$code" = 0
check "three hosts: the same parameters" test "$(digest)" = "$alone"
check "three hosts: each by its name" grep -q '^ *2 on h3: ' out.txt

# --- doctor ---
if [ ${#short[@]} = 0 ]; then
    run over 3 "$DTRAIN" doctor --data data --threads 1 --out out
    check "doctor: exit code $code" test "$code" = 0
    check "doctor: data" says 'data data: four files, the same on all hosts'
fi
hosts_shape 0 20 h3 # Mbit/s
mkdir other
cp data/t10k-labels* other
printf '\1' | dd of="$(echo other/*)" bs=1 seek=12 conv=notrunc 2>/dev/null
hosts_exec h3 mount --bind "$PWD/$(echo other/*)" "$PWD/$(echo data/t10k-labels*)"
run over 3 "$DTRAIN" doctor --data data --threads 1 --out out
check "doctor: three hosts" says 'launch mpirun started 3 processes, and each sees all of them: 3 hosts'
check "doctor: clocks" says 'clocks those of 3 hosts agree within [0-9.]+ ms'
check "doctor: run directory and locks" says 'and all hosts see it .* HDF5 can lock files there, and other hosts see that'
check "a differing file: exit code $code is 3" test "$code" = 3
check "a differing file: named with its host and fix" \
    says 'data t10k-labels of data: SHA-256 [0-9a-f]{12}\.\.\. on h1, [0-9a-f]{12}\.\.\. on h3 fix: copy'
check "a slow link: named" says 'hosts h3 is slow with every other host: 0\.00[0-9]+ GB/s .* fix: leave h3 out'
check "a slow link: the sum's share" says 'bandwidth all-reduce of .* [0-2] % of the'
hosts_exec h3 umount "$PWD/$(echo data/t10k-labels*)"
hosts_shape 0 0 h3

# --- lost hosts under dtrain-run ---
# lose HOW ARGUMENT... -- OPTION OF DTRAIN...: train over three hosts by dtrain-run; when there is a checkpoint h3 is lost.
# $took seconds later all is over.
export DTRAIN_STALL_TIMEOUT=5
lose() {
    local how=$1 words=() supervisor i began
    shift
    while [ "$1" != -- ]; do words+=("$1") && shift; done
    shift
    code=0
    hosts_exec h1 timeout -k 2 90 "$SRC/launch/dtrain-run" "${words[@]}" --hostfile net/hostfile --map-by ppr:1:node -np 3 -- \
        "${train[@]}" --out "out/$how" "$@" >out.txt 2>err.txt &
    supervisor=$!
    for ((i = 0; i < 400; i++)); do
        [ ! -e "out/$how/latest.h5" ] || break
        sleep 0.02
    done
    "$how" h3
    began=$SECONDS
    wait $supervisor || code=$?
    took=$((SECONDS - began))
}
cut_off() { hosts_link "$1" down; }
frozen() { hosts_freeze "$1"; }
nothing_left() { # on h1 and h2, after the second that daemons may take
    local i
    for ((i = 0; i < 50; i++)); do
        [ -n "$(hosts_pids h1 && hosts_pids h2)" ] || return 0
        sleep 0.1
    done
    ps -o pid,args -p "$(hosts_pids h1 | tr '\n' ,)$(hosts_pids h2 | tr '\n' ,)1" >>err.txt
    return 1
}

lose frozen --on-loss stop -- --epochs 4000
check "a frozen host: exit code $code is 6" test "$code" = 6
check "a frozen host: ended after $took s, of 10" test "$took" -le 10
check "a frozen host: named" grep -qE '^dtrain-run: h3 has not answered for 5 s|rank 2 \(h3\)' err.txt
check "a frozen host: nothing is left on the others" nothing_left
hosts_thaw h3
hosts_clear h3

lose cut_off --
check "a cut cable: exit code $code is 0" test "$code" = 0
check "a cut cable: restarted" grep -q '^dtrain-run: restart 1 of 10 in 1 s, from checkpoint-' err.txt
check "a cut cable: without the lost host" grep -q '^dtrain-run: no answer from h3' err.txt
check "a cut cable: two hosts go on" grep -q '^ *output .*resumed at step' out.txt
check "a cut cable: the same parameters" test "$(digest)" = "$alone"
check "a cut cable: nothing is left on the others" nothing_left
hosts_link h3 up
hosts_clear h3

if [ ${#short[@]} = 0 ]; then
    unset DTRAIN_STALL_TIMEOUT
    # shellcheck source=tests/hosts/sweep.sh
    . "$SRC/tests/hosts/sweep.sh"
fi
echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ]
