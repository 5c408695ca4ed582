#!/usr/bin/env bash
# timeout: 120
# Watchers of several hosts (namespaces of this machine): a rank that is alone on its host and stops is named by another
# host's, rank 0 as well; and when a cable is cut, the ranks on both of its sides leave by themselves, without mpirun's help.
set -euo pipefail
. "$SRC/tests/hosts/net.sh"
hosts_can || exit 77
hosts_up net 3
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
python3 "$SRC/tests/make_data.py" data --train 600 --test 50
rank_on() { # HOST: its process of dtrain
    local pid
    for pid in $(hosts_pids "$1"); do
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null || true)" = dtrain ]; then echo "$pid"; fi
    done
}
start() { # start DIR: three hosts train, and have a checkpoint
    hosts_exec h1 timeout -k 2 60 mpirun -np 3 --hostfile net/hostfile --map-by ppr:1:node "$DTRAIN" train --data data --model 'fc 10' \
        --epochs 4000 --batch 64 --micro-batch 16 --threads 1 --checkpoint-every 5 --progress none --stall-timeout 4 --out "$1" \
        >said 2>&1 &
    job=$!
    for _ in $(seq 1000); do
        [ ! -e "$1/latest.h5" ] || return 0
        sleep 0.01
    done
}
for host in 3 1; do
    start "stop-$host"
    kill -STOP "$(rank_on h$host)"
    began=$SECONDS rc=0
    wait $job || rc=$?
    check "rank $((host - 1)) stops: exit code $rc is 6" [ "$rc" -eq 6 ]
    check "it is named by another host" grep -qE "^dtrain: rank [0-2] \(h[123]\): rank $((host - 1)) \(h$host\) is stopped or lost: .*phase [a-z]+, step [0-9]+, last" said
    check "in time: $((SECONDS - began)) s" [ $((SECONDS - began)) -le 12 ]
    check "what was saved is whole" "$DTRAIN" eval "stop-$host" --last --data data --quiet
done
start cut
hosts_link h3 down
sleep 8
check "cut: the ranks of all hosts have left" [ -z "$(rank_on h1)$(rank_on h2)$(rank_on h3)" ]
hosts_clear h1
hosts_clear h2
hosts_clear h3
wait $job || true
check "cut: what was saved is whole" "$DTRAIN" eval cut --last --data data --quiet
finish
