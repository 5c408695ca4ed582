#!/usr/bin/env bash
# torch.sh: training speed against PyTorch on this CPU: same network, batch, optimizer and cores (torch_mnist.py).
#
# PyTorch's best is looked for first, each way of running it once: plain, channels-last, torch.compile (needs g++ and
# Python's headers), two processes with DistributedDataParallel, and these together; in bf16 with autocast, and with all
# parameters in bf16, which is less exact but saves conversions. Then the best way and dtrain are run in turn. All that once
# as installed, and once with malloc told to keep freed memory (PyTorch's tuning guide recommends other allocators, to the
# same end): its activations are tens of MB, which otherwise are got from the system and returned in every step.
# Environment: TORCH_PYTHON a python that has torch; else build/venv-bench is made, with PyTorch 2.13.0 from pip.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
unset "${!OPENBLAS_@}" "${!OMP_@}" # settings for other programs
cores=$(nproc)
tuning=(MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=8589934592)

python=${TORCH_PYTHON:-$root/build/venv-bench/bin/python}
if ! "$python" -c 'import torch' 2>/dev/null; then
    [ -z "${TORCH_PYTHON:-}" ] || fail "$python cannot import torch"
    echo "installing PyTorch in build/venv-bench"
    quietly python3 -m venv "$root/build/venv-bench"
    quietly "$python" -m pip install torch==2.13.0 numpy
fi

# name WAY: without what is said elsewhere
name() { sed 's/--precision=f32/f32/; s/--precision=//; s/--channels-last/channels-last/; s/--//; s/ *$//; s/ \([cd]\)/, \1/g' <<<"$1"; }
# pytorch MALLOC OPTION...: one run; JSON in $scratch/said; not 0 if it failed, and then the reason in $scratch/errors
pytorch() {
    local malloc=$1 settings=()
    shift
    [ "$malloc" = default ] || settings=("${tuning[@]}")
    env "${settings[@]}" "$python" "$here/torch_mnist.py" --data "$data" --threads "$cores" "$@" \
        >"$scratch/said" 2>"$scratch/errors" </dev/null
}
# look PRECISION MALLOC WAYS...: tries the ways (options in one word each); the best way goes to $scratch/way-PRECISION-MALLOC
look() {
    local precision=$1 malloc=$2 way best=0 rate
    shift 2
    for way in "$@"; do
        # shellcheck disable=SC2086  # several options
        if pytorch "$malloc" $way; then
            rate=$(said images_per_second)
            show '    %8.0f images/s  %s malloc, %s\n' "$rate" "$malloc" "$(name "$way")"
            [ "$(judge "$rate > $best")" = miss ] || { best=$rate && echo "$way" >"$scratch/way-$precision-$malloc"; }
        else
            printf '      failed           %s malloc, %s: %s\n' "$malloc" "$(name "$way")" "$(tail -n 1 "$scratch/errors")"
        fi
    done
    [ "$best" != 0 ] || fail "PyTorch ran in no way in $precision"
}
# against PRECISION: one run each of dtrain and PyTorch's best ways
against() {
    local malloc
    throughput "dtrain-$1" 1 --samples 20480 --epochs 2 --precision "$1"
    for malloc in default kept; do
        read -r -a way <"$scratch/way-$1-$malloc"
        pytorch "$malloc" --steps 60 "${way[@]}" || fail "$(cat "$scratch/errors")"
        keep "torch-$1-$malloc" "$(said images_per_second)"
    done
}
# compare PRECISION MALLOC TARGET
compare() {
    local ours theirs ratio words=""
    [ "$2" = default ] || words=", malloc tuned"
    ours=$(median "dtrain-$1") theirs=$(median "torch-$1-$2")
    ratio=$(calc "$ours / $theirs")
    row "against $version$words, $1" "$(show '**%.2f x**: %.0f against %.0f images/s (%s)' "$ratio" "$ours" "$theirs" \
        "$(name "$(cat "$scratch/way-$1-$2")")")" ">= $3 x" "$(judge "$ratio >= $3")"
}

bench
echo "PyTorch, each way once, $cores threads in all:"
precisions=(f32)
eager=("" --channels-last "--ddp 2" "--ddp 2 --channels-last")
compiled=("--compile --channels-last" --compile)
for malloc in default kept; do
    [ $malloc = default ] || unset "compiled[1]" # never near the best, and slow to start
    look f32 $malloc "${eager[@]/#/--precision=f32 }" "${compiled[@]/#/--precision=f32 }"
    has_bf16 || continue
    precisions=(f32 bf16)
    look bf16 $malloc "${eager[@]/#/--precision=autocast }" "${compiled[@]/#/--precision=autocast }" \
        "--precision=bf16 --channels-last" "--precision=bf16 --ddp 2 --channels-last"
done
version="PyTorch $(said torch)"
for ((i = 0; i < ${ROUNDS:-4}; i++)); do
    for precision in "${precisions[@]}"; do
        against "$precision"
    done
done
for precision in "${precisions[@]}"; do
    target=$([ "$precision" = f32 ] && echo 3 || echo 4)
    compare "$precision" default "$target"
    compare "$precision" kept "$target"
done
