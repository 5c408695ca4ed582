#!/usr/bin/env bash
# timeout: 300
# Every command of CLUSTER.md is run. A comment before a block says where: <!-- run: here --> in a copy of the tree with a
# small data set, "hosts" on three hosts that are namespaces, "slurm" on a real Slurm of two nodes, "dry" by --dry-run, as it
# needs GPUs, "python" by Python, with the block behind it as its output. A block without one fails, as does any command.
# Those on hosts and on Slurm take a minute and are left to cli_cluster_all.sh, which gives --all.
set -uo pipefail
n_passed=0 n_failed=0
check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@" >said 2>&1; then
        n_passed=$((n_passed + 1))
    else
        n_failed=$((n_failed + 1))
        echo "FAILED: $what" >&2
        tail -n 15 said | sed 's/^/    | /' >&2
    fi
}
all=0
[ "${1:-}" != --all ] || { all=1 && shift; }
document=${1:-$SRC/CLUSTER.md}

# --- a place that looks like the tree: what the page's commands name ---
ln -s "$DTRAIN" dtrain
ln -s "$SRC/launch" launch
python3 "$SRC/tests/make_data.py" data/mnist --train 960 --test 50
. "$SRC/tests/hosts/net.sh"
. "$SRC/tests/slurm/cluster.sh"

# blocks KIND-NUMBER, a file each; prints the kinds in their order, and the lines of blocks that say nothing
python3 - "$document" >kinds <<'PY'
import re, sys
text = open(sys.argv[1], encoding="utf-8").read()
kind = None
for n, match in enumerate(re.finditer(r"^<!-- run: (\w+) -->$|^```(.*)\n((?:.*\n)*?)```$", text, re.M)):
    if match[1]:
        kind = match[1]
        continue
    if match[2].startswith("text"):
        name = match[2][5:]
        if name in ("hosts", "output"):
            open(name, "w").write(match[3])
    else:
        print(kind or "none", n)
        open(f"{kind or 'none'}-{n}", "w").write(match[3])
    kind = None
PY
check "there are blocks" test -s kinds

each_line() { # each_line BLOCK COMMAND...: COMMAND LINE for each command of it, all in one shell's environment
    local line block=$1
    shift
    while IFS= read -r line <&3; do
        [ -z "$line" ] || check "$block: $line" "$@" "$line"
    done 3< <(sed 's/ *# .*//' "$block")
}
run_here() { ( # as a user would: one shell for the block
    while IFS= read -r line <&3; do
        eval "$line" </dev/null || { echo "not well: $line" && exit 1; }
    done 3< <(sed 's/ *# .*//' "$1")
); }
run_hosts() { timeout 60 nsenter -t "$(hosts_keeper h1)" -n -u -i -m --wd="$PWD" bash -c "$1" </dev/null; }
run_dry() { bash -c "${1/ --/ --dry-run --}" && grep -q '^#SBATCH --gpus-per-node' said && bash -n said; }
run_slurm() { # all that it submits ends well
    local job jobs state
    bash -c "$1" </dev/null >submitted || return
    cat submitted
    [[ $1 == launch/submit* ]] || return 0
    mapfile -t jobs < <(grep -oE '^[0-9]+$' submitted)
    for job in "${jobs[@]}"; do
        for _ in $(seq 600); do
            state=$(scontrol show job "$job" -o | grep -oE 'JobState=[A-Z]+' | sort -u | tr '\n' ' ')
            [[ $state == *PENDING* || $state == *RUNNING* || $state == *COMPLETING* || $state == *CONFIGURING* ]] || break
            sleep 0.1
        done
        echo "job $job: $state"
        [ "$state" = "JobState=COMPLETED " ] || { tail -n 10 dtrain-"$job"*.log && return 1; }
    done
}

finish() { cluster_down >/dev/null 2>&1 && hosts_down >/dev/null 2>&1; }
trap finish EXIT
no_hosts=$(hosts_can) && no_hosts='' # the reason, if there is one
no_slurm=$(cluster_reason)
while read -r kind n <&4; do
    rm -rf runs sweeps
    case $kind in
    here) check "CLUSTER.md, block $n: $(cat "$kind-$n")" run_here "$kind-$n" ;;
    python)
        python3 "$kind-$n" >computed
        check "what the model says is what the page says" cmp computed output
        ;;
    dry) each_line "$kind-$n" run_dry ;;
    hosts | slurm) [ "$all" -eq 1 ] || continue ;;&
    hosts)
        [ -z "$no_hosts" ] || { echo "hosts: $no_hosts" && continue; }
        hosts_up "$PWD/net" 3 || exit 1
        (hosts_settings && each_line "$kind-$n" run_hosts && [ "$n_failed" -eq 0 ]) || n_failed=$((n_failed + 1))
        hosts_down
        ;;
    slurm)
        [ -z "$no_slurm" ] || { echo "slurm: $no_slurm" && continue; }
        printf 'export %s\n' OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo \
            OMPI_MCA_oob_tcp_if_include=lo OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 >site.sh
        cluster_up "$PWD/slurm" 2 2 0 || exit 1
        (
            # shellcheck source=/dev/null
            . ./site.sh
            export DTRAIN_SITE=$PWD/site.sh
            each_line "$kind-$n" run_slurm
            [ "$n_failed" -eq 0 ]
        ) || n_failed=$((n_failed + 1))
        cluster_down
        ;;
    *) check "CLUSTER.md says where to run this: $(cat "$kind-$n")" false ;;
    esac
done 4<kinds
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ] && [ "$n_passed" -gt 0 ]
