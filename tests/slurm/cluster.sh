# shellcheck shell=bash
# Sourced: a real Slurm on this machine, for root: munged, slurmctld and a slurmd for each emulated node n1, n2, ... Everything
# is in one folder, and everything is private: configuration, key, socket, spool, ports. Another Slurm on the machine is not
# touched. The daemons end with the shell that started them, however that ends.
#
#   cluster_reason              why there can be none here; nothing if there can
#   cluster_up DIR NODES CPUS GPUS      DIR is absolute; afterwards SLURM_CONF is set; fails with the logs
#   cluster_down                ends jobs and daemons, and whatever still runs with this SLURM_CONF
#   daemon NAME                 the process of slurmd.n1, slurmctld or munged
#   start_slurmd NODE           that of a node, again
#   cluster_plugins             the folder of Slurm's plugins; CLUSTER_PLUGINS names another one

cluster_reason() {
    local command
    if [ "$(id -u)" -ne 0 ]; then
        echo "needs root, for daemons of its own"
        return
    fi
    for command in slurmctld slurmd munged sbatch srun scontrol squeue mpirun; do
        if ! command -v "$command" >/dev/null; then
            echo "needs $command (launch/setup.sh --tests installs it)"
            return
        fi
    done
}

free_ports() { # N: the lowest of N ports below the range of outgoing connections that nobody listens on
    python3 - "$1" <<'PY'
import random, socket, sys
n = int(sys.argv[1])
while True:
    base, sockets = random.randrange(12000, 32000 - n), []
    try:
        for port in range(base, base + n):
            sockets.append(socket.socket())
            sockets[-1].bind(("127.0.0.1", port))
    except OSError:
        continue
    print(base)
    break
PY
}

cluster_conf() { # NODES CPUS GPUS
    local i base affinity=task/none preempt version nodes='' host
    base=$(free_ports $((1 + $1)))
    host=$(hostname -s)
    version=$(slurmd -V | sed 's/[^0-9]*\([0-9]*\)\.\([0-9]*\).*/\1\2/')
    # where the signal of --signal is asked for at preemption has moved
    preempt=SlurmctldParameters=preempt_send_user_signal
    [ "$version" -lt 2302 ] || preempt=PreemptParameters=send_user_signal
    [ "$(nproc)" -lt "$2" ] || affinity=task/affinity
    for ((i = 1; i <= $1; i++)); do
        nodes+="NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((base + i)) CPUs=$2 Boards=1 SocketsPerBoard=1"
        nodes+=" CoresPerSocket=$2 ThreadsPerCore=1 RealMemory=1000$([ "$3" -eq 0 ] || echo " Gres=gpu:$3")"$'\n'
    done
    # TmpFS: a folder for each node, since the PMIx plugins of nodes of one machine would meet in /tmp.
    # cred_expire: a requeued job waits so long, as nodes reject what they revoked.
    # config_overrides: what a node says it has counts, not what the machine has.
    cat <<CONF
ClusterName=dtrain
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$base
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$cluster/munge.socket,cred_expire=5
CredType=cred/munge
${CLUSTER_PLUGINS:+PluginDir=$CLUSTER_PLUGINS}
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool/%n
TmpFS=$cluster/tmp/%n
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.%n.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=$affinity
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$preempt
ReturnToService=1
KillWait=5
MessageTimeout=20
SlurmdTimeout=10
KillOnBadExit=0
MailProg=/bin/true
$([ "$3" -eq 0 ] || echo GresTypes=gpu)
${nodes}PartitionName=low Nodes=ALL Default=YES MaxTime=1-0 DefaultTime=5 PriorityTier=1 GraceTime=20
PartitionName=high Nodes=ALL MaxTime=1-0 DefaultTime=5 PriorityTier=10 PreemptMode=OFF
CONF
}

# start_daemon NAME COMMAND...: its process in daemons[NAME]
declare -A daemons=()
start_daemon() {
    local name=$1
    shift
    setpriv --pdeathsig KILL "$@" </dev/null >"$cluster/$name.out" 2>&1 &
    daemons[$name]=$!
}
daemon() { echo "${daemons[$1]}"; }

start_slurmd() { # NODE
    mkdir -p "$cluster/spool/$1" "$cluster/tmp/$1"
    start_daemon "slurmd.$1" slurmd -D -N "$1"
}
cluster_plugins() { scontrol show config | sed -n 's/^PluginDir *= //p'; }

cluster_up() {
    local i node
    cluster=$1
    unset "${!SLURM_@}" "${!SBATCH_@}" "${!SALLOC_@}"
    mkdir -p "$cluster"/{state,spool,tmp}
    chmod 755 "$cluster"
    cluster_conf "$2" "$3" "$4" >"$cluster/slurm.conf"
    : >"$cluster/gres.conf"
    for ((i = 0; i < $4; i++)); do # devices that are only counted: more of /dev/null
        mknod "$cluster/gpu$i" c 1 3
        echo "Name=gpu File=$cluster/gpu$i" >>"$cluster/gres.conf"
    done
    export SLURM_CONF=$cluster/slurm.conf
    head -c 128 /dev/urandom >"$cluster/munge.key"
    chmod 400 "$cluster/munge.key"
    start_daemon munged munged --force --foreground --key-file="$cluster/munge.key" --socket="$cluster/munge.socket" \
        --pid-file="$cluster/munged.pid" --seed-file="$cluster/munge.seed" --log-file="$cluster/munged.log"
    for ((i = 0; i < 100; i++)); do [ ! -S "$cluster/munge.socket" ] || break && sleep 0.05; done
    start_daemon slurmctld slurmctld -D -i
    for ((i = 1; i <= $2; i++)); do
        start_slurmd "n$i"
    done
    for ((i = 0; i < 200; i++)); do
        [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" -ne "$2" ] || return 0
        for node in "${daemons[@]}"; do kill -0 "$node" 2>/dev/null || break 2; done
        sleep 0.1
    done
    echo "this Slurm does not come up:" >&2
    tail -n 15 "$cluster"/*.log "$cluster"/*.out >&2
    return 1
}

# cluster_processes DIR: what runs with the configuration of the cluster there, daemons and jobs alike
cluster_processes() {
    (
        unset SLURM_CONF
        grep -lzs "^SLURM_CONF=$1/slurm.conf$" /proc/[0-9]*/environ | cut -d/ -f3
    )
}
cluster_down() {
    local i name process
    [ -n "${SLURM_CONF:-}" ] || return 0
    scancel --user=root 2>/dev/null
    for ((i = 0; i < 50; i++)); do [ -n "$(squeue -h 2>/dev/null)" ] || break && sleep 0.1; done
    for name in slurmctld "${!daemons[@]}"; do
        [ -z "${daemons[$name]:-}" ] || kill -TERM "${daemons[$name]}" 2>/dev/null
    done
    for ((i = 0; i < 50; i++)); do kill -0 "${daemons[@]}" 2>/dev/null || break && sleep 0.1; done
    for process in "${daemons[@]}" $(cluster_processes "$cluster"); do kill -KILL "$process" 2>/dev/null; done
    wait "${daemons[@]}" 2>/dev/null
    daemons=()
    unset SLURM_CONF
}
