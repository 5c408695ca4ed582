# shellcheck shell=bash
# net.sh: several hosts on one machine, for tests. Source it; needs root, iproute2, util-linux and python3, and a compiler for a shaped network.
#
#   . "$SRC/tests/hosts/net.sh"
#   hosts_can || exit 77                   # says why not, if namespaces are not allowed here
#   hosts_up DIR 3 [shaped]                # h1, h2, h3 with 10.77.0.1 ...; ends with the shell, or by hosts_down
#   hosts_exec h1 COMMAND...               # run it there; in h1 mpirun finds h2 and h3, see $DIR/hostfile
#   hosts_link h3 down|up                  # pull its cable, plug it in
#   hosts_freeze h3 | hosts_thaw h3        # stop and continue every process there
#   hosts_kill h3                          # the power goes: cable and processes
#   hosts_shape DELAY_US MBIT [h3]         # of every cable, or of one: to it and from it. 0 0: as fast as it can. A delay
#                                          # needs "shaped"
#   hosts_pids h3                          # every process there but its keeper
#   hosts_clear h3                         # end them
#
# A host is a namespace of network, host name, IPC and mounts: own addresses, names, /dev/shm. Files and process numbers are
# the machine's. One process, the keeper, holds it and answers on port 22, as sshd would, so that a host that is frozen or cut
# off does not answer. $DIR/agent stands for ssh: it asks that port over the network, then enters the namespace.
# Cables end in a switch: a bridge, whose ports can have a rate (tbf); or, shaped, with netem where the kernel has it, else
# tests/hosts/switch.c in its place.
#
# Only processes that were started here are ever ended: hosts_pids refuses the namespace of this shell and of process 1.

# The namespaces of a host, tried.
hosts_can() {
    local tool
    for tool in unshare nsenter ip tc python3 mpirun; do
        command -v $tool >/dev/null || { echo "skipped: needs $tool" && return 1; }
    done
    unshare -n -u -i -m --propagation private sh -c 'ip link add br0 type bridge && ip link add v0 type veth peer name v1 &&
        mount -t tmpfs tmpfs /dev/shm && hostname h0' 2>/dev/null ||
        { echo "skipped: namespaces of network, mounts and host names are not allowed here" && return 1; }
}

hosts_names() { (cd "$hosts_dir/keeper" && find . -name 'h*' | sed 's,^\./,,' | sort -V); }
hosts_keeper() { cat "$hosts_dir/keeper/$1"; }
# In its network only; the tools of this shell.
hosts_net() { local h=$1 && shift && nsenter -t "$(hosts_keeper "$h")" -n "$@"; }
hosts_exec() { local h=$1 && shift && nsenter -t "$(hosts_keeper "$h")" -n -u -i -m --wd="$PWD" "$@"; }

hosts_pids() {
    local keeper ours
    keeper=$(hosts_keeper "$1") && ours=$(readlink "/proc/$keeper/ns/net") || return 0
    if [ "$ours" = "$(readlink /proc/self/ns/net)" ] || [ "$ours" = "$(readlink /proc/1/ns/net)" ]; then
        echo "$1 is not a host of ours" >&2
        return 1
    fi
    find /proc -mindepth 3 -maxdepth 3 -path '/proc/[0-9]*/ns/net' -lname "${ours/\[/\\[}" 2>/dev/null | cut -d/ -f3 |
        { grep -vx "$keeper" || :; }
}

hosts_signal() { # hosts_signal SIGNAL HOST: all processes there but its keeper
    local pid
    for pid in $(hosts_pids "$2"); do kill -"$1" "$pid" 2>/dev/null || :; done
}
hosts_freeze() { hosts_signal STOP "$1" && kill -STOP "$(hosts_keeper "$1")"; }
hosts_thaw() { hosts_signal CONT "$1" && kill -CONT "$(hosts_keeper "$1")"; }
hosts_clear() { hosts_signal KILL "$1"; }
hosts_kill() { hosts_link "$1" down && hosts_clear "$1"; }

hosts_keep() { # hosts_keep NAME COMMAND...: a namespace held by a process, whose number is then in keeper/NAME
    local name=$1 i
    shift
    setsid "$@" python3 "$hosts_dir/keeper.py" "$hosts_dir/keeper/$name" </dev/null >/dev/null 2>>"$hosts_dir/log" &
    disown $!
    for ((i = 0; i < 300; i++)); do
        [ ! -s "$hosts_dir/keeper/$name" ] || return 0
        sleep 0.02
    done
    echo "net.sh: $name did not come up" >&2
    return 1
}

hosts_write_files() { # hosts_write_files N
    local i
    { echo "127.0.0.1 localhost" && for ((i = 1; i <= $1; i++)); do echo "10.77.0.$i h$i"; done; } >"$hosts_dir/names"
    for ((i = 1; i <= $1; i++)); do echo "h$i slots=2"; done >"$hosts_dir/hostfile"
    cat >"$hosts_dir/keeper.py" <<'PY'
import os, socket, sys
with open(sys.argv[1] + ".new", "w") as f:
    f.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("", 22))
server.listen(50)
while True:
    caller = server.accept()[0]
    try:
        caller.sendall(b"here\n")
    except OSError:
        pass
    caller.close()
PY
    cat >"$hosts_dir/agent" <<AGENT
#!/usr/bin/env bash
# agent [-OPTION...] HOST COMMAND...: as ssh, but what it starts goes on alone: its end is not noticed here, as of a real host
while [[ \$1 == -* ]]; do shift; done
host=\$1 && shift
exec 3<>"/dev/tcp/10.77.0.\${host#h}/22" && read -r answer <&3 && [ "\$answer" = here ] || exit 255
keeper=\$(cat "$hosts_dir/keeper/\$host") || exit 255
setsid nsenter -t "\$keeper" -n -u -i -m --wd="\$PWD" /bin/sh -c "\$*" </dev/null >/dev/null 2>&1 3>&- &
AGENT
    chmod +x "$hosts_dir/agent"
}

hosts_has_netem() { unshare -n tc qdisc add dev lo root netem delay 1us 2>/dev/null; }

hosts_plug_in() { # hosts_plug_in I: a cable from the bridge to host i
    hosts_net switch ip link add "p$1" type veth peer name eth0 netns "$(hosts_keeper "h$1")"
    hosts_net switch ip link set "p$1" master br0 up
}

# The switch in user space: a port is eth0 of a host.
hosts_start_switch() {
    local i keepers=()
    for ((i = 1; i <= $1; i++)); do keepers+=("$(hosts_keeper "h$i")"); done
    ${CC:-cc} -O2 -D_GNU_SOURCE -o "$hosts_dir/switch" "$(dirname "${BASH_SOURCE[0]}")/switch.c"
    : >"$hosts_dir/cables"
    "$hosts_dir/switch" "$hosts_dir/cables" "${keepers[@]}" </dev/null >"$hosts_dir/switch.log" 2>&1 &
    echo $! >"$hosts_dir/keeper/switch"
    disown $!
    for ((i = 0; i < 200; i++)); do
        ! grep -q ready "$hosts_dir/switch.log" || return 0
        sleep 0.02
    done
    echo "net.sh: the switch did not come up: $(cat "$hosts_dir/switch.log")" >&2
    return 1
}

hosts_up() {
    local n=$2 i
    mkdir -p "$1/keeper"
    hosts_dir=$(cd "$1" && pwd)
    hosts_shaping=none
    trap hosts_down EXIT
    hosts_write_files "$n"
    if [ "${3:-}" = shaped ]; then
        if hosts_has_netem; then hosts_shaping=netem; else hosts_shaping=switch; fi
    fi
    if [ "$hosts_shaping" != switch ]; then
        hosts_keep switch unshare -n
        hosts_net switch ip link add br0 type bridge
        hosts_net switch ip link set br0 up
    fi
    for ((i = 1; i <= n; i++)); do
        hosts_keep "h$i" unshare -n -u -i -m --propagation private
        # shellcheck disable=SC2016 # of the inner shell
        hosts_exec "h$i" sh -ec 'hostname "$1" && mount -t tmpfs -o size=1g tmpfs /dev/shm && mount --bind "$2" /etc/hosts' \
            sh "h$i" "$hosts_dir/names"
        [ "$hosts_shaping" = switch ] || hosts_plug_in $i
    done
    [ "$hosts_shaping" != switch ] || hosts_start_switch "$n"
    for ((i = 1; i <= n; i++)); do
        hosts_net "h$i" sh -ec "ip link set lo up; ip addr add 10.77.0.$i/24 dev eth0; ip link set eth0 up"
    done
    hosts_settings
}

# What mpirun has to know: these networks, this agent, and nothing of a batch system around.
hosts_settings() {
    unset SLURM_CONF
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export OMPI_MCA_plm=rsh OMPI_MCA_plm_rsh_agent=$hosts_dir/agent OMPI_MCA_ras=^slurm
    export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_tcp_if_include=eth0 OMPI_MCA_oob_tcp_if_include=eth0
    export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1
    export OMPI_MCA_orte_tmpdir_base=$hosts_dir/tmp
    mkdir -p "$hosts_dir/tmp"
}

hosts_link() {
    if [ "$hosts_shaping" != switch ]; then
        hosts_net switch ip link set "p${1#h}" "$2"
        return
    fi
    sed -i "/^cut ${1#h}\$/d" "$hosts_dir/cables"
    [ "$2" = up ] || echo "cut ${1#h}" >>"$hosts_dir/cables"
    kill -HUP "$(hosts_keeper switch)"
    sleep 0.05
}

# hosts_queue MBIT DELAY_US DEVICE WHERE...: how fast and how late a device sends
hosts_queue() {
    local rate=$1 delay=$2 device=$3
    shift 3
    "$@" tc qdisc del dev "$device" root 2>/dev/null || :
    if [ "$hosts_shaping" = netem ]; then
        "$@" tc qdisc replace dev "$device" root netem delay "${delay}us" rate "${rate}mbit" limit 100000
    elif [ "$rate" != 0 ]; then
        "$@" tc qdisc replace dev "$device" root tbf rate "${rate}mbit" burst 64kb latency 100ms
    fi
}

hosts_shape() {
    local delay=$1 rate=$2 h
    if [ "$hosts_shaping" = none ] && [ "$delay" != 0 ]; then
        echo "net.sh: a delay needs hosts_up DIR N shaped" >&2
        return 1
    fi
    for h in ${3:-$(hosts_names)}; do
        if [ "$hosts_shaping" = switch ]; then
            sed -i "/^port ${h#h} /d" "$hosts_dir/cables"
            echo "port ${h#h} $delay $rate" >>"$hosts_dir/cables"
            continue
        fi
        # the host's end counts for what it sends, the port's for what it receives: the delay is divided
        hosts_queue "$rate" "$((delay / 2))" "p${h#h}" hosts_net switch
        hosts_queue "$rate" "$((delay - delay / 2))" eth0 hosts_net "$h"
    done
    if [ "$hosts_shaping" = switch ]; then
        kill -HUP "$(hosts_keeper switch)"
        sleep 0.05
    fi
}

hosts_end() { # hosts_end NAME COMMAND: end the keeper, if that number is still its own
    local pid
    pid=$(hosts_keeper "$1" 2>/dev/null) || return 0
    ! grep -qa "$2" "/proc/$pid/cmdline" 2>/dev/null || kill -KILL "$pid"
    rm -f "$hosts_dir/keeper/$1"
}

hosts_down() {
    local h
    [ -d "${hosts_dir:-}/keeper" ] || return 0
    for h in $(hosts_names); do
        hosts_clear "$h"
        hosts_end "$h" keeper.py
    done
    hosts_end switch "$hosts_dir"
}
