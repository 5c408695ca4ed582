#!/usr/bin/env bash
# doctor on this machine: what is well, and troubles planted one by one: each is named with its fix, the exit code is that of
# its kind, and nothing is left behind.
# timeout: 120
set -euo pipefail
code=0
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
run() { # run COMMAND...: its output in out.txt and err.txt, its exit code in $code
    code=0
    "$@" >out.txt 2>err.txt || code=$?
}
says() { tr -s ' \n' ' ' <out.txt | grep -qE -- "$1"; } # out.txt has it, wherever its lines end
holds() { python3 -c 'import json, sys; d = json.load(open("out.txt")); sys.exit(not eval(sys.argv[1]))' "$1"; }

python3 "$SRC/tests/make_data.py" data --train 64 --test 32
doctor=("$DTRAIN" doctor --data data --out a/b/runs --threads 1)
export LC_ALL=C

# --- well ---
run "${doctor[@]}"
check "alone: exit code $code" test "$code" = 0 -a ! -s err.txt
check "alone: every check" test "$(grep -cE '^  [+-] (launch|cores|GPUs|versions|data|clocks|run dir|locks|sums) ' out.txt)" = 9
check "alone: plain letters in a plain locale" test "$(LC_ALL=C grep -c '[^ -~]' out.txt)" = 0
check "no directory is left" test ! -e a
run env LC_ALL=C.UTF-8 "${doctor[@]}"
check "alone: marks where the terminal knows them" grep -q '^  ✓ data ' out.txt
mkdir kept
run "$MPIRUN" -np 2 "$DTRAIN" doctor --data data --out kept --threads 1
check "two ranks: exit code $code" test "$code" = 0 -a ! -s err.txt
check "two ranks: launcher" grep -qE '^  . launch +mpirun started 2 processes, and each sees all' out.txt
check "two ranks: sums" says 'sums all-reduces of 8 bytes to 2.1 MB are exact'
check "two ranks: the map" grep -qE '^  0-1 +[^ ]+ +1  [0-9]' out.txt
check "two ranks: the speed is explained" says 'bandwidth all-reduce of .* through shared memory'
check "two ranks: one screen" test "$(wc -l <out.txt)" -le 40 -a "$(awk 'length > 80' out.txt | wc -l)" = 0
check "the directory that was there is there, and empty" test -d kept -a -z "$(ls -A kept)"

# --- JSON ---
run "$MPIRUN" -np 3 "$DTRAIN" doctor --data data --threads 1 --json
check "json: exit code $code" test "$code" = 0 -a ! -s err.txt
check "json: one object" test "$(wc -l <out.txt)" = 1
check "json: checks" holds '{"launch", "cores", "data", "sums", "bandwidth"} <= {c["check"] for c in d["checks"]} and d["exit_code"] == 0'
check "json: levels" holds 'all(c["level"] in ("good", "note", "warning", "error") and c["what"] for c in d["checks"])'
check "json: what is a warning has a fix" holds 'all((c["fix"] is not None) == (c["level"] in ("warning", "error")) for c in d["checks"])'
check "json: ranks" holds '[r["rank"] for r in d["ranks"]] == [0, 1, 2] and all(r["cpus"] and r["host"] for r in d["ranks"])'
check "json: bandwidth" holds 'd["all_reduce_busbw_gb_per_second"] > 0 and d["all_reduce_bytes"] > 1e6'

# --- troubles ---
run "$DTRAIN" doctor --data nowhere --out x
check "no data: exit code $code is 3" test "$code" = 3
check "no data: named, with the fix" says 'X data on .*nowhere.*fix: .*fetch-data'
check "no data: on stderr too" grep -q 'doctor: data: on ' err.txt
touch file
run "${doctor[@]}" --out file/runs
check "run directory: exit code $code is 4" test "$code" = 4
check "run directory: named, with the fix" says 'X run dir file/runs: .*fix: an --out'
run "$MPIRUN" -np 2 "$DTRAIN" doctor --data data --threads $(($(nproc) + 1))
check "threads: a warning is no error" test "$code" = 0
check "threads: named, with the fix" says '! cores rank 0 \(.*\) has [0-9]+ threads on [0-9]+ core.*fix: mpirun --bind-to none'
if [ "$(nproc)" -gt 1 ]; then
    run taskset -c "$(taskset -cp $$ | grep -oE '[0-9]+' | tail -n 1)" "$MPIRUN" -np 2 "$DTRAIN" doctor --data data
    check "bound: named, with the fix" says '! cores the 2 ranks of .* may use only 1 of its .*fix: mpirun --bind-to none'
fi
run env SLURM_JOB_ID=7 SLURM_NTASKS=8 "${doctor[@]}"
check "forgotten launcher: named, with the fix" says '! launch one process in a Slurm job of 8 tasks.*fix: srun --mpi=pmix'
run env SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=8 SLURM_PROCID=0 "${doctor[@]}"
check "singletons: exit code $code is 2" test "$code" = 2
check "singletons: named, with the fix" grep -qE 'srun started 8 processes .*--mpi=pmix' err.txt
# Another version on rank 1: the same program with another number in it.
mkdir other
version=$("$DTRAIN" --version | sed -n '1s/^dtrain //p')
LC_ALL=C sed "s/$(sed 's/[].*^$/[]/\\&/g' <<<"$version")/9${version:1}/g" "$DTRAIN" >other/dtrain
chmod +x other/dtrain
check "another version: is one" test "$(other/dtrain --version | sed -n 1p)" = "dtrain 9${version:1}"
for command in doctor "train --epochs 1 --progress none --out mixed"; do
    # shellcheck disable=SC2086 # words are several
    run "$MPIRUN" -np 1 "$DTRAIN" $command --data data --threads 1 : -np 2 other/dtrain $command --data data --threads 1
    check "another version, ${command%% *}: exit code $code is 5" test "$code" = 5
    check "another version, ${command%% *}: both are named, once" \
        test "$(grep -cF "dtrain $version on rank 0 ($(hostname)), dtrain 9${version:1} on rank 1 ($(hostname)): install" err.txt)" = 1
done
check "another version: nothing was trained" test ! -e mixed
if command -v gcc >/dev/null; then # a file system without locks
    cat >shim.c <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <sys/file.h>
int flock(int fd, int operation) { (void)fd; (void)operation; errno = ENOSYS; return -1; }
C
    gcc -shared -fPIC -o shim.so shim.c
    asan=$(ldd "$DTRAIN" | awk '$1 ~ /^libasan/ { print $3 }') # wants to come before all others
    run env HDF5_USE_FILE_LOCKING=TRUE LD_PRELOAD="${asan:+$asan:}$PWD/shim.so" "${doctor[@]}"
    check "locks: a warning is no error" test "$code" = 0
    check "locks: named, with the fix" says '! locks .*unable to lock file.*fix: export HDF5_USE_FILE_LOCKING=FALSE'
fi
check "no file is left" test -z "$(find . -name '.doctor*')"

finish
