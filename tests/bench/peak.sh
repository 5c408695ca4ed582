#!/usr/bin/env bash
# peak.sh: the share of the machine's multiply-add peak that training reaches on all cores, float32 and bf16.
#
# Only the network's own multiplications and additions count (convolutions and fully connected layers), as useful work; the
# peak is the best of `dtrain bench`, which does nothing but multiply-adds in registers, on all cores at once.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
what="of the multiply-add peak, all cores"
run=(1 --samples 20480 --epochs 2)

for ((i = 0; i < ${ROUNDS:-5}; i++)); do
    bench
    keep peak-f32 "$(peak f32.all_threads_gflops)"
    throughput rate-f32 "${run[@]}" --precision f32
    has_bf16 || continue
    keep peak-bf16 "$(peak bf16.all_threads_gflops)"
    throughput rate-bf16 "${run[@]}" --precision bf16
done
flop=$(said flop)

# share PRECISION TARGET
share() {
    local top rate percent
    top=$(median "peak-$1") rate=$(median "rate-$1")
    percent=$(calc "100 * $rate * $flop * 1e-9 / $top")
    row "share $what, $1" "$(show '**%.1f %%**: %.0f images/s x %.1f MFLOP = %.0f of %.0f GFLOP/s' "$percent" "$rate" \
        "$(calc "$flop / 1e6")" "$(calc "$rate * $flop * 1e-9")" "$top")" ">= $2 %" "$(judge "$percent >= $2")"
}
share f32 75
if has_bf16; then
    share bf16 68
else
    row "share $what, bf16" "this CPU has no bf16 instructions" ">= 68 %" "-"
fi
