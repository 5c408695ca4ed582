#!/usr/bin/env bash
# all.sh [NAME...]: all benchmarks of this folder (or peak, workers, ...), one after the other, then their figures and
# targets as a table in Markdown, with the machine that they were measured on. About ten minutes on two idle cores; on a
# machine that does anything else meanwhile, the figures are its neighbours' too.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
cd "$root"
names=("$@")
[ $# -gt 0 ] || names=(peak time_to_99 accuracy workers exact startup serve torch)
export BENCH_ROWS=$scratch/rows
: >"$BENCH_ROWS"

load=$(cut -d ' ' -f 1 /proc/loadavg)
[ "$(judge "$load < 0.3")" = pass ] || echo "The machine is not idle: load $load. The figures will be too low, and noisy."

failed=()
begin=$SECONDS
for name in "${names[@]}"; do
    [ -x "$here/$name.sh" ] || fail "there is no benchmark $name in $here"
    printf '\n== %s\n' "$name"
    "$here/$name.sh" || failed+=("$name")
done

cpu() { sed -n "s/^$1[[:space:]]*: //p" /proc/cpuinfo | head -n 1; }
system() { sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release; }
describe() {
    printf '%s (family %s, model %s), %s cores, %s, Linux %s' "$(cpu 'model name')" "$(cpu 'cpu family')" "$(cpu model)" \
        "$(nproc)" "$(system)" "$(uname -r)"
    "$dtrain" --version | sed -E '1s/^/; /; 2,$s/^ *[a-z ]+  +/, /' | tr -d '\n'
    printf ', %s' "$(mpirun --version | sed -n '1s/mpirun (\(.*\)) /\1 /p')"
    command -v h5dump >/dev/null && printf ', HDF5%s' "$(h5dump --version | sed 's/.*Version//')"
    printf '. %s, load %s before.' "$(date +%F)" "$load"
}
printf '\n== table (%d s)\n\n' $((SECONDS - begin))
printf "Measured by \`tests/bench/all.sh\` on %s\n\n" "$(describe)"
printf '| what | measured | target | |\n|---|---|---|---|\n'
cat "$BENCH_ROWS"
[ ${#failed[@]} -eq 0 ] || fail "could not be measured: ${failed[*]}"
