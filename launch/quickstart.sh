#!/usr/bin/env bash
# quickstart.sh [OPTION...]: from a fresh machine to a trained network. Installs what is missing (launch/setup.sh), builds
# ./dtrain, fetches MNIST, and trains on two ranks; options go to dtrain. Exit 0 only if training ended well.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/mpi-env.sh

say() { printf '\n== %s\n' "$*"; }
quietly() { # runs a command; shows what it printed only if it failed
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        rm -f "$log"
        echo "quickstart.sh: failed: $*" >&2
        exit 1
    fi
    rm -f "$log"
}

say "what it needs"
./launch/setup.sh
say "build"
quietly cmake --preset release
quietly cmake --build --preset release --target dtrain --parallel "$(nproc)"
./dtrain --version
say "data"
./launch/fetch-data.sh
say "training on two ranks: mpirun -np 2 ./dtrain $*"
status=0
mpirun -np 2 ./dtrain "$@" || status=$?
if [ "$status" -ne 0 ]; then
    echo "quickstart.sh: training ended with exit code $status" >&2
    exit "$status"
fi

say "results"
# without --out they are in runs/latest
out=runs/latest
for arg in "$@"; do
    [ "${previous:-}" != --out ] || out=$arg
    [[ $arg != --out=* ]] || out=${arg#--out=}
    previous=$arg
done
ls -l "$out/"
cat <<EOT

$out/run.h5       figures of every epoch and rank, for h5py, h5dump or HDFView
$out/best.h5      the checkpoint with the best accuracy
$out/latest.h5    the last one
Next: mpirun -np 2 ./dtrain eval $out     ./dtrain --help     ./launch/test.sh
EOT
[ "$(id -u)" -ne 0 ] || echo "mpirun refuses root until it is told: . launch/mpi-env.sh"
