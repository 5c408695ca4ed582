#!/usr/bin/env bash
# launch/dtrain-run on one host: a killed rank is restarted, the exit codes are the program's, signals save, limits hold, and
# nothing is left behind. Lost hosts: tests/hosts/run.sh.
# timeout: 120
set -euo pipefail
code=0
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
run() { # run COMMAND...: its output in out.txt and err.txt, its exit code in $code
    code=0
    "$@" >out.txt 2>err.txt || code=$?
}
digest() { sed -n 's/^ *params_sha256 //p' out.txt; }
supervisor=$SRC/launch/dtrain-run
export TMPDIR=$PWD/tmp
mkdir tmp

python3 "$SRC/tests/make_data.py" data --train 600 --test 50
train=("$DTRAIN" --data data --model "fc 32; relu; fc 10" --batch 64 --micro-batch 16 --threads 1 --progress none
    --checkpoint-every 2)
run "${train[@]}" --epochs 4 --out alone
alone=$(digest)

# ranks_of OUT: the processes that train into it
ranks_of() {
    local pid
    for pid in $(pgrep -f -- "--out $1"); do
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$(basename "$DTRAIN")" ] || echo "$pid"
    done
}
# begin OUT ARGUMENT... -- OPTION...: dtrain-run in the background, until there is a checkpoint; its number is in $job
begin() {
    local out=$1 words=() i
    shift
    while [ "$1" != -- ]; do words+=("$1") && shift; done
    shift
    "$supervisor" -np 2 "${words[@]}" -- "${train[@]}" "$@" --out "$out" >out.txt 2>err.txt &
    job=$!
    for ((i = 0; i < 500; i++)); do
        [ ! -e "$out/latest.h5" ] || return 0
        sleep 0.02
    done
}
await_end() { code=0 && wait "$job" || code=$?; }
kill_a_rank() { kill -KILL "$(ranks_of "$1" | tail -n 1)"; }

# --- a killed rank: training that takes longer than it takes to find one ---
begin killed -- --epochs 4 --time-limit 60
kill_a_rank killed
await_end
check "killed: exit code $code is 0" test "$code" = 0
check "killed: told, with the checkpoint" grep -qE '^dtrain-run: restart 1 of 10 in 1 s, from checkpoint-[0-9]+\.h5' err.txt
check "killed: the same parameters" test "$(digest)" = "$alone"
begin stopped --on-loss stop -- --epochs 4000
kill_a_rank stopped
await_end
check "on-loss stop: exit code $code is 6" test "$code" = 6
check "on-loss stop: no restart" test "$(grep -c 'restart [0-9]' err.txt)" = 0
cat >dying <<'SH'
#!/bin/sh
echo x >>starts
kill -KILL $$
SH
chmod +x dying
run "$supervisor" -np 1 --max-restarts 2 --back-off 0 -- ./dying
check "a limit: exit code $code is 6" test "$code" = 6
check "a limit: three starts" test "$(wc -l <starts)" = 3

# --- exit codes and signals ---
run "$supervisor" -np 2 -- "$DTRAIN" --data nowhere --out x
check "no data: exit code $code is 3" test "$code" = 3
check "no data: no restart" test "$(grep -c restart err.txt)" = 0
run "$supervisor" -np 2 -- "${train[@]}" --out limited --epochs 4000 --time-limit 0.5
check "time limit: exit code $code is 75" test "$code" = 75
begin term -- --epochs 4000
kill -TERM $job
await_end
check "SIGTERM: exit code $code is 75" test "$code" = 75
check "SIGTERM: saved" grep -q 'everything is saved' out.txt
begin twice -- --epochs 4000
kill -STOP "$(ranks_of twice | tail -n 1)" # cannot save
kill -INT $job 2>/dev/null || :
kill -TERM $job
sleep 0.5
kill -TERM $job
await_end
check "twice SIGTERM: exit code $code is 143" test "$code" = 143
begin orphan -- --epochs 4000
kill -KILL $job
await_end
for ((i = 0; i < 50; i++)); do [ -z "$(ranks_of orphan)" ] || sleep 0.1; done
check "killed itself: its job ends" test -z "$(ranks_of orphan)"
rm -rf tmp/dtrain-run.* # nobody was there to do it

# --- hosts that are asked: a stand-in for ssh, and for mpirun ---
cat >agent <<'SH'
#!/bin/bash
# [SECONDS] to answer; while there is a file "unreachable" none of the hosts named in it does
[ ! -e unreachable ] || ! grep -qx "$1" unreachable || exit 255
sleep "${ANSWERS_AFTER:-0}"
shift
"$@"
SH
cat >started <<'SH'
#!/bin/bash
echo "$*" >>starts
SH
chmod +x agent started
export OMPI_MCA_plm_rsh_agent=$PWD/agent
# changed NAME SED-COMMAND: a copy of dtrain-run
changed() {
    sed "$2" "$supervisor" >"$1"
    ! cmp -s "$1" "$supervisor" || echo "$2: changes nothing" >&2
    chmod +x "$1"
}
rm -f starts
ANSWERS_AFTER=2 MPIRUN=$PWD/started "$supervisor" --host other -np 1 -- ./x >out.txt 2>err.txt &
job=$!
sleep 0.5
kill -TERM $job
await_end
check "SIGTERM while hosts are asked: exit code $code is 75" test "$code" = 75
check "SIGTERM while hosts are asked: nothing is started" test ! -e starts
check "SIGTERM while hosts are asked: none is called lost" test "$(grep -c 'no answer' err.txt)" = 0
# In the moment of the start: the signal is passed on as soon as there is a job.
changed interrupted 's/^    set -m #/    kill -TERM $$\n&/'
cat >saving <<'SH'
#!/bin/bash
trap 'exit 75' USR1
for ((i = 0; i < 50; i++)); do sleep 0.1; done
SH
chmod +x saving
MPIRUN=$PWD/saving run ./interrupted -np 1 -- ./x
check "SIGTERM at the start: exit code $code is 75" test "$code" = 75

# --- ranks on other hosts alone: what is not yet the agent is no rank whose end would end the job ---
changed impatient 's/^linger=.*/linger=2/'
cat >forking <<'SH'
#!/bin/bash
(sleep 1 && exec ./agent other sleep 5) &
wait
SH
chmod +x forking
MPIRUN=$PWD/forking run ./impatient --on-loss stop --host other -np 1 -- ./x
check "no rank here: exit code $code is 0" test "$code" = 0
check "no rank here: the job lives" test "$(grep -c 'ranks of this host ended' err.txt)" = 0

# --- fewer hosts, fewer ranks: in proportion to slots, and no more than mpirun may put on a host ---
printf '%s\n' 'big slots=10' 'a slots=1' 'b slots=1' 'c slots=1' >uneven
printf '%s\n' b c >unreachable
ranks_started() { # ranks_started OPTION...: what -np mpirun gets for 4 ranks on these hosts
    rm -f starts
    MPIRUN=$PWD/started run "$supervisor" --hostfile uneven -np 4 "$@" -- ./x
    sed -n 's/^-np \([0-9]*\) .*/\1/p' starts
}
check "two of four hosts: in proportion" test "$(ranks_started)" = 3
for words in "--map-by ppr:1:node" "-map-by ppr:1:node:OVERSUBSCRIBE" "--npernode 1" "-N 1"; do
    # shellcheck disable=SC2086 # words are several
    check "two of four hosts, $words: a rank each" test "$(ranks_started $words)" = 2
done
check "two of four hosts, two ranks a host" test "$(ranks_started --map-by ppr:2:node)" = 3
rm unreachable
check "all hosts: as was asked for" test "$(ranks_started --map-by ppr:1:node)" = 4

# --- back-off begins anew after a job that ran for long, once ---
changed hasty 's/^calm=.*/calm=1/'
cat >losing <<'SH'
#!/bin/bash
sleep 2
echo other >unreachable
exit 6
SH
chmod +x losing
MPIRUN=$PWD/losing run ./hasty --host other -np 1 --max-restarts 2 -- ./x
check "back-off: doubled while no host answers" test "$(sed -n 's/.* in \([0-9]*\) s$/\1/p' err.txt | tr '\n' ' ')" = "1 2 "
rm unreachable

# --- use ---
run "$supervisor" --help
check "help" test "$code" = 0 -a "$(grep -c -e '--on-loss restart|stop' out.txt)" = 1
for words in "-np 2 $DTRAIN" "--on-loss go -- $DTRAIN" "-np x -- $DTRAIN" "--max-restarts -- $DTRAIN" "--hostfile nowhere -- $DTRAIN" "--"; do
    # shellcheck disable=SC2086 # words are several
    run "$supervisor" $words
    check "wrong use ($words): exit code $code is 2" test "$code" = 2
    check "wrong use ($words): one sentence" test "$(wc -l <err.txt)" = 1
done
(mkdir own && cd own && "$supervisor" --host localhost:2 -np 2 -- "${train[@]}" --data ../data --epochs 1 --quiet)
check "a directory of its own" test -e "$(echo own/runs/*-*/run.h5)"

check "no process is left" test -z "$(pgrep -f "$PWD" | grep -vx $$ || :)"
check "no temporary file is left" test -z "$(find tmp -name 'dtrain-run.*')"
finish
