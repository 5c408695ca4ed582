#!/usr/bin/env bash
# sweep-pictures.sh [SWEEP]: README's pictures of a sweep. Runs the default sweep on two ranks (or takes the one in SWEEP), reports
# it, puts its four panels and its scaling into launch/*.svg and what was measured into README.md. On an idle machine: ten minutes.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
cd "$root"
sweep=${1:-sweeps/latest} seconds=
load=$(cut -d ' ' -f 1 /proc/loadavg)
if [ $# -eq 0 ]; then
    [ "$(judge "$load < 0.3")" = pass ] || echo "The machine is not idle: load $load. Times will be too long, and noisy."
    rm -f sweeps/latest # so that it begins a new one
    begin=$(now)
    mpirun -np 2 "$dtrain" sweep --data "$data"
    seconds=$(calc "$(now) - $begin")
fi
"$dtrain" report "$sweep" -o "$scratch/report"
panel() { printf '%s=%s' "$scratch/report/$1.svg" "$2"; }
python3 "$here/panels.py" 2 "$(panel size-time 'Size against training time')" "$(panel size-accuracy 'Size against accuracy')" \
    "$(panel epoch-loss 'Training loss by epoch')" "$(panel time-accuracy 'Time against accuracy')" >"$scratch/sweep.svg"
python3 "$here/panels.py" 2 "$(panel speed-up 'Speed-up by ranks')" "$(panel breakdown 'Where the time of a step goes')" >"$scratch/scaling.svg"
mv "$scratch/sweep.svg" "$scratch/scaling.svg" launch/

# The model on each configuration, with all of its batch left out of the fit
errors=$(awk -F, 'NR > 1 && $5 != "" { e = $5 + 0; e = e < 0 ? -e : e; s += e; n++; m = e > m ? e : m }
    END { printf "%.1f %% off on average, %.1f %% at worst", s / n, m }' "$scratch/report/left-out.csv")
cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
{
    # shellcheck disable=SC2016 # the backquotes are Markdown's
    printf 'Measured by `tests/bench/sweep-pictures.sh` on %s on an %s, %s cores, ' "$(date +%F)" "$cpu" "$(nproc)"
    if [ -n "$seconds" ]; then
        printf 'load %s before: the default sweep took %.1f minutes (target: 12). ' "$load" "$(calc "$seconds / 60")"
    else
        printf 'from a small sweep on a machine that did other work, so that its times say little. '
    fi
    printf 'The model of scaling, at batches that it was not fitted on: %s (target: 10 %%).\n' "$errors"
} | tee "$scratch/said" | fold -s -w 100 | sed 's/ *$//' >"$scratch/words"
sed -i -e '/<!-- sweep -->/,/<!-- \/sweep -->/{//!d}' -e "/<!-- sweep -->/r $scratch/words" README.md
cat "$scratch/said"
