#!/usr/bin/env bash
# devices and bench: text for people, JSON for scripts, on one rank and on several.
# timeout: 120
set -euo pipefail
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
# holds FILE EXPRESSION: true of the JSON object d in FILE
holds() { python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' "$1" "$2"; }

"$DTRAIN" devices >devices.txt 2>err.txt
check "devices: a CPU" grep -q '^  cpu: available, ' devices.txt
check "devices: oneDNN" grep -q 'oneDNN' devices.txt
check "devices: why no GPU" grep -q '^  cuda: not available (.\+)$' devices.txt
check "devices: nothing on stderr" test ! -s err.txt

for words in "devices" "devices --json" "--version"; do
    code=0
    # shellcheck disable=SC2086 # words are several
    "$DTRAIN" $words >/dev/full 2>err.txt || code=$?
    check "$words: a full disk is told, exit code $code" test "$code" = 4 -a -s err.txt
done

"$MPIRUN" -np 3 "$DTRAIN" devices --threads 2 --json >devices.json
check "devices --json: one entry a rank" holds devices.json '[r["rank"] for r in d["ranks"]] == [0, 1, 2]'
check "devices --json: CPU" holds devices.json 'all(r["cpu"]["available"] and r["cpu"]["threads"] == 2 for r in d["ranks"])'
check "devices --json: cores" holds devices.json \
    'all(0 < r["cpu"]["cores_allowed"] <= r["cpu"]["cores"] for r in d["ranks"])'
check "devices --json: GPU" holds devices.json 'all(not r["cuda"]["available"] and r["cuda"]["reason"] for r in d["ranks"])'

# Two ranks that share one core have one core, which is told with the way out; a job with all cores is not told anything.
if [ "$(nproc)" -gt 1 ]; then
    python3 "$SRC/tests/make_data.py" data --train 32 --test 16
    train=("$DTRAIN" train --data data --model "fc 10" --batch 32 --micro-batch 16 --epochs 1 --progress none)
    taskset -c "$(taskset -cp $$ | grep -oE '[0-9]+' | tail -n 1)" "$MPIRUN" -np 2 "${train[@]}" --out bound >out.txt 2>err.txt
    check "bound: warned of" grep -qE 'may use only 1 of the [0-9]+ cores of .* --bind-to none' err.txt
    check "bound: once" test "$(wc -l <err.txt)" = 1
    check "bound: one thread each" grep -q '0-1 on .*: 1 thread each' out.txt
    "$MPIRUN" -np 2 "${train[@]}" --threads 1 --out unbound >out.txt 2>err.txt
    check "unbound: nothing on stderr" test ! -s err.txt
fi

"$DTRAIN" bench --threads 1 >bench.txt 2>err.txt
check "bench: peaks" grep -qE '^  f32 +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[A-Z]' bench.txt
check "bench: alone there is no all-reduce" grep -q 'All-reduce: not measured' bench.txt
check "bench: nothing on stderr" test ! -s err.txt

"$MPIRUN" -np 2 "$DTRAIN" bench --threads 1 --json >bench.json
check "bench --json: float32 peak" holds bench.json '0 < d["f32"]["all_threads_median_gflops"] <= d["f32"]["all_threads_gflops"]'
check "bench --json: bf16 peak, or no instructions for it" holds bench.json \
    '(d["bf16"]["instructions"] is None) == (d["bf16"]["all_threads_gflops"] == 0)'
check "bench --json: memory" holds bench.json 'd["memory"]["one_thread_gb_per_second"] > 0'
check "bench --json: 8 bytes to 64 MiB" holds bench.json '[r["bytes"] for r in d["all_reduce"]] == [8 << i for i in range(24)]'
check "bench --json: every sum is right" holds bench.json \
    'all(r[t]["wrong"] == 0 and r[t]["microseconds"] > 0 for r in d["all_reduce"] for t in ("int64", "float32"))'
check "bench --json: busbw = algbw for two ranks" holds bench.json \
    'all(abs(r["int64"]["busbw_gb_per_second"] / r["int64"]["algbw_gb_per_second"] - 1) < 1e-9 for r in d["all_reduce"])'
check "bench --json: algbw = bytes / time" holds bench.json \
    'all(abs(r["int64"]["algbw_gb_per_second"] * 1e3 * r["int64"]["microseconds"] / r["bytes"] - 1) < 1e-9 for r in d["all_reduce"])'

finish
