# shellcheck shell=bash
# A part of run.sh: a sweep over hosts whose cables have a latency and a rate, and what the report predicts for them.
# shellcheck disable=SC2154 # variables of run.sh
hosts_down
rm -rf net
hosts_up net 3 shaped
delay_us=1000 mbit=200
hosts_shape $delay_us $mbit
echo "cables with $delay_us us and $mbit Mbit/s, by $hosts_shaping"

run hosts_exec h1 timeout -k 2 300 mpirun -np 3 --hostfile net/hostfile --map-by ppr:1:node "$DTRAIN" sweep --data data \
    --model "fc 16; relu; fc 10" --batch 64 --micro-batch 8 --threads 1 --ranks 2,3 --repeats 1 --scaling both --budget none \
    --samples 600 --spread --overlap off --time-limit "${HOSTS_SWEEP_SECONDS:-150}" --out out/sweep --quiet
check "sweep over hosts: exit code $code is 0, or 75 where time is short" test "$code" = 0 -o "$code" = 75
run "$DTRAIN" report out/sweep -o out/report
check "report: exit code $code" test "$code" = 0
check "sweep: the same bits on every number of hosts" says 'all ended with the same parameters'

# What the cables must cost at least, what was measured, and each configuration of several hosts predicted from the others.
cat >predicted.py <<'PY'
"""Each all-reduce against the cables, and predictions against measurements; the exit code is the number of complaints."""
import csv
import sys

delay, rate = float(sys.argv[1]) * 1e-6, float(sys.argv[2]) * 1e6 / 8
wrong = 0
for r in csv.DictReader(open("out/report/all-reduce.csv")):
    n, nbytes = int(r["ranks"]), float(r["gradient MB"]) * 1e6
    least, took, latency = nbytes * 2 * (n - 1) / n / rate, float(r["gradient ms"]) * 1e-3, float(r["8 bytes us"]) * 1e-6
    print(f"{n} hosts: all-reduce of {nbytes / 1e6:.2f} MB {took * 1e3:.0f} ms, of the cables alone {least * 1e3:.0f}; "
          f"of 8 bytes {latency * 1e6:.0f} us")
    wrong += not 0.9 * least < took < 10 * least + 10 * delay
    wrong += not 0.9 * delay < latency < 10 * delay + 0.01
errors = []
for r in csv.DictReader(open("out/report/left-out.csv")):
    if int(r["ranks"]) > 1:
        errors.append(abs(float(r["error %, itself left out"])))
        print(f"{r['ranks']} hosts, batch {r['batch']}: measured {r['measured ms']} ms, "
              f"predicted from the others {r['error %, itself left out']} % off")
mean = sum(errors) / len(errors)
print(f"{len(errors)} configurations of several hosts: {mean:.1f} % off on average")
sys.exit(wrong + (mean > 40) + (len(errors) < 2))
PY
run python3 predicted.py $delay_us $mbit
cat out.txt
check "the report's predictions, and the cables" test "$code" = 0
