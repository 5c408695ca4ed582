#!/usr/bin/env bash
# run.sh [PART...]: launch/submit on a real Slurm of three emulated nodes, made for this and removed afterwards (cluster.sh).
# Without parts, all of them:
#   basic       a training on two nodes by srun and by mpirun; ranks that cannot find each other are refused
#   launchers   srun with PMIx, mpirun, a Slurm without PMIx; ranks, cores and GPUs that each gives a rank
#   preempt     preempted by a job of higher priority: saved, requeued, resumed, the bits of an undisturbed run
#   warned      SIGUSR1 by hand to the script, to the ranks, to both; the limit of restarts
#   cancel      scancel: not requeued, what was saved is whole
#   timelimit   the signal before the end of the time
#   lost        a node set down, and a slurmd killed, amid a run; it goes on with the nodes that are left
#   sweep       --sweep, its report behind it, and dtrain sweep as one job
#   codes       every exit code of dtrain is the job's; a killed rank ends the job, which is not requeued
# Needs root, slurm-wlm and munge; says why and ends with 77 where it cannot be done. States are asked for, not slept for.
set -uo pipefail
SRC=${SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
export DTRAIN=${DTRAIN:-$SRC/dtrain}
. "$SRC/tests/slurm/cluster.sh"
parts=("$@")
[ $# -gt 0 ] || parts=(basic launchers preempt warned cancel timelimit lost sweep codes)
reason=$(cluster_reason)
if [ -n "$reason" ]; then
    echo "skipped: $reason"
    exit 77
fi

n_passed=0 n_failed=0 job='' log=/dev/null
check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then
        n_passed=$((n_passed + 1))
    else
        n_failed=$((n_failed + 1))
        echo "FAILED: $what (job $job)" >&2
        tail -n 12 "$log" 2>/dev/null | sed 's/^/    | /' >&2
    fi
}
within() { # within SECONDS COMMAND...: it comes true in that time
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

# --- jobs ---
submit() { # OPTION...: the newest job in job, what it says in log
    job=$("$SRC/launch/submit" --site site.sh --cpu "$@") || return
    job=${job%%$'\n'*}
    log=dtrain-$job.log
}
fact() { scontrol show job -o "${2:-$job}" 2>/dev/null | head -n 1 | tr ' ' '\n' | sed -n "s/^$1=//p" | head -n 1; } # NAME [JOB]
state_is() { [[ $(fact JobState "${2:-}") =~ ^($1)$ ]]; }
over() { state_is 'COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|PREEMPTED' "${1:-$job}"; }
# shellcheck disable=SC2120 # the newest job
ends() { within 120 over "${1:-$job}"; } # [JOB]
code_is() { [ "$(fact ExitCode)" = "$1:0" ]; }
says() { grep -qsE -- "$1" "$log"; }
times() { [ "$(grep -csE -- "$2" "$log")" -eq "$1" ]; } # N REGEX
digest() { sed -n 's/.*params_sha256 *\([0-9a-f]\{64\}\).*/\1/p' "${1:-$log}" | tail -n 1; }
same_bits() { [ "$(digest)" = "$want" ]; }
amid() { # past the checkpoint of the untrained network
    local newest
    newest=$(readlink "runs/slurm-$job/latest.h5") && [ "$newest" != checkpoint-0.h5 ]
}
begin() { # OPTION...: the long training, amid its first epochs
    submit "$@" -- "${long[@]}"
    check "$*: starts" within 60 amid
}
finished() { # WHAT RESTARTS: with the bits of the run that nobody disturbed
    check "$1: ends" ends
    check "$1: well" state_is COMPLETED
    check "$1: after $2 restarts" [ "$(fact Restarts)" = "$2" ]
    check "$1: by going on" times "$2" 'output .*resumed at step [1-9]'
    check "$1: with the same bits" same_bits
    check "$1: nothing temporary is left" [ -z "$(find "runs/slurm-$job" -name '*.tmp*')" ]
}

# --- parts ---
# a stand-in for dtrain that tells what a rank was given: number on its node, cores, GPUs
probe() {
    cat >probe <<'PY'
#!/usr/bin/env python3
import os, sys
env = os.environ.get
line = (f"{env('SLURMD_NODENAME')} {env('OMPI_COMM_WORLD_LOCAL_RANK', env('SLURM_LOCALID'))} slurm-local {env('SLURM_LOCALID')} "
        f"cores {','.join(map(str, sorted(os.sched_getaffinity(0))))} gpus {env('CUDA_VISIBLE_DEVICES')} words {sys.argv[1:]}\n")
with open(f"probed-{env('SLURM_JOB_ID')}", "a") as file:
    file.write(line)
PY
    chmod +x probe
}
probed_all() { ! probed | grep -vE -- "$1"; }
probed() { sort "probed-$job"; }
part_basic() {
    local launcher
    for launcher in "${launchers[@]}"; do
        submit --nodes 2 --launcher "$launcher" -- "${short[@]}"
        check "$launcher: ends" ends
        check "$launcher: well" state_is COMPLETED
        check "$launcher: a rank a node, with all cores" says "ranks +0-1 on .*: 2 threads each"
        check "$launcher: the bits of one process" [ "$(digest)" = "$want_short" ]
    done
    # With another PMI than Open MPI's these would be two trainings that are rank 0 of 1 each.
    srun -n 2 --mpi=none "$DTRAIN" "${short[@]}" --out single >single.log 2>&1
    check "srun without PMIx is refused" [ $? -eq 2 ]
    check "and says so" grep -q "srun started 2 processes that cannot find each other" single.log
    check "nothing was trained" [ ! -e single ]
}
part_launchers() {
    local launcher cores
    for launcher in "${launchers[@]}"; do
        submit --nodes 2 --ranks-per-node 2 --launcher "$launcher" -- "${short[@]}"
        check "$launcher, 4 ranks: end" ends
        check "$launcher, 4 ranks: a core each" says "ranks +0-3 on .*: 1 thread each"
        check "$launcher, 4 ranks: the bits of one process" [ "$(digest)" = "$want_short" ]
    done
    submit --nodes 2 -- "${short[@]}"
    check "auto: ends" ends
    check "auto: takes ${launchers[0]}" says "^dtrain.sbatch: .*: ${launchers[0]} -"

    # What a rank gets. All GPUs of its node, of which dtrain takes the one with its number there: one visible GPU alone
    # could not be reached by its neighbours. SLURM_LOCALID is 0 for all under mpirun, so nobody may go by that.
    probe
    for launcher in "${launchers[@]}"; do
        job=$(DTRAIN=$PWD/probe "$SRC/launch/submit" --site site.sh --nodes 2 --gpus-per-node 2 --launcher "$launcher" -- \
            train "two words" "it's" "\$HOME")
        log=dtrain-$job.log
        check "$launcher: the probe ends" ends
        check "$launcher: 4 ranks, each with both GPUs" [ "$(probed | grep -c ' gpus 0,1 ')" -eq 4 ]
        check "$launcher: two on each node" [ "$(probed | cut -d' ' -f1,2 | tr '\n' ' ')" = "n1 0 n1 1 n2 0 n2 1 " ]
        check "$launcher: words unharmed" probed_all "words \\['train', 'two words', \"it's\", '\\\$HOME'"
        [ "$launcher" != mpirun ] || check "mpirun: SLURM_LOCALID is wrong" [ "$(probed | grep -c 'slurm-local 0')" -eq 4 ]
    done
    if [ "$(nproc)" -ge 2 ]; then
        for launcher in "${launchers[@]}"; do
            job=$(DTRAIN=$PWD/probe "$SRC/launch/submit" --site site.sh --cpu --nodes 2 --launcher "$launcher")
            log=dtrain-$job.log
            ends "$job"
            for cores in $(probed | cut -d' ' -f6); do
                check "$launcher: a rank alone on its node has all cores, not one ($cores)" [ "$cores" = 0,1 ]
            done
            check "$launcher: both nodes" [ "$(probed | wc -l)" -eq 2 ]
        done
    fi
    job=$("$SRC/launch/submit" --site site.sh --nodes 2 --gpus-per-node 2 -- "${short[@]}")
    log=dtrain-$job.log
    check "no usable GPU: ends" ends
    check "no usable GPU: exit code 5, not a run on CPUs" code_is 5
}
part_nopmix() { # on a cluster whose Slurm has no PMIx
    check "no PMIx in the list of this srun" [ "$(srun --mpi=list 2>&1 | grep -c pmix)" -eq 0 ]
    submit --nodes 2 -- "${short[@]}"
    check "without PMIx: ends" ends
    check "without PMIx: by mpirun" says "^dtrain.sbatch: .*: mpirun -np 2"
    check "without PMIx: the bits of one process" [ "$(digest)" = "$want_short" ]
}
preempt() { # WHAT LAUNCHER
    local low
    begin --nodes 2 --partition low --launcher "$2"
    low=$job
    job=$(sbatch --parsable -p high -N 3 --exclusive --output=high.log --wrap "date +%s.%N; sleep 0.5")
    check "the other job ends" ends
    check "the other job ran" state_is COMPLETED
    job=$low
    finished "$1" 1
}
part_preempt() {
    preempt preempted "${launchers[0]}"
    check "preempted: was told so" says "stopped by SIGUSR1"
    # Where Slurm does not send the signal that was asked for: SIGTERM.
    sed -i.whole '/send_user_signal/d' "$SLURM_CONF"
    scontrol reconfigure
    for launcher in "${launchers[@]}"; do
        preempt "preempted by SIGTERM, $launcher" "$launcher"
        [ "$launcher" = mpirun ] || check "preempted by SIGTERM: was told so" says "stopped by SIG(TERM|USR1)"
    done
    mv "$SLURM_CONF.whole" "$SLURM_CONF"
    scontrol reconfigure
}
part_warned() {
    local to
    for to in "--batch" "--full" ""; do
        for launcher in "${launchers[@]}"; do
            begin --nodes 2 --launcher "$launcher"
            # shellcheck disable=SC2086 # none or one
            scancel --signal=USR1 $to "$job"
            finished "USR1 ${to:-to the ranks}, $launcher" 1
        done
    done
    # What has nothing to go on from does not come back to begin anew.
    for launcher in "${launchers[@]}"; do
        submit --nodes 2 --launcher "$launcher" -- bench
        check "bench, $launcher: starts" within 60 has_rank
        scancel --signal=USR1 --batch "$job"
        check "bench, $launcher: ends" ends
        check "bench, $launcher: exit code $(fact ExitCode), not 138" code_is 138
        check "bench, $launcher: not requeued" [ "$(fact Restarts)" = 0 ]
    done
    begin --nodes 2 --max-requeues 1
    scancel --signal=USR1 --batch "$job"
    check "the limit: comes back once" within 60 says "restart 1 on"
    check "the limit: is amid again" within 60 times 1 "output .*resumed at step"
    scancel --signal=USR1 --batch "$job"
    check "the limit: ends" ends
    check "the limit: not requeued" says "saved, and not queued again: --max-requeues 1"
    check "the limit: exit code 75" code_is 75
    begin --nodes 2
    scancel --signal=TERM --batch "$job"
    check "TERM to the script: ends" ends
    check "TERM to the script: saved, and not requeued" code_is 75
}
part_cancel() {
    for launcher in "${launchers[@]}"; do
        begin --nodes 2 --launcher "$launcher"
        scancel "$job"
        check "scancel, $launcher: ends" ends
        check "scancel, $launcher: is cancelled" state_is CANCELLED
        check "scancel, $launcher: has not come back" [ "$(fact Restarts)" = 0 ]
        check "scancel, $launcher: no rank stays" within 20 no_ranks
        "$DTRAIN" "${long[@]}" --out "runs/slurm-$job" --resume >again.log 2>&1
        check "scancel, $launcher: goes on by hand" [ $? -eq 0 ]
        check "scancel, $launcher: to the same bits" [ "$(digest again.log)" = "$want" ]
    done
}
a_rank() { # a process of this job that trains, the newest
    local rank
    grep -lzs "^SLURM_JOB_ID=$job$" /proc/[0-9]*/environ | cut -d/ -f3 | while read -r rank; do
        [ "$(cat "/proc/$rank/comm" 2>/dev/null)" != dtrain ] || echo "$rank"
    done | tail -n 1
}
has_rank() { [ -n "$(a_rank)" ]; }
no_ranks() { ! grep -qlzs "^SLURM_JOB_ID=$job$" /proc/[0-9]*/environ; }
part_timelimit() { # the shortest limit there is, so the signal may come as soon as the job starts
    submit --nodes 2 --time 1 --save-time 30 --max-requeues 20 -- "${long[@]}" --epochs 4000 --time-limit 10m
    check "time: is warned" within 100 says "stopped by SIGUSR1"
    check "time: comes back" within 60 says "restart 1 on"
    check "time: goes on" within 60 says "output .*resumed at step"
    check "time: was not cut off" [ "$(grep -c 'DUE TO TIME LIMIT' "$log")" -eq 0 ]
    scancel "$job"
    ends "$job"
}
on_node() { # what runs of this job on a node
    grep -lzs "^SLURM_JOB_ID=$job$" /proc/[0-9]*/environ | cut -d/ -f3 | while read -r process; do
        ! grep -qzs "^SLURMD_NODENAME=$1$" "/proc/$process/environ" || echo "$process"
    done
}
# Open MPI's crash on emulated nodes that CLUSTER.md tells of: a rank dies before the newest start has said anything.
crashed_in_init() {
    tac "$log" | awk '/restart [0-9]+ on / { exit } { print }' >newest
    grep -q 'Segmentation fault' newest && ! grep -q '^dtrain [0-9]' newest
}
node_down() {
    begin --nodes 2-3
    check "lost: began with 3 nodes" says "restart 0 on n\[1-3\]"
    scontrol update NodeName=n3 State=DOWN Reason=test
    finished "node set down" 1
    check "lost: went on with 2 nodes" says "restart 1 on n\[1-2\]: .*--ntasks=2"
    check "lost: no rank stays" within 20 no_ranks
    scontrol update NodeName=n3 State=RESUME
    check "lost: the node is back" within 60 idle 3
}
part_lost() {
    local frozen before=$n_failed
    node_down
    if [ "$n_failed" -gt "$before" ] && crashed_in_init; then
        echo "lost: a crash in MPI_Init, as Open MPI has them on emulated nodes (CLUSTER.md): once more"
        n_failed=$before
        node_down
    fi
    begin --nodes 2-3 --launcher mpirun
    check "slurmd killed: began with 3 nodes" says "restart 0 on n\[1-3\]"
    frozen=$(on_node n3) # as a host that hangs: its daemon answers no more, its ranks do nothing
    kill -KILL "$(daemon slurmd.n3)"
    # shellcheck disable=SC2086 # several
    kill -STOP $frozen
    finished "slurmd killed" 1
    # shellcheck disable=SC2086
    kill -KILL $frozen
    check "slurmd killed: went on with 2 nodes" says "restart 1 on n\[1-2\]"
    start_slurmd n3
    within 60 idle 3
}
idle() { [ "$(sinfo -h -N -p low -o %T | grep -cx idle)" -eq "$1" ]; } # and answering: else it is "idle*"
part_sweep() {
    local array report i
    submit --nodes 1 --sweep seed=1,2 --sweep samples=800,1600 -- "${base[@]}" --epochs 1 >submitted
    array=$job
    "$SRC/launch/submit" --site site.sh --cpu --dependency "afterany:$array" -- devices >after
    check "sweep: the job behind it ends" ends "$(cat after)"
    for i in 0 1 2 3; do
        log=dtrain-${array}_$i.log
        check "sweep: task $i has a run" [ -n "$(digest)" ]
        "$DTRAIN" "${base[@]}" --epochs 1 --seed $((i % 2 + 1)) --samples $((i < 2 ? 800 : 1600)) --out "alone$i" >alone.log 2>&1
        check "sweep: task $i is what its number says" [ "$(digest)" = "$(digest alone.log)" ]
    done
    report=runs/slurm-$array-report/index.html
    check "sweep: the report is there" within 60 test -s "$report"
    check "sweep: with all four" grep -q "slurm-$array-3" "$report"
    submit --nodes 2 -- sweep "${small[@]}" --epochs 1 --samples 800,1600 --seeds 1 --scaling none --threads 1
    check "dtrain sweep: ends" ends
    check "dtrain sweep: well" state_is COMPLETED
    check "dtrain sweep: has its file" [ -s "sweeps/slurm-$job/sweep.h5" ]
}
part_codes() {
    local rank
    submit --nodes 2 -- --data nowhere
    check "code 3: ends" ends
    check "code 3" code_is 3
    for launcher in "${launchers[@]}"; do
        submit --nodes 2 --launcher "$launcher" -- --no-such-option
        check "code 2, $launcher: ends" ends
        check "code 2, $launcher" code_is 2
        submit --nodes 2 --launcher "$launcher" -- "${long[@]}" --epochs 4000 --stall-timeout 4
        check "a stopped rank, $launcher: starts" within 60 amid
        kill -STOP "$(a_rank)"
        check "a stopped rank, $launcher: the job ends" within 40 over
        check "a stopped rank, $launcher: is named" says "is stopped or lost"
        check "a stopped rank, $launcher: exit code $(fact ExitCode), not 6" code_is 6
        check "a stopped rank, $launcher: no rank stays" within 20 no_ranks
        begin --nodes 2 --launcher "$launcher"
        rank=$(a_rank)
        kill -KILL "$rank"
        check "a killed rank, $launcher: the job ends, others do not wait" within 20 over
        check "a killed rank, $launcher: exit code $(fact ExitCode)" code_is 137
        check "a killed rank, $launcher: not requeued" [ "$(fact Restarts)" = 0 ]
        check "a killed rank, $launcher: no rank stays" within 20 no_ranks
    done
    [ "${launchers[0]}" != srun ] || {
        srun -n 2 --mpi=pmix --kill-on-bad-exit=1 "$DTRAIN" --no-such-option >wrong.log 2>&1
        check "srun alone: a rank that it ends for wrong use has code 2" [ $? -eq 2 ]
    }
    check "nothing is left of how ranks tell their codes" [ -z "$(find . -maxdepth 1 -name '.dtrain*')" ]
}

# --- all of it ---
scratch=$(mktemp -d "${TMPDIR:-/tmp}/dtrain-slurm.XXXXXX")
finish() {
    cluster_down
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 1' INT TERM
cd "$scratch" || exit 1
# The nodes share one host name and its memory; between them ranks speak TCP, as between real ones.
cat >site.sh <<'SH'
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
SH
python3 "$SRC/tests/make_data.py" data --train 1600 --test 1000
small=(--data data --model "conv 8 5; relu; pool 2; fc 10" --batch 32 --micro-batch 4)
base=("${small[@]}" --progress lines)
short=("${base[@]}" --epochs 1)
long=("${base[@]}" --epochs 20 --checkpoint-every 20)
"$DTRAIN" "${short[@]}" --out short >short.log 2>&1
"$DTRAIN" "${long[@]}" --out long >long.log 2>&1
want_short=$(digest short.log) want=$(digest long.log)
check "a run that nobody disturbs" [ -n "$want" ]

begin_time=$SECONDS
cluster_up "$scratch/slurm" 3 2 2 || exit 1
launchers=(srun mpirun)
srun --mpi=list 2>&1 | grep -q pmix || {
    launchers=(mpirun)
    echo "this Slurm comes without PMIx: no test of srun"
}
for part in "${parts[@]}"; do
    [ "$(type -t "part_$part")" = function ] || {
        echo "run.sh: there is no part $part" >&2
        exit 2
    }
    "part_$part"
    echo "$part: $((SECONDS - begin_time)) s"
    begin_time=$SECONDS
done
if [[ " ${parts[*]} " == *" launchers "* ]]; then
    mkdir plugins
    for plugin in "$(cluster_plugins)"/*.so; do
        [[ $plugin == */mpi_pmix* ]] || ln -s "$plugin" plugins
    done
    cluster_down
    rm -r runs
    CLUSTER_PLUGINS=$PWD/plugins cluster_up "$scratch/slurm2" 2 2 0 || exit 1
    part_nopmix
    echo "nopmix: $((SECONDS - begin_time)) s"
fi
cluster_down
check "nothing of it runs any more" [ -z "$(cluster_processes "$scratch/slurm")$(cluster_processes "$scratch/slurm2")" ]
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ] && [ "$n_passed" -gt 0 ]
